"""Groups of cells: Leiden on nearest neighbours."""

import numpy as np
from scipy import sparse

N_NEIGHBOURS = 15
RESOLUTION = 1.0


def neighbour_graph(embedding: np.ndarray, k: int = N_NEIGHBOURS) -> sparse.csr_matrix:
    """Return the symmetric graph of ``k`` nearest neighbours (Euclidean), CSR of ones."""
    from sklearn.neighbors import kneighbors_graph

    k = min(k, len(embedding) - 1)
    graph = kneighbors_graph(embedding, k, include_self=False)
    return sparse.csr_matrix(graph.maximum(graph.T))


def leiden(
    graph: sparse.csr_matrix, *, resolution: float = RESOLUTION, seed: int = 0
) -> np.ndarray:
    """Return the community of each node (Traag et al., Sci Rep 2019), maximising modularity.

    Parameters
    ----------
    graph
        Symmetric CSR (n, n) of positive weights; the diagonal is weight inside a node.
    resolution
        Larger gives more communities.
    seed
        Of the random order of moves.
    """
    from graspologic_native import leiden_csr

    n = graph.shape[0]
    graph = _with_pendants(graph)
    _, found = leiden_csr(
        graph.indptr.astype(np.int64),
        graph.indices.astype(np.int32),
        graph.data.astype(np.float64),
        graph.shape[0],
        resolution=resolution,
        iterations=5,
        seed=seed,
    )
    # A node without an edge is not in the answer: it is a community of its own.
    loose = max(found.values(), default=-1) + 1
    member = np.array([found.get(node, loose + node) for node in range(n)])
    return np.unique(member, return_inverse=True)[1]


def _with_pendants(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the graph with its loops as edges to new nodes of degree one.

    The library drops loops. A node of degree one always joins its only neighbour, so that half the
    weight of the loop on such an edge counts as the loop does.
    """
    inside = graph.diagonal()
    looped = np.flatnonzero(inside > 0)
    if not len(looped):
        return graph
    between = sparse.csr_matrix(graph - sparse.diags(inside))
    pendant = sparse.csr_matrix(
        (inside[looped] / 2, (looped, np.arange(len(looped)))), shape=(len(inside), len(looped))
    )
    whole = sparse.csr_matrix(sparse.bmat([[between, pendant], [pendant.T, None]]))
    whole.eliminate_zeros()
    whole.sort_indices()
    return whole
