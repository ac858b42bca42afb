"""Edges between cells and genes as sparse matrices of an AnnData object."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from .columns import NUMBERS, properties, refuse

if TYPE_CHECKING:
    import anndata
    from scipy import sparse

MATRICES: dict[EdgeKey, dict[str, str | None]] = {
    ("Cell", "EXPRESSES", "Gene"): {"value": None, "rank": "rank"},
    ("Cell", "ATTENDS_TO", "Gene"): {"encoder": "encoder_attention", "graph": "graph_attention"},
}
"""Edge table -> property -> name of the layer; None is X."""


def write_matrices(graph: Graph) -> "tuple[sparse.csr_matrix, dict[str, sparse.csr_matrix]]":
    """Return X and the layers; tables that are not there have no layer, X is then empty."""
    from scipy import sparse

    shape = (len(graph.nodes.get("Cell", ())), len(graph.nodes.get("Gene", ())))
    x, layers = sparse.csr_matrix(shape, dtype=np.float64), {}
    for key, places in MATRICES.items():
        if key not in graph.edges:
            continue
        frame = graph.edges[key].sort_values(["source", "target"])
        counts = np.bincount(frame["source"], minlength=shape[0])
        starts = np.concatenate([[0], np.cumsum(counts)])
        for name, layer in places.items():
            values = frame[name].to_numpy()
            matrix = sparse.csr_matrix((values, frame["target"].to_numpy(), starts), shape=shape)
            if layer is None:
                x = matrix
            else:
                layers[layer] = matrix
    return x, layers


def read_matrices(adata: "anndata.AnnData", present: list[str]) -> dict[str, pd.DataFrame]:
    """Return the edge tables that are present, by name.

    Raises
    ------
    InputError
        Two matrices of one table have entries at different places.
    KeyError
        A layer is not there.
    """
    tables = {}
    for key, places in MATRICES.items():
        if (name := "-".join(key)) not in present:
            continue
        kinds = {item.name: item.kind for item in properties(name)}
        frame: dict[str, Any] = {}
        for column, layer in places.items():
            matrix = _canonical(adata.X if layer is None else adata.layers[layer])
            rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
            ends = {"source": rows, "target": matrix.indices.astype(np.int64)}
            if frame and not all(np.array_equal(frame[end], ends[end]) for end in ends):
                refuse(
                    f"{name}: X and layers, or two layers, have entries at different places; one "
                    f"entry of each per edge was expected. Change {', '.join(places)} together."
                )
            frame |= ends | {column: matrix.data.astype(NUMBERS[kinds[column]])}
        tables[name] = pd.DataFrame(frame)
    return tables


def _canonical(matrix: Any) -> "sparse.csr_matrix":
    from scipy import sparse

    found = sparse.csr_matrix(matrix)
    if not found.has_sorted_indices:
        found = found.sorted_indices()
    return found
