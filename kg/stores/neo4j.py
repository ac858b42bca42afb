"""The Neo4j store: a server over Bolt, written in batches that can be repeated."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ...encoders.errors import StoreError
from ..graph import Graph, records
from ..schema import node_type
from . import neo4j_texts as texts
from .base import Store, WriteResult, now, query_seconds, require_datasets
from .neo4j_values import explained, malformed, plain

if TYPE_CHECKING:
    from neo4j import Driver

_NODE_ROWS, _VECTOR_ROWS, _EDGE_ROWS = 5_000, 1_000, 5_000


@dataclass(frozen=True)
class Login:
    """User and password of a server; the password is never shown."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)


class Neo4jStore(Store):
    """A graph in a database of Neo4j (5.23 or newer).

    Every batch can be repeated without doubling anything. The Dataset node is ``complete = false``
    until all of its data set arrived and was counted; a write that broke off is cleared away and
    done again by the next one.

    Parameters
    ----------
    address
        Such as ``bolt://host:7687`` or ``neo4j+s://host``.
    login
        User and password; no user means no login.
    database
        Name of the database.
    mode
        ``"r"`` to query, ``"w"`` to write too.
    retry_seconds
        How long a batch is repeated after transient errors.

    Raises
    ------
    InputError
        The address is malformed.
    StoreUnavailableError
        The server cannot be reached or refuses the login or the database.
    """

    def __init__(
        self,
        address: str,
        *,
        login: Login,
        database: str = "neo4j",
        mode: Literal["r", "w"] = "r",
        retry_seconds: float = 30.0,
    ) -> None:
        import neo4j

        self.address = address
        self.database = database
        self.mode = mode
        try:
            self._driver: Driver = neo4j.GraphDatabase.driver(
                address,
                auth=(login.user, login.password or "") if login.user else None,
                max_transaction_retry_time=retry_seconds,
                connection_timeout=10.0,
                notifications_min_severity="OFF",
                user_agent="scypher",
            )
        except (neo4j.exceptions.ConfigurationError, ValueError) as error:
            raise malformed(address, error) from error
        try:
            # Before the first query, whose retries would take half a minute.
            with explained(self.address, self.database):
                self._driver.verify_connectivity()
            self.query("RETURN 1 AS one")
        except ValueError as error:
            self.close()
            raise malformed(address, error) from error
        except BaseException:
            self.close()
            raise

    def write(self, graph: Graph) -> WriteResult:
        """Put the data sets of a graph in place of those of the same key."""
        started = time.monotonic()
        datasets = require_datasets(graph)
        self._refuse_reader()
        with explained(self.address, self.database):
            for text in texts.constraints():
                self._write(text)
            hashes = _hashes(graph, datasets)
            changed = not self._holds(graph, hashes)
            if changed:
                for dataset in datasets:
                    self._clear(dataset)
                self._load(graph, hashes)
        return WriteResult(changed, self.counts(), time.monotonic() - started)

    def remove(self, dataset: str) -> bool:
        """Take out a data set and the shared nodes only it used; ``False`` if it was not there."""
        self._refuse_reader()
        with explained(self.address, self.database):
            found = self._read(texts.DATASET, key=dataset)
            if not found:
                return False
            self._clear(dataset)
            self._write(texts.DROP_DATASET, key=dataset)
        return True

    def query(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the rows of a reading Cypher statement, as plain Python scalars and lists."""
        import neo4j

        with explained(self.address, self.database):
            result = self._driver.execute_query(
                neo4j.Query(cypher, timeout=query_seconds()),
                parameters_=dict(parameters or {}),
                database_=self.database,
                routing_="r",
            )
        rows = [[plain(value) for value in record.values()] for record in result.records]
        return pd.DataFrame(rows, columns=result.keys)

    def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        self._driver.close()

    def _load(self, graph: Graph, hashes: dict[str, str]) -> None:
        """Write every table, count what arrived, and declare the data sets complete."""
        state = {
            key: {"time": now(), "complete": False, "graph_hash": value}
            for key, value in hashes.items()
        }
        for label, frame in graph.nodes.items():
            text = texts.merge_nodes(label)
            kinds = {item.kind for item in node_type(label).properties}
            size = _VECTOR_ROWS if "floats" in kinds else _NODE_ROWS
            for start in range(0, len(frame), size):
                rows = records(frame[start : start + size])
                if label == "Dataset":
                    rows = [row | state[row["key"]] for row in rows]
                self._write(text, rows=rows)
        for key, _ in graph.edges.items():
            # By source: one row a source carries its edges, and locks are taken in one order.
            frame = graph.with_keys(key).sort_values(["source", "target"], kind="stable")
            text = texts.merge_edges(key)
            for start in range(0, len(frame), _EDGE_ROWS):
                self._write(text, rows=_grouped(frame[start : start + _EDGE_ROWS]))
        self._compare(graph)
        self._write(texts.COMPLETE, keys=list(hashes))

    def _compare(self, graph: Graph) -> None:
        """Raise :class:`StoreError` unless the server holds as many rows as were sent."""
        for name, sent in graph.counts().items():
            label, *edge = name.split("-")
            if edge:
                text, keys = texts.count_edges((label, edge[0], edge[1])), graph.datasets()
            else:
                text, keys = texts.count_nodes(label), graph.nodes[label]["key"].tolist()
            found = sum(
                self._read(text, keys=keys[start : start + _NODE_ROWS])[0]["n"]
                for start in range(0, len(keys), _NODE_ROWS)
            )
            if found != sent:
                message = (
                    f"{self.address} holds {found} rows of {name} where {sent} were sent; "
                    "another program may be writing there. Write the graph again."
                )
                raise StoreError(message)

    def _holds(self, graph: Graph, hashes: dict[str, str]) -> bool:
        """Return whether the server holds exactly this graph already."""
        stored = {row["key"]: row for row in self._read(texts.DATASETS)}
        mine = [stored.get(key) for key in hashes]
        for row, expected in zip(mine, hashes.values(), strict=True):
            if row is None or not row["complete"] or row["graph_hash"] != expected:
                return False
        last = min(row["time"] for row in mine if row)
        if all(row["time"] < last for key, row in stored.items() if key not in hashes):
            return True
        # Another data set came later, and may have brought other properties of shared nodes.
        return all(
            self._same_nodes(label, frame)
            for label, frame in graph.nodes.items()
            if label != "Dataset" and not node_type(label).owned
        )

    def _same_nodes(self, label: str, frame: pd.DataFrame) -> bool:
        text = texts.node_properties(label)
        for start in range(0, len(frame), _VECTOR_ROWS):
            rows = {row["key"]: row for row in records(frame[start : start + _VECTOR_ROWS])}
            if {row["n"]["key"]: row["n"] for row in self._read(text, keys=list(rows))} != rows:
                return False
        return True

    def _clear(self, dataset: str) -> None:
        """Delete all of a data set but its Dataset node, which says that it is incomplete."""
        self._write(texts.INCOMPLETE, key=dataset)
        with self._driver.session(database=self.database) as session:
            for text in texts.clear():
                session.run(text, dataset=dataset).consume()

    def _write(self, text: str, **parameters: Any) -> None:
        self._driver.execute_query(
            text,
            parameters_=parameters,
            database_=self.database,
            routing_="w",
        )

    def _read(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        result = self._driver.execute_query(
            text,
            parameters_=parameters,
            database_=self.database,
            routing_="r",
        )
        return [record.data() for record in result.records]

    def _refuse_reader(self) -> None:
        if self.mode != "w":
            message = (
                f"{self.address} was opened for reading and cannot be written. "
                'Open it with mode="w".'
            )
            raise StoreError(message)


def _hashes(graph: Graph, datasets: list[str]) -> dict[str, str]:
    """Return the hash of each data set of a graph, taken alone."""
    hashes = {}
    for dataset in datasets:
        alone = graph
        for other in datasets:
            alone = alone if other == dataset else alone.without(other)
        hashes[dataset] = alone.content_hash()
    return hashes


def _grouped(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one row per source: its key, and key and properties of each edge."""
    targets = frame["target"].tolist()
    properties = records(frame.drop(columns=["source", "target"]))
    if not properties:
        properties = [{} for _ in targets]
    rows: dict[str, list[dict[str, Any]]] = {}
    for source, target, values in zip(frame["source"].tolist(), targets, properties, strict=True):
        rows.setdefault(source, []).append({"key": target, "properties": values})
    return [{"source": source, "targets": edges} for source, edges in rows.items()]
