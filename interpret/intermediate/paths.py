"""Which state may lie between two others: the widest paths of the graph of states."""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..statistics import Floats


def widest_path(connectivity: sp.csr_matrix) -> Floats:
    """Return the width of the widest path between all pairs of nodes, shape (n, n).

    The width of a path is its weakest edge, and the widest path maximises it (Pollack 1960, Oper
    Res 8:733). Heights of single linkage are the smallest weakest links (Gower & Ross 1969, J R
    Stat Soc C 18:54), so they are read off a dendrogram of ``largest weight - weight``.

    Parameters
    ----------
    connectivity
        Symmetric non-negative weights, shape (n, n); n squared numbers are held.

    Returns
    -------
    numpy.ndarray
        Widths, 0 for pairs that no path joins; the diagonal holds the largest weight.
    """
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import squareform

    weight = np.asarray(connectivity.todense(), dtype=np.float64)
    top = float(weight.max(initial=0.0))
    if len(weight) < 2:
        return np.full(weight.shape, top)
    distance = top - weight
    np.fill_diagonal(distance, 0)
    height = cophenet(linkage(squareform(distance, checks=False), "single"))
    width: Floats = top - squareform(height)
    return width


def path_candidates(connectivity: sp.csr_matrix) -> pd.DataFrame:
    """Return the states that lie on a widest path of two steps between two others.

    State m is a candidate between a and b when both its edges are stronger than the edge a-b, and
    no path from a to b is wider than a-m-b.

    Parameters
    ----------
    connectivity
        Symmetric non-negative weights between states of one level, shape (n, n).

    Returns
    -------
    pandas.DataFrame
        ``state``, ``from_state`` < ``to_state`` (rows of the matrix), ``connectivity_min`` (the
        weaker of the two edges of ``state``, above 0).
    """
    weight = np.asarray(connectivity.todense(), dtype=np.float64)
    width = widest_path(connectivity)
    tolerance = 1e-9 * weight.max(initial=0.0)
    found: list[Any] = [np.zeros((0, 4))]
    for state in range(len(weight)):
        near = np.flatnonzero((weight[state] > 0) & (np.arange(len(weight)) != state))
        first, second = np.triu_indices(len(near), k=1)
        a, b = near[first], near[second]
        weaker = np.minimum(weight[state, a], weight[state, b])
        kept = (weaker > weight[a, b] + tolerance) & (weaker >= width[a, b] - tolerance)
        middle = np.full(int(kept.sum()), state)
        found.append(np.column_stack([middle, a[kept], b[kept], weaker[kept]]))
    table = pd.DataFrame(
        np.concatenate(found), columns=["state", "from_state", "to_state", "connectivity_min"]
    )
    return table.astype({"state": np.int64, "from_state": np.int64, "to_state": np.int64})
