"""Neighbour graph of cells and its two-dimensional map."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData

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
    with warnings.catch_warnings():
        # scanpy's own use of anndata and UMAP's remark that a seed costs parallelism
        warnings.simplefilter("ignore")
        import scanpy as sc

        data = _with_neighbours(embedding)
        sc.tl.umap(data, random_state=seed)
    layout = np.asarray(data.obsm["X_umap"], dtype=np.float64)
    return Neighbours(_graph_of(data), np.round(layout, 4))


def neighbour_graph(embedding: np.ndarray) -> sparse.csr_matrix:
    """Return the connectivities of :class:`Neighbours` alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _graph_of(_with_neighbours(embedding))


def _with_neighbours(embedding: np.ndarray) -> "AnnData":
    import scanpy as sc
    from anndata import AnnData

    data = AnnData(np.asarray(embedding, dtype=np.float32))
    k = min(N_NEIGHBOURS, data.n_obs - 1)
    sc.pp.neighbors(data, n_neighbors=k, use_rep="X", transformer="sklearn")
    return data


def _graph_of(data: "AnnData") -> sparse.csr_matrix:
    return sparse.csr_matrix(data.obsp["connectivities"], dtype=np.float64)
