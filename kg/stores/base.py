"""What every graph store can do, whatever engine is behind it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import pandas as pd

from ...encoders.errors import InputError, StoreError
from ..door import Budget, Statistics, admit, estimate, refuse_over
from ..graph import Graph
from ..schema import NODES, edge_tables, edge_type, node_type
from ..versions.donors import excluded_donors, is_excluded, without_donor
from ..versions.ledger import Ledger
from ..versions.pieces import split_by_hash, union
from ..versions.plan import Plan, now

DATASET_COLUMNS = ["key", "content_hash", "parameters", "code_version", "complete"]
"""Columns of :meth:`Store.datasets`."""

VERSION_COLUMNS = [
    *("version", "time", "action", "code_version", "datasets", "hash", "rows", "readable")
]
"""Columns of :meth:`Store.versions`."""

SCHEMA_COLUMNS = ["table", "kind", "rows", "property", "type", "doc"]
"""Columns of :meth:`Store.schema`."""

_DATASETS = (
    "MATCH (d:Dataset) WHERE d.key IS NOT NULL RETURN d.key AS key, "
    "d.content_hash AS content_hash, d.parameters AS parameters, "
    "d.code_version AS code_version, coalesce(d.complete, false) AS complete ORDER BY key"
)


@dataclass(frozen=True)
class WriteResult:
    """What a write did: whether anything changed, rows per table afterwards, seconds taken."""

    changed: bool
    counts: dict[str, int]
    seconds: float


class Store(ABC):
    """A property graph that is written as tables, read in Cypher, and remembers its versions.

    A store is a context manager; leaving the block closes it. Data sets are replaced as a whole:
    what a new version of a data set lacks vanishes with the old one, other data sets stay. Of
    shared nodes (genes, codes, metadata, gene sets) the properties of the last write stand; when
    that data set is removed, those of the others stand again.

    An engine implements :meth:`close` and the methods with a leading underscore.
    """

    address: str
    mode: Literal["r", "w"]

    def write(self, graph: Graph, *, action: str | None = None) -> WriteResult:
        """Put the data sets of a graph in place of those of the same key, as a new version.

        Writing what is there already changes nothing and makes no version.

        Parameters
        ----------
        graph
            One data set or several.
        action
            What the ledger says was done; ``write <data sets>`` by default.

        Raises
        ------
        InputError
            The graph holds no data set.
        StoreError
            The store was opened for reading, another writer is at work, or the engine failed.
        """
        started = time.monotonic()
        datasets = require_datasets(graph)
        self._refuse_reader()
        hashes, pieces = split_by_hash(graph)
        with self._writing() as ledger:
            plan = Plan(ledger, self._tables, pieces)
            entries = ledger.written(hashes, now())
            changed = ledger.current is None or plan.changes(entries)
            if changed:
                ledger = plan.next(entries, action or f"write {', '.join(datasets)}")
                self._commit(ledger, pieces)
        counts = ledger.current.counts if ledger.current else {}
        return WriteResult(changed, counts, time.monotonic() - started)

    def remove(self, dataset: str, *, donor: str | None = None, forget: bool = False) -> bool:
        """Take out a data set and the shared nodes only it used, or one donor of a data set.

        Without a donor's cells, what was computed from all cells no longer holds: sizes and shares
        are counted again, and every aggregate that cannot be is marked ``stale`` until the data
        set is built again (see :func:`scypher.kg.versions.donors.without_donor`).

        Parameters
        ----------
        dataset
            Key of the data set.
        donor
            Label or key of a donor; the whole data set when not given.
        forget
            Also make every past version that holds what was removed unreadable, and delete its
            data: for consent that was withdrawn.

        Returns
        -------
        bool
            ``False`` if the data set was not there.

        Raises
        ------
        InputError
            The data set has no such donor, or has no other one.
        """
        self._refuse_reader()
        with self._writing() as ledger:
            found = next((item for item in ledger.entries if item.dataset == dataset), None)
            past = {version.pieces.get(dataset, "") for version in ledger.versions} - {""}
            if found is None and not (forget and past):
                return False
            new: dict[str, Graph] = {}
            if found is not None:
                action = f"remove {dataset}"
                entries = ledger.removed(dataset)
                if donor is not None:
                    piece = self._piece(found.piece)
                    if not (forget and is_excluded(piece, donor)):
                        piece = without_donor(piece, donor)
                    new = {piece.content_hash(): piece}
                    entries = ledger.replaced(dataset, *new)
                    # A name would outlive in the ledger what is forgotten, now or later.
                    action = f"remove one donor of {dataset}"
                ledger = Plan(ledger, self._tables, new).next(entries, action)
            if forget:
                ledger = ledger.forgetting(past - set(new))
            self._commit(ledger, new)
        return True

    def keep(self, versions: int) -> None:
        """Keep the data of the last ``versions`` versions only; of the others the line remains.

        Raises
        ------
        InputError
            The number is less than 1: the graph itself is a version.
        """
        if versions < 1:
            message = f"{versions} versions were to be kept; 1 or more was expected. Correct it."
            raise InputError(message)
        self._refuse_reader()
        with self._writing() as ledger:
            self._commit(ledger.keeping(versions), {})

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        budget: Budget | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a reading Cypher statement, as plain Python scalars and lists.

        Parameters
        ----------
        cypher
            One statement that reads.
        parameters
            Values of its parameters.
        budget
            Seconds, rows and estimated work that it may take; from the environment by default.

        Raises
        ------
        InputError
            The text is not Cypher or a parameter is missing.
        StoreError
            The statement writes or reaches outside of the graph, would take or takes more than
            the budget, or the engine failed.
        StoreBusyError
            A write was going on, so that the answer would have mixed two versions.
        """
        budget = budget or Budget.from_environment()
        admit(cypher)
        refuse_over(budget, estimate(cypher, self.statistics()))
        return self._answer(cypher, dict(parameters or {}), budget)

    @abstractmethod
    def close(self) -> None:
        """Let go of the engine; closing twice is harmless."""

    def versions(self) -> pd.DataFrame:
        """Return one row per version, oldest first; the last one is the graph.

        Columns: ``version``, ``time``, ``action``, ``code_version``, ``datasets`` (list), ``hash``
        (equal for equal versions), ``rows`` (nodes and edges) and ``readable``.
        """
        rows = [
            (
                version.number,
                version.time,
                version.action,
                version.code_version,
                sorted(version.pieces),
                version.hash,
                sum(version.counts.values()),
                version.readable,
            )
            for version in self._ledger().versions
        ]
        return pd.DataFrame(rows, columns=VERSION_COLUMNS)

    def graph(self, version: int = -1) -> Graph:
        """Return a version as tables, the current one by default.

        Raises
        ------
        InputError
            There is no such version, or it was forgotten.
        """
        ledger = self._ledger()
        if not ledger.versions:
            return Graph()
        pieces = [self._piece(entry.piece) for entry in ledger.version(version).entries]
        return union(pieces) if pieces else Graph()

    def statistics(self) -> Statistics:
        """Return rows and degrees of the current version, as the budget estimates with them."""
        ledger = self._ledger()
        return Statistics.combine(
            [Statistics.from_dict(ledger.statistics[entry.piece]) for entry in ledger.entries]
        )

    @abstractmethod
    def _answer(self, cypher: str, parameters: dict[str, Any], budget: Budget) -> pd.DataFrame:
        """Run an admitted statement on the read channel of the engine, within the budget."""

    @abstractmethod
    def _ledger(self) -> Ledger:
        """Return the ledger as it was last committed; an empty one before the first write."""

    @abstractmethod
    def _tables(
        self, piece: str, names: list[str] | None = None, columns: list[str] | None = None
    ) -> dict[str, pd.DataFrame]:
        """Return tables of a kept piece: all, or those of ``names`` that it has."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Ledger]:
        """Lock out other writers, finish or undo what a killed one left, yield the ledger."""

    @abstractmethod
    def _commit(self, ledger: Ledger, pieces: dict[str, Graph]) -> None:
        """Make the last version of ``ledger`` the graph, all of it or nothing.

        ``pieces`` holds by hash what the archive may not have yet. Pieces that no readable version
        needs are deleted afterwards; where the last version is the graph already, that is all.
        """

    def _piece(self, piece: str) -> Graph:
        return Graph.from_tables(self._tables(piece))

    def _refuse_reader(self) -> None:
        if self.mode != "w":
            message = (
                f"{self.address} was opened for reading and cannot be written. "
                'Open it with mode="w".'
            )
            raise StoreError(message)

    def datasets(self) -> pd.DataFrame:
        """Return one row per data set; ``complete`` is false after a write that broke off.

        Columns: ``key``, ``content_hash``, ``parameters`` (JSON), ``code_version``, ``complete``.
        """
        frame = self.query(_DATASETS)
        return frame.reindex(columns=DATASET_COLUMNS)

    def excluded_donors(self, dataset: str) -> list[str]:
        """Return what is remembered of the donors that are left out of a data set.

        The tokens of :func:`scypher.kg.versions.donors.donor_token`, sorted; none where there is
        no such data set.
        """
        pieces = [entry.piece for entry in self._ledger().entries if entry.dataset == dataset]
        if not pieces:
            return []
        return excluded_donors(Graph.from_tables(self._tables(pieces[0], ["Dataset"])))

    def counts(self) -> dict[str, int]:
        """Return rows per table, counted in the engine; tables without rows are left out."""
        tables = {
            # A node without a key is nobody of ours: Neo4j may hold other people's nodes.
            node.label: f"MATCH (n:{node.label}) WHERE n.key IS NOT NULL RETURN count(n) AS n"
            for node in NODES
        } | {
            f"{source}-{type_}-{target}": (
                f"MATCH (a:{source})-[r:{type_}]->(b:{target}) RETURN count(r) AS n"
            )
            for source, type_, target in edge_tables()
        }
        counts = {name: int(self.query(text)["n"].iloc[0]) for name, text in tables.items()}
        return {name: count for name, count in counts.items() if count}

    def schema(self) -> pd.DataFrame:
        """Return one row per property of every table that has rows.

        Columns: ``table``, ``kind`` (node or edge), ``rows``, ``property`` (empty for an edge
        table without properties), ``type`` and ``doc``, as declared in :mod:`scypher.kg.schema`.
        """
        rows: list[tuple[str, str, int, str, str, str]] = []
        for table, count in self.counts().items():
            label, *edge = table.split("-")
            declared = edge_type(label, edge[0], edge[1]) if edge else node_type(label)
            kind = "edge" if edge else "node"
            rows += [
                (table, kind, count, item.name, item.kind, item.doc) for item in declared.properties
            ] or [(table, kind, count, "", "", declared.doc)]
        return pd.DataFrame(rows, columns=SCHEMA_COLUMNS)

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()


def require_datasets(graph: Graph) -> list[str]:
    """Return the keys of the data sets of a graph; :class:`InputError` if there is none."""
    if keys := graph.datasets():
        return keys
    message = (
        "The graph holds no data set; a store replaces data sets as a whole. "
        "Add a Dataset node that says what the graph was built from."
    )
    raise InputError(message)
