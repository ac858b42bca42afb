"""Bulk load of a graph into an empty embedded database, and the proof that all of it arrived."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ...encoders.errors import StoreError
from ..graph import EdgeKey, Graph, records
from ..schema import EDGES, NODES, Property

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
    ]
    # One script: one by one, the engine rewrites its schema file two hundred times.
    database.command("sqlscript", ";\n".join([*script, ""]))


def load(database: Any, graph: Graph, times: dict[str, str]) -> None:
    """Load every table; data sets get their time of writing."""
    # Bounded buffers: a batch that sizes itself outgrows a heap of 1-2 GB.
    with database.graph_batch(
        batch_size=100_000,
        max_deferred_incoming_edges=1_000_000,
        use_wal=False,
        parallel_flush=True,
    ) as batch:
        ids: dict[str, np.ndarray[Any, Any]] = {}
        for label, frame in graph.nodes.items():
            if label == "Dataset":
                frame = frame.assign(time=frame["key"].map(times), complete=True)
            made: list[str] = []
            for start in range(0, len(frame), _CHUNK):
                made += batch.create_vertices(label, records(frame[start : start + _CHUNK]))
            ids[label] = np.array(made, dtype=object)
        for key, frame in graph.edges.items():
            for start in range(0, len(frame), _CHUNK):
                chunk = frame[start : start + _CHUNK]
                _edges(
                    batch,
                    key,
                    chunk.drop(columns=["source", "target"]),
                    (
                        ids[key[0]][chunk["source"].to_numpy()],
                        ids[key[2]][chunk["target"].to_numpy()],
                    ),
                )


def verify(database: Any, graph: Graph) -> None:
    """Count nodes, and edges from both ends, against the tables.

    Raises
    ------
    StoreError
        A number differs.
    """
    expected: dict[str, int] = {}
    for label, frame in graph.nodes.items():
        expected[f"SELECT count(*) AS n FROM `{label}`"] = len(frame)
    for (source, type_, target), frame in graph.edges.items():
        for label, end in ((source, "out"), (target, "in")):
            text = f"SELECT sum({end}E('{type_}').size()) AS n FROM `{label}`"
            expected[text] = expected.get(text, 0) + len(frame)
    for text, count in expected.items():
        found = database.query("sql", text).to_list()[0]["n"] or 0
        if found != count:
            message = f"The bulk load stored {found} where {count} were sent ({text}). Try again."
            raise StoreError(message)


def json_rows(frame: pd.DataFrame) -> str:
    """Return rows as the text of a JSON list of objects; unknown and infinite values left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    members = [_members(json.dumps(name), frame[name]) for name in frame.columns if len(frame)]
    if not members:
        return "[" + ",".join(["{}"] * len(frame)) + "]"
    comma = pa.scalar(",", pa.large_string())
    rows = pc.binary_join_element_wise(*members, comma, null_handling="skip")
    return f"[{{{'},{'.join(rows.to_pylist())}}}]"


def _members(name: str, values: pd.Series) -> Any:
    """Return `"name":value` of every row, null where there is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.dtype == object:
        codes, unique = pd.factorize(values.map(_hashable))
        texts = pa.array([json.dumps(value) for value in unique], pa.large_string())
        array = texts.take(pa.array(codes, mask=codes < 0))
    else:
        numbers = values.to_numpy()
        mask = ~np.isfinite(numbers)
        array = pc.cast(pa.array(numbers, mask=mask), pa.large_string())
    member, colon = (pa.scalar(text, pa.large_string()) for text in (name, ":"))
    return pc.binary_join_element_wise(member, array, colon)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _edges(batch: Any, key: EdgeKey, frame: pd.DataFrame, ends: tuple[Any, Any]) -> None:
    """Buffer the edges of a chunk, as one text where the bridge of the package allows it."""
    from arcadedb_embedded.results import _bridge_class

    bridge = _bridge_class("EdgeBatcher")
    numbers = frame.select_dtypes("float").to_numpy()
    if bridge is None or np.isinf(numbers).any():
        batch.new_edges(ends[0], key[1], ends[1], records(frame) if len(frame.columns) else None)
        return
    text = json_rows(frame.assign(_src=ends[0], _dst=ends[1]))
    bridge.newEdgesJson(batch._java_graph_batch, key[1], text)


def _properties(name: str, properties: Iterable[Property]) -> list[str]:
    return [f"CREATE PROPERTY `{name}`.`{item.name}` {_TYPES[item.kind]}" for item in properties]
