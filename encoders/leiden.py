"""Leiden communities of a weighted graph, seeded."""

import numpy as np
from scipy import sparse


def leiden(graph: sparse.csr_matrix, *, resolution: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return a community per node (Traag et al., Sci Rep 2019), numbered by decreasing size.

    Maximises modularity at a resolution, by ``graspologic-native``.

    Parameters
    ----------
    graph
        Symmetric CSR (n, n) of non-negative weights. The diagonal counts as weight inside a node.
    resolution
        Larger gives more communities.
    seed
        Of the random order of moves.
    """
    from graspologic_native import leiden_csr

    n = graph.shape[0]
    graph = graph.copy()
    graph.eliminate_zeros()
    if graph.nnz == 0:
        return np.arange(n)
    inside = graph.diagonal()
    between = sparse.csr_matrix(graph - sparse.diags(inside))
    looped = np.flatnonzero(inside > 0)
    # The library drops loops; a pendant node, which always joins its only neighbour, stands for
    # the weight inside a node.
    pendant = sparse.csr_matrix(
        (inside[looped] / 2, (looped, np.arange(len(looped)))), shape=(n, len(looped))
    )
    whole = sparse.csr_matrix(sparse.bmat([[between, pendant], [pendant.T, None]]))
    whole.eliminate_zeros()
    whole.sort_indices()
    _, found = leiden_csr(
        whole.indptr.astype(np.int64),
        whole.indices.astype(np.int32),
        whole.data.astype(np.float64),
        whole.shape[0],
        resolution=resolution,
        iterations=5,
        seed=seed,
    )
    isolated = max(found.values(), default=-1) + 1
    member = np.array([found.get(node, isolated + node) for node in range(n)])
    return by_size(member)


def by_size(member: np.ndarray) -> np.ndarray:
    """Return the groups renumbered from 0 by decreasing size, ties by first member.

    Examples
    --------
    >>> by_size(np.array([7, 5, 5, 9, 9, 9])).tolist()
    [2, 1, 1, 0, 0, 0]
    """
    groups, first, inverse, sizes = np.unique(
        member, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups))
    return np.asarray(rank[inverse])
