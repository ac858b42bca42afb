"""Bulk load of an embedded database, and the proof that all of it arrived."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...encoders.errors import StoreError
from ..graph import EdgeKey, Graph, records
from ..schema import EDGES, NODES, Property
from .json_rows import has_infinity, joined, json_rows

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 100_000
_TYPES = {
    "string": "STRING",
    "integer": "LONG",
    "float": "DOUBLE",
    "boolean": "BOOLEAN",
    "floats": "LIST",
    "strings": "LIST",
}


def declare(database: Any) -> None:
    """Create the types, properties and key indexes of the schema."""
    # Types of properties matter: JSON text does not tell 1.0 from 1.
    script: list[str] = []
    for node in NODES:
        script.append(f"CREATE VERTEX TYPE `{node.label}`")
        script += _properties(node.label, node.properties)
        script.append(f"CREATE INDEX ON `{node.label}` (`key`) UNIQUE")
    edges: dict[str, dict[str, Property]] = {}
    for edge in EDGES:
        edges.setdefault(edge.type, {}).update({item.name: item for item in edge.properties})
    for type_, properties in edges.items():
        script.append(f"CREATE EDGE TYPE `{type_}`")
        script += _properties(type_, properties.values())
    script += [
        "CREATE PROPERTY `Dataset`.`time` STRING",
        "CREATE PROPERTY `Dataset`.`complete` BOOLEAN",
        "CREATE INDEX ON `Gene` (`symbol`) NOTUNIQUE",
        "CREATE INDEX ON `Cell` (`barcode`) NOTUNIQUE",
    ]
    # One script: one by one, the engine rewrites its schema file two hundred times.
    database.command("sqlscript", ";\n".join([*script, ""]))


def batch(database: Any) -> AbstractContextManager[Any]:
    """Return a batch of the engine; its edges are complete when it closes."""
    # Bounded buffers: a batch that sizes itself outgrows a heap of 1-2 GB.
    return database.graph_batch(  # type: ignore[no-any-return]
        batch_size=200_000,
        max_deferred_incoming_edges=2_000_000,
        use_wal=False,
        parallel_flush=True,
    )


def load(database: Any, graph: Graph, times: Mapping[str, str]) -> None:
    """Load every table into an empty database; data sets get their time of writing."""
    with batch(database) as batch_:
        ids = {
            label: create_nodes(batch_, label, stamped(label, frame, times))
            for label, frame in graph.nodes.items()
        }
        for key, frame in graph.edges.items():
            create_edges(batch_, key, frame, ids)


def stamped(label: str, frame: pd.DataFrame, times: Mapping[str, str]) -> pd.DataFrame:
    """Return nodes as the database holds them: a data set has its time, and is complete."""
    if label != "Dataset":
        return frame
    return frame.assign(time=frame["key"].map(dict(times)), complete=True)


def create_nodes(batch: Any, label: str, frame: pd.DataFrame) -> "pa.Array":
    """Create nodes and return their record ids."""
    import pyarrow as pa

    bridge = _bridge("VertexBatcher")
    made: list[str] = []
    for chunk in _chunks(frame):
        if bridge is None or has_infinity(chunk):
            made += batch.create_vertices(label, records(chunk))
            continue
        ids = str(bridge.createVerticesJson(batch._java_graph_batch, label, json_rows(chunk)))
        made += ids.split(";")
    return pa.array(made, pa.large_string())


def create_edges(
    batch: Any, key: EdgeKey, frame: pd.DataFrame, ids: "Mapping[str, pa.Array]"
) -> None:
    """Buffer edges; ``ids`` holds the record id of every row of the node tables, by label."""

    def prepared(chunk: pd.DataFrame) -> Callable[[], None]:
        return _sender(
            batch,
            key[1],
            chunk.drop(columns=["source", "target"]),
            (
                ids[key[0]].take(chunk["source"].to_numpy()),
                ids[key[2]].take(chunk["target"].to_numpy()),
            ),
        )

    # The next text is built while the engine works on the last one.
    with ThreadPoolExecutor(1) as worker:
        pending = None
        for chunk in _chunks(frame):
            following = worker.submit(prepared, chunk)
            if pending is not None:
                pending.result()()
            pending = following
        if pending is not None:
            pending.result()()


def verify(database: Any, counts: Mapping[str, int]) -> None:
    """Count nodes, edges, and edges from both ends, against the rows per table.

    The edges that a traversal finds leaving the nodes of each label, and reaching them, must be as
    many as the tables hold, and so must the records of each type.

    Raises
    ------
    StoreError
        A number differs.
    """
    expected = {(kind, node.label): 0 for node in NODES for kind in ("count", "out", "in")}
    expected |= {("count", edge.type): 0 for edge in EDGES}
    for name, count in counts.items():
        source, *rest = name.split("-")
        if rest:
            expected["count", rest[0]] += count
            expected["out", source] += count
            expected["in", rest[1]] += count
        else:
            expected["count", source] = count
    for (kind, type_), count in expected.items():
        what = "count(*)" if kind == "count" else f"sum({kind}E().size())"
        text = f"SELECT {what} AS n FROM `{type_}`"
        found = database.query("sql", text).to_list()[0]["n"] or 0
        if found != count:
            message = (
                f"The database holds {found} where {count} were sent ({text}). "
                "Free some memory and disk, and try again."
            )
            raise StoreError(message)


def _sender(
    batch: Any, type_: str, frame: pd.DataFrame, ends: "tuple[pa.Array, pa.Array]"
) -> Callable[[], None]:
    """Return what hands a chunk of edges to the engine, as one text where its bridge allows it."""
    bridge = _bridge("EdgeBatcher")
    java = batch._java_graph_batch
    if bridge is None or has_infinity(frame):
        rows = records(frame) if len(frame.columns) else None
        sources, targets = (end.to_pylist() for end in ends)
        return lambda: batch.new_edges(sources, type_, targets, rows)
    if not len(frame.columns):
        first, second = (joined(end, ";") for end in ends)
        return lambda: bridge.newEdgesJoined(java, first, type_, second)
    text = json_rows(frame, {"_src": ends[0], "_dst": ends[1]})
    return lambda: bridge.newEdgesJson(java, type_, text)


def _bridge(name: str) -> Any:
    from arcadedb_embedded.results import _bridge_class

    return _bridge_class(name)


def _chunks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), _CHUNK):
        yield frame[start : start + _CHUNK]


def _properties(name: str, properties: Iterable[Property]) -> list[str]:
    return [f"CREATE PROPERTY `{name}`.`{item.name}` {_TYPES[item.kind]}" for item in properties]
