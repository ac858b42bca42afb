"""What every graph store can do, whatever engine is behind it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import pandas as pd

from ...encoders.errors import InputError
from ..graph import Graph
from ..schema import NODES, edge_tables, edge_type, node_type

DATASET_COLUMNS = ["key", "content_hash", "parameters", "code_version", "complete"]
"""Columns of :meth:`Store.datasets`."""

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
    """A property graph that is written as tables and read in Cypher.

    A store is a context manager; leaving the block closes it. Data sets are replaced as a whole:
    what a new version of a data set lacks vanishes with the old one, other data sets stay. Of
    shared nodes (genes, codes, metadata, gene sets) the properties of the last write stand.
    """

    address: str

    @abstractmethod
    def write(self, graph: Graph) -> WriteResult:
        """Put the data sets of a graph in place of those of the same key.

        Writing what is there already changes nothing.

        Raises
        ------
        InputError
            The graph holds no data set.
        StoreError
            The store was opened for reading, another writer is at work, or the engine failed.
        """

    @abstractmethod
    def query(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the rows of a reading Cypher statement, as plain Python scalars and lists.

        Raises
        ------
        InputError
            The text is not Cypher or a parameter is missing.
        StoreError
            The statement writes, takes longer than the limit, or the engine failed.
        """

    @abstractmethod
    def remove(self, dataset: str) -> bool:
        """Take out a data set and the shared nodes only it used; ``False`` if it was not there."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the engine; closing twice is harmless."""

    def datasets(self) -> pd.DataFrame:
        """Return one row per data set; ``complete`` is false after a write that broke off.

        Columns: ``key``, ``content_hash``, ``parameters`` (JSON), ``code_version``, ``complete``.
        """
        frame = self.query(_DATASETS)
        return frame.reindex(columns=DATASET_COLUMNS)

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


def query_seconds() -> float:
    """Return the longest time a query may take: SCYPHER_QUERY_SECONDS, 300 when unset.

    Raises
    ------
    InputError
        The variable is not a positive number.
    """
    text = os.environ.get("SCYPHER_QUERY_SECONDS", "300")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        message = (
            f"SCYPHER_QUERY_SECONDS is {text!r}; a positive number of seconds was expected. "
            "Correct or unset it."
        )
        raise InputError(message)
    return seconds


def require_datasets(graph: Graph) -> list[str]:
    """Return the keys of the data sets of a graph; :class:`InputError` if there is none."""
    if keys := graph.datasets():
        return keys
    message = (
        "The graph holds no data set; a store replaces data sets as a whole. "
        "Add a Dataset node that says what the graph was built from."
    )
    raise InputError(message)


def now() -> str:
    """Return the time as ISO text in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
