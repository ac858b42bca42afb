"""A graph as networkx and back."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import Property
from .columns import LISTS, properties, refuse

if TYPE_CHECKING:
    import networkx as nx

TABLES = "scypher_tables"
"""Attribute of the graph that names its tables, so that empty ones come back."""


def to_networkx(graph: Graph) -> "nx.MultiDiGraph":
    """Return a networkx graph of (label, key) nodes, for small graphs.

    Label and type stand in ``kind`` of nodes and edges, beside their properties as plain Python
    values; unknown numbers and lists are left out. The attribute ``scypher_tables`` of the graph
    lists its tables. ``networkx.node_link_data`` of it is valid input of :func:`json.dumps`.
    """
    import networkx as nx

    found = nx.MultiDiGraph(**{TABLES: list(graph.counts())})
    for label, frame in graph.nodes.items():
        keys = frame["key"].tolist()
        rows = _rows(frame, properties(label), label)
        found.add_nodes_from(((label, key), row) for key, row in zip(keys, rows, strict=True))
    for key in graph.edges:
        frame = graph.with_keys(key)
        ends = zip(frame["source"].tolist(), frame["target"].tolist(), strict=True)
        rows = _rows(frame, properties("-".join(key)), key[1])
        found.add_edges_from(
            ((key[0], source), (key[2], target), row)
            for (source, target), row in zip(ends, rows, strict=True)
        )
    return found


def from_networkx(network: "nx.MultiDiGraph") -> Graph:
    """Return the graph of what :func:`to_networkx` returned, or of the same form.

    Nodes are (label, key), an edge has its type in ``kind``; the label of a node stands in its
    name. Numbers and lists that are not there are unknown, text that is not there is empty.

    Raises
    ------
    InputError
        A node is no such pair, an edge has no ``kind``, an attribute is not in the schema, or the
        tables are no valid graph.
    """
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name in network.graph.get(TABLES, ()):
        rows[name] = []
    place: dict[Any, int] = {}
    for node, values in network.nodes(data=True):
        if not (isinstance(node, tuple) and len(node) == 2):
            refuse(f"The node {node!r} is no pair of label and key. Name nodes (label, key).")
        table = rows[node[0]]
        place[node] = len(table)
        table.append({"key": node[1], **values})
    ends: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for source, target, values in network.edges(data=True):
        if "kind" not in values:
            refuse(f"The edge from {source!r} to {target!r} has no kind. Give it a type.")
        name = f"{source[0]}-{values['kind']}-{target[0]}"
        rows[name].append(values)
        ends[name].append((place[source], place[target]))
    nodes: dict[str, pd.DataFrame] = {}
    edges: dict[EdgeKey, pd.DataFrame] = {}
    for name, found in rows.items():
        frame = _frame(name, found)
        label, *rest = name.split("-")
        if rest:
            pairs = pd.DataFrame(ends[name], columns=["source", "target"], dtype="int64")
            edges[(label, rest[0], rest[1])] = pd.concat([pairs, frame], axis=1)
        else:
            nodes[label] = frame
    return Graph(nodes, edges)


def _rows(frame: pd.DataFrame, declared: tuple[Property, ...], kind: str) -> "list[dict[str, Any]]":
    """Return rows as plain dicts; a text is always there, as no text is not the empty one."""
    columns = [frame[item.name].tolist() for item in declared]
    names = [(item.name, item.kind == "string") for item in declared]
    if not columns:
        return [{"kind": kind} for _ in range(len(frame))]
    return [
        {"kind": kind}
        | {
            name: value
            for (name, is_text), value in zip(names, row, strict=True)
            if is_text or (value is not None and value == value)
        }
        for row in zip(*columns, strict=True)
    ]


def _frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    declared = properties(name)
    unknown = set().union(*rows) - {item.name for item in declared} - {"kind"}
    if unknown:
        listed = ", ".join(sorted(map(str, unknown)))
        refuse(
            f"{name} has attributes that are not in the schema: {listed}; a graph holds declared "
            "properties only. Remove them from the network."
        )
    return pd.DataFrame(
        {item.name: _column(name, item, rows) for item in declared}, index=range(len(rows))
    )


def _column(table: str, item: Property, rows: list[dict[str, Any]]) -> "pd.Series":
    if item.kind in ("integer", "boolean"):
        missing = sum(item.name not in row for row in rows)
        if missing:
            refuse(
                f"{missing} of {table} have no {item.name}; an {item.kind} cannot be unknown. "
                "Give each a value."
            )
        return pd.Series([row[item.name] for row in rows], dtype=None if rows else "int64")
    absent: Any = "" if item.kind == "string" else None if item.kind in LISTS else float("nan")
    dtype = "float64" if item.kind == "float" else object
    return pd.Series([row.get(item.name, absent) for row in rows], dtype=dtype)
