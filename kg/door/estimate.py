"""How many rows a statement would pass through, from the degrees of the graph, before it runs.

A pattern starts at the node with the fewest rows: one that is known already, one that a key picks,
else all of a label. Every hop multiplies by the mean degree of a node reached by an edge (see
:mod:`scypher.kg.door.statistics`), so that hubs count as often as they are met. A condition that
is no key lets everything through: the estimate errs on the side of more.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from ...encoders.errors import StoreError
from .budget import Budget
from .flow import Flow
from .statistics import Statistics
from .steps import Step
from .tokens import Token, matching, significant, tokenise


@dataclass(frozen=True)
class Estimate:
    """The steps of a statement with the rows that each passes through."""

    steps: tuple[Step, ...] = field(default=())

    @property
    def touched(self) -> float:
        """Rows over all steps."""
        return sum(step.rows for step in self.steps)

    @property
    def worst(self) -> Step | None:
        """The step with the most rows; the first of equals."""
        return max(self.steps, key=lambda step: step.rows, default=None)


def estimate(text: str, statistics: Statistics) -> Estimate:
    """Return how many rows each step of an admitted statement would pass through.

    Parameters
    ----------
    text
        A statement that :func:`scypher.kg.door.guard.admit` let through.
    statistics
        Rows and degrees of the graph.

    Raises
    ------
    InputError
        The text is not made of Cypher tokens.
    """
    tokens, pairs = _read(text)
    flow = Flow(text, tokens, pairs, statistics)
    flow.run(0, len(tokens))
    return Estimate(tuple(flow.steps))


def refuse_over(budget: Budget, found: Estimate) -> None:
    """Raise :class:`StoreError` if a statement would touch more rows than the budget allows.

    The message names the largest step, its size, the limit, the hub that makes it large, and what
    to narrow.
    """
    worst = found.worst
    if worst is None or found.touched <= budget.touched:
        return
    hub = ""
    if worst.hub is not None:
        source, type_, target = worst.hub.table
        side, other = (source, target) if worst.hub.out else (target, source)
        hub = (
            f" Hubs make it large: one {side} has {worst.hub.largest:,} {type_} edges "
            f"{'to' if worst.hub.out else 'from'} {other}."
        )
    message = (
        f"The query would touch about {_rounded(found.touched)} rows, and "
        f"{_rounded(budget.touched)} are allowed (SCYPHER_QUERY_TOUCHED). Its largest step is "
        f"{worst.text}: about {_rounded(worst.rows)} rows.{hub} {worst.advice}"
    )
    raise StoreError(message)


@lru_cache(maxsize=64)
def _read(text: str) -> tuple[list[Token], dict[int, int]]:
    tokens = significant(tokenise(text))
    return tokens, matching(tokens)


def _rounded(rows: float) -> str:
    return f"{rows:,.0f}" if rows < 1e6 else f"{rows:.1e}".replace("e+0", "e").replace("e+", "e")
