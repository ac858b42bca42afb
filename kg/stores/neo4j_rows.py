"""Rows for the statements of the Neo4j store, in batches, built from columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph, records
from ..schema import edge_type, node_type

_NODE_ROWS, _VECTOR_ROWS = 5_000, 1_000
_VALUES, _MOST_EDGES = 100_000, 20_000
"""Values and edges of a batch: what a server with a heap of 512 MB holds beside its work."""


def node_batches(label: str, frame: pd.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of nodes as maps; unknown values are left out."""
    kinds = {item.kind for item in node_type(label).properties}
    size = _VECTOR_ROWS if "floats" in kinds else _NODE_ROWS
    for start in range(0, len(frame), size):
        rows = records(frame[start : start + size])
        # For other tools: by the ledger no data set that a reader sees is less than complete.
        yield [row | {"complete": True} for row in rows] if label == "Dataset" else rows


def edge_batches(graph: Graph, key: EdgeKey, rows: np.ndarray | None) -> Iterator[dict[str, Any]]:
    """Yield edges as parameters of :func:`~scypher.kg.stores.neo4j_texts.create_edges`.

    Parameters
    ----------
    graph, key
        The table of edges.
    rows
        Positions of the edges to take; all by default.
    """
    frame = graph.edges[key]
    ends = [frame[name].to_numpy() for name in ("source", "target")]
    if rows is not None:
        ends = [end[rows] for end in ends]
    # By source: the edges of a node lie together on the disk, and locks are taken in one order.
    order = np.lexsort((ends[1], ends[0]))
    taken = order if rows is None else rows[order]
    properties = edge_type(*key).properties
    columns = {item.name: frame[item.name].to_numpy() for item in properties}
    keys = [graph.nodes[label]["key"].to_numpy() for label in (key[0], key[2])]
    size = min(_MOST_EDGES, _VALUES // (2 + len(properties)))
    for start in range(0, len(taken), size):
        part = order[start : start + size]
        sources, starts = np.unique(ends[0][part], return_index=True)
        targets, places = np.unique(ends[1][part], return_inverse=True)
        batch = taken[start : start + size]
        yield {
            "sources": keys[0][sources].tolist(),
            "targets": keys[1][targets].tolist(),
            "starts": [*starts.tolist(), len(part)],
            "ends": places.tolist(),
            "columns": [_values(columns[item.name][batch], item.kind) for item in properties],
        }


def _values(column: np.ndarray, kind: str) -> list[Any]:
    if kind == "string":
        # Most text of an edge says the same as on the edges beside it.
        places, distinct = pd.factorize(column)
        return [distinct.tolist(), places.tolist()]
    if kind == "float" and (unknown := np.isnan(column)).any():
        column = column.astype(object)
        column[unknown] = None
    values: list[Any] = column.tolist()
    return values
