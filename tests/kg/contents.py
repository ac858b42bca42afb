"""Everything that a store answers, as a graph: the oracle of what is in a database."""

from typing import Any

import pandas as pd

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import NODES, Property, edge_tables, edge_type
from scypher.kg.stores import Store

_UNKNOWN = {"string": "", "float": float("nan"), "floats": None, "strings": None}


def contents(store: Store) -> Graph:
    """Return the graph that exhaustive queries find; more than the schema knows is an error."""
    nodes: dict[str, pd.DataFrame] = {}
    for node in NODES:
        rows = store.query(f"MATCH (n:{node.label}) RETURN properties(n) AS n")
        if len(rows):
            extra = {"time", "complete"} if node.label == "Dataset" else set()
            nodes[node.label] = _frame(list(rows["n"]), node.properties, extra)
    edges: dict[EdgeKey, pd.DataFrame] = {}
    for key in edge_tables():
        source, type_, target = key
        rows = store.query(
            f"MATCH (a:{source})-[r:{type_}]->(b:{target}) "
            "RETURN a.key AS source, b.key AS target, properties(r) AS r"
        )
        if len(rows):
            frame = _frame(list(rows["r"]), edge_type(*key).properties, set())
            ends = {
                end: pd.Index(nodes[label]["key"]).get_indexer(rows[end])
                for end, label in (("source", source), ("target", target))
            }
            edges[key] = frame.assign(**ends)
    return Graph(nodes, edges)


def _frame(
    rows: list[dict[str, Any]], properties: tuple[Property, ...], extra: set[str]
) -> pd.DataFrame:
    unknown = {name for row in rows for name in row} - {item.name for item in properties} - extra
    assert not unknown
    return pd.DataFrame(
        {
            item.name: pd.Series(
                [_value(row.get(item.name, _UNKNOWN.get(item.kind)), item.kind) for row in rows],
                dtype=None if item.kind in ("integer", "float", "boolean") else object,
            )
            for item in properties
        }
    )


def _value(value: Any, kind: str) -> Any:
    return [float(item) for item in value] if kind == "floats" and value is not None else value
