"""Nearest neighbours of cells, on which their groups are found."""

import numpy as np
from scipy import sparse

N_NEIGHBOURS = 15


def neighbour_graph(embedding: np.ndarray, k: int = N_NEIGHBOURS) -> sparse.csr_matrix:
    """Return the symmetric graph of ``k`` nearest neighbours (Euclidean), CSR of ones."""
    from sklearn.neighbors import kneighbors_graph

    k = min(k, len(embedding) - 1)
    graph = kneighbors_graph(embedding, k, include_self=False)
    return sparse.csr_matrix(graph.maximum(graph.T))
