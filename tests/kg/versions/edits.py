"""Known edits of graphs, and random ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import Property, edge_type, node_type

FIXED = ("dataset", "dataset_hash", "encoder_hash", "code_version", "null", "method")
"""Properties whose values must be kept for a graph to stay valid or of the same data set."""


def copied(graph: Graph) -> tuple[dict[str, pd.DataFrame], dict[EdgeKey, pd.DataFrame]]:
    """Return the tables of a graph, free to be changed."""
    nodes = {label: frame.copy() for label, frame in graph.nodes.items()}
    return nodes, {key: frame.copy() for key, frame in graph.edges.items()}


def edited(graph: Graph, edit: Callable[[dict[str, Any], dict[EdgeKey, Any]], None]) -> Graph:
    """Return the graph after an edit of copies of its tables."""
    nodes, edges = copied(graph)
    edit(nodes, edges)
    return Graph(nodes, edges)


def with_table(graph: Graph, name: str | EdgeKey, frame: pd.DataFrame | None) -> Graph:
    """Return the graph with another table of a label or an edge type, or without it."""
    nodes, edges = copied(graph)
    table = {} if frame is None else {name: frame}
    if isinstance(name, str):
        nodes = {key: nodes[key] for key in nodes if key != name} | table
    else:
        edges = {key: edges[key] for key in edges if key != name} | table
    return Graph(nodes, edges)


def without_nodes(graph: Graph, label: str, gone: np.ndarray) -> Graph:
    """Return the graph without some nodes and their edges."""
    kept = {name: np.ones(len(frame), bool) for name, frame in graph.nodes.items()}
    kept[label] = ~gone
    place = {name: np.cumsum(mask) - 1 for name, mask in kept.items()}
    edges = {}
    for key, frame in graph.edges.items():
        mask = kept[key[0]][frame["source"]] & kept[key[2]][frame["target"]]
        edges[key] = frame[mask].assign(
            source=place[key[0]][frame["source"][mask]], target=place[key[2]][frame["target"][mask]]
        )
    return Graph({name: frame[kept[name]] for name, frame in graph.nodes.items()}, edges)


def shuffled(graph: Graph, rng: np.random.Generator) -> Graph:
    """Return the same graph with the rows of every table in another order."""
    order = {label: rng.permutation(len(frame)) for label, frame in graph.nodes.items()}
    place = {label: np.argsort(rows) for label, rows in order.items()}
    return Graph(
        {label: frame.iloc[order[label]] for label, frame in graph.nodes.items()},
        {
            key: frame.assign(
                source=place[key[0]][frame["source"]], target=place[key[2]][frame["target"]]
            ).iloc[rng.permutation(len(frame))]
            for key, frame in graph.edges.items()
        },
    )


def randomly_edited(graph: Graph, rng: np.random.Generator) -> Graph:
    """Return a valid graph with nodes and edges gone, values changed and rows in another order."""
    for label in rng.choice(sorted(graph.nodes), rng.integers(3), replace=False):
        if label not in ("Dataset", "Gene"):
            graph = without_nodes(graph, label, rng.random(len(graph.nodes[label])) < 0.3)
    nodes, edges = copied(graph)
    for label in rng.choice(sorted(nodes), rng.integers(4), replace=False):
        _change(nodes[label], node_type(label).properties, {"key", *FIXED}, rng)
    keys = list(edges)
    for position in rng.choice(len(keys), rng.integers(8), replace=False):
        key = keys[position]
        edges[key] = edges[key][rng.random(len(edges[key])) < 0.8].reset_index(drop=True)
        fixed = {*FIXED, *edge_type(*key).identity}
        _change(edges[key], edge_type(*key).properties, fixed, rng)
        if rng.random() < 0.2:
            del edges[key]
    return shuffled(Graph(nodes, edges), rng)


def _change(
    frame: pd.DataFrame, properties: tuple[Property, ...], fixed: set[str], rng: np.random.Generator
) -> None:
    values: dict[str, list[Any]] = {
        "string": ["", "é\n'\"", "new"],
        "integer": [0, 7, -3],
        "float": [0.25, 0.5, 1.0],
        "boolean": [True, False],
        "floats": [None, [], [1.0, 2.5]],
        "strings": [None, [], ["a", "b;c"]],
    }
    for item in properties:
        if item.name in fixed or not len(frame) or rng.random() < 0.6:
            continue
        column = frame[item.name].astype(object).to_list()
        for row in rng.choice(len(frame), rng.integers(1, len(frame) + 1), replace=False):
            column[row] = values[item.kind][rng.integers(len(values[item.kind]))]
        if item.kind == "float" and item.name not in ("p", "q", "effect"):
            column[0] = [np.nan, -0.0, np.inf, 0.1][rng.integers(4)]
        series = pd.Series(column, dtype=object)
        frame[item.name] = (
            series if item.kind not in ("integer", "float") else pd.to_numeric(series)
        )
