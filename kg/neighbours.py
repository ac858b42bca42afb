"""Neighbour graph of cells and its two-dimensional map."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse

N_NEIGHBOURS = 15


@dataclass(frozen=True)
class Neighbours:
    """Neighbourhood of cells.

    Attributes
    ----------
    connectivities
        CSR (n_cells, n_cells), symmetric fuzzy weights in [0, 1] (McInnes et al. 2018), about 15
        entries a row.
    layout
        (n_cells, 2) UMAP coordinates.
    """

    connectivities: sparse.csr_matrix
    layout: np.ndarray


def find_neighbours(embedding: np.ndarray, *, seed: int) -> Neighbours:
    """Return the neighbour graph of an embedding (exact search) and its UMAP, by scanpy."""
    from anndata import AnnData

    with warnings.catch_warnings():
        # scanpy's own use of anndata and UMAP's remark that a seed costs parallelism
        warnings.simplefilter("ignore")
        import scanpy as sc

        data = AnnData(np.asarray(embedding, dtype=np.float32))
        k = min(N_NEIGHBOURS, data.n_obs - 1)
        sc.pp.neighbors(data, n_neighbors=k, use_rep="X", transformer="sklearn")
        sc.tl.umap(data, random_state=seed)
    layout = np.asarray(data.obsm["X_umap"], dtype=np.float64)
    graph = sparse.csr_matrix(data.obsp["connectivities"], dtype=np.float64)
    return Neighbours(graph, np.round(layout, 4))
