"""A graph as pieces, one per data set: what is stored, shared between versions, and taken out.

A piece is a valid graph of one data set: all it owns, its claims, and the shared nodes (genes,
codes, metadata, gene sets) that it uses, with the properties it gave them. A graph is the union of
its pieces in the order in which they were written: of a shared node the last properties stand.
Taking out a piece therefore leaves exactly the graph that the others make.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import NODES, edge_tables, edge_type, node_type

SHARED = tuple(node.label for node in NODES if not node.owned and node.label != "Dataset")
"""Labels of the nodes that data sets share."""


def split(graph: Graph) -> dict[str, Graph]:
    """Return the piece of each data set of a graph, in the order of its ``Dataset`` table.

    Shared nodes that no edge uses go with the only data set, and are dropped if there are several.
    """
    datasets = graph.datasets()
    if len(datasets) == 1:
        return {datasets[0]: graph}
    position = pd.Index(datasets)
    owners = {key: position.get_indexer(pd.Index(_owner(graph, key))) for key in graph.edges}
    return {
        dataset: _piece(graph, dataset, {key: owner == i for key, owner in owners.items()})
        for i, dataset in enumerate(datasets)
    }


def split_by_hash(graph: Graph) -> tuple[dict[str, str], dict[str, Graph]]:
    """Return the hash of the piece of each data set, and the pieces by their hashes."""
    pieces = [(dataset, piece.content_hash(), piece) for dataset, piece in split(graph).items()]
    return (
        {dataset: name for dataset, name, _ in pieces},
        {name: piece for _, name, piece in pieces},
    )


def union(pieces: Sequence[Graph]) -> Graph:
    """Return the graph that pieces make; of a shared node the last piece's properties stand.

    The pieces are of different data sets, so that no edge is in two of them.
    """
    if len(pieces) == 1:
        return pieces[0]
    nodes: dict[str, pd.DataFrame] = {}
    for node in NODES:
        frames = [
            piece.nodes[node.label] for piece in pieces if len(piece.nodes.get(node.label, ()))
        ]
        if frames:
            nodes[node.label] = _standing(frames)
    index = {label: pd.Index(frame["key"]) for label, frame in nodes.items()}
    edges: dict[EdgeKey, pd.DataFrame] = {}
    for key in edge_tables():
        frames = [_moved(piece, key, index) for piece in pieces if len(piece.edges.get(key, ()))]
        if frames:
            edges[key] = pd.concat(frames, ignore_index=True)
    return Graph(nodes, edges)


def standing_nodes(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of a shared label that stand, one per key, from its tables in the pieces."""
    return _standing([frame for frame in frames if len(frame)] or list(frames[:1]))


def _standing(frames: list[pd.DataFrame]) -> pd.DataFrame:
    if len(frames) == 1:
        return frames[0]
    joined = pd.concat(frames, ignore_index=True)
    return joined.drop_duplicates("key", keep="last").reset_index(drop=True)


def _moved(piece: Graph, key: EdgeKey, index: dict[str, pd.Index]) -> pd.DataFrame:
    """Return an edge table of a piece with the row numbers of the union."""
    frame = piece.edges[key]
    ends = {}
    for column, label in (("source", key[0]), ("target", key[2])):
        place = index[label].get_indexer(pd.Index(piece.nodes[label]["key"]))
        ends[column] = place[frame[column].to_numpy()]
    return frame.assign(**ends)


def _owner(graph: Graph, key: EdgeKey) -> np.ndarray:
    """Return the data set that each edge of a table belongs to."""
    frame = graph.edges[key]
    if edge_type(*key).claim:
        return frame["dataset"].to_numpy()
    source, _, target = key
    if source == "Dataset":
        return np.take(graph.nodes["Dataset"]["key"].to_numpy(), frame["source"].to_numpy())
    end, label = ("source", source) if node_type(source).owned else ("target", target)
    return np.take(graph.nodes[label]["dataset"].to_numpy(), frame[end].to_numpy())


def _piece(graph: Graph, dataset: str, mine: "dict[EdgeKey, np.ndarray]") -> Graph:
    edges = {key: graph.edges[key][mask] for key, mask in mine.items() if mask.any()}
    kept: dict[str, np.ndarray] = {}
    for label, frame in graph.nodes.items():
        if label == "Dataset":
            kept[label] = (frame["key"] == dataset).to_numpy()
        elif node_type(label).owned:
            kept[label] = (frame["dataset"] == dataset).to_numpy()
        else:
            kept[label] = _used(len(frame), label, edges.items())
    place = {label: np.cumsum(mask) - 1 for label, mask in kept.items()}
    return Graph(
        {label: graph.nodes[label][mask] for label, mask in kept.items() if mask.any()},
        {
            key: frame.assign(
                source=place[key[0]][frame["source"].to_numpy()],
                target=place[key[2]][frame["target"].to_numpy()],
            )
            for key, frame in edges.items()
        },
    )


def _used(size: int, label: str, edges: "Iterable[tuple[EdgeKey, pd.DataFrame]]") -> np.ndarray:
    used = np.zeros(size, bool)
    for key, frame in edges:
        for column, end in (("source", key[0]), ("target", key[2])):
            if end == label:
                used[frame[column].to_numpy()] = True
    return used
