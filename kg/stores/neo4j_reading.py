"""Reading a Neo4j graph: admitted plans, within the budget, and never half of a write."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from ..door import Budget, admit_plan
from . import neo4j_texts as texts
from .answers import refuse_more
from .neo4j_session import Connection
from .neo4j_values import busy, plain

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

_Answer = TypeVar("_Answer")
_TRIES = 3
_MOST_TEXTS = 1_000


class Reader:
    """What a store reads with.

    Parameters
    ----------
    connection
        The database.
    stamp
        Stamp of the ledger as it was last seen, ``None`` where there is no ledger.
    """

    def __init__(self, connection: Connection, stamp: int | None) -> None:
        self._connection = connection
        self.stamp = stamp
        self._admitted: set[str] = set()

    def answer(self, cypher: str, parameters: dict[str, Any], budget: Budget) -> pd.DataFrame:
        """Return the rows of a statement.

        Raises
        ------
        InputError
            The text is not Cypher or a parameter is missing.
        StoreError
            The plan does more than read, or time or rows are over the budget.
        StoreBusyError
            A write is going on or broke off.
        """
        self._admit_plan(cypher, parameters)

        def work(run: "ManagedTransaction") -> pd.DataFrame:
            result = run.run(cypher, parameters)
            records = result.fetch(budget.rows + 1)
            names = list(result.keys())
            result.consume()
            refuse_more(len(records), budget)
            rows = [[plain(value) for value in record.values()] for record in records]
            return pd.DataFrame(rows, columns=names)

        return self.at_rest(work, seconds=budget.seconds)

    def at_rest(
        self, work: "Callable[[ManagedTransaction], _Answer]", *, seconds: float | None = None
    ) -> _Answer:
        """Return what ``work`` reads while no write is going on.

        The stamp is odd during a write and moves with each. One that is known from before and is
        found again afterwards proves that the graph stood still in between.
        """

        def reading(run: "ManagedTransaction") -> tuple[_Answer, int | None]:
            stamp = self.stamp
            for _ in range(_TRIES):
                answer = work(run)
                found = run.run(texts.STAMP).single()
                after = found["stamp"] if found else None
                if after is not None and after % 2:
                    break
                if after == stamp:
                    return answer, after
                stamp = after
            raise busy(self._connection.address)

        answer, self.stamp = self._connection.reading(reading, seconds=seconds)
        return answer

    def _admit_plan(self, cypher: str, parameters: dict[str, Any]) -> None:
        if cypher in self._admitted:
            return
        summary = self._connection.reading(
            lambda run: run.run(f"EXPLAIN {cypher}", parameters).consume()
        )
        admit_plan(summary.query_type, summary.plan)
        if len(self._admitted) >= _MOST_TEXTS:
            self._admitted.clear()
        self._admitted.add(cypher)
