"""Statistics of markers that need sums alone: Welch's t, and specificity by cosine."""

import numpy as np
from scipy.special import stdtr

from ..statistics import SMALLEST, Floats
from .group_sums import GroupSums


def welch(sums: GroupSums) -> tuple[Floats, Floats]:
    """Return Welch's t of log expression of each group against all other cells, and its p.

    Welch 1947, Biometrika 34:28: ``t = (m1 - m2) / sqrt(v1 / n1 + v2 / n2)`` on
    ``(v1 / n1 + v2 / n2)^2 / ((v1 / n1)^2 / (n1 - 1) + (v2 / n2)^2 / (n2 - 1))`` degrees of
    freedom, v with n - 1; 0 and 1 where a side has fewer than two cells or nothing varies. Shapes
    (n_groups, n_genes).
    """
    sides = []
    n_cells, total, square = sums.size.sum(), sums.total.sum(0), sums.square.sum(0)
    size = sums.size[:-1, None].astype(np.float64)
    for n, values, squares in (
        (size, sums.total[:-1], sums.square[:-1]),
        (n_cells - size, total - sums.total[:-1], square - sums.square[:-1]),
    ):
        mean = values / np.maximum(n, 1)
        variance = np.maximum(squares - values * mean, 0) / np.maximum(n - 1, 1)
        # What rounding leaves of equal values is no spread.
        variance[variance < 1e-12 * (squares / np.maximum(n, 1))] = 0
        sides.append((mean, variance / np.maximum(n, 1), n - 1))
    (m1, e1, d1), (m2, e2, d2) = sides
    error = e1 + e2
    compared = (error > 0) & (d1 > 0) & (d2 > 0)
    error = np.where(compared, error, 1)
    t = np.where(compared, (m1 - m2) / np.sqrt(error), 0)
    freedom = error**2 / np.maximum(e1**2 / np.maximum(d1, 1) + e2**2 / np.maximum(d2, 1), 1e-300)
    p = np.where(compared, np.clip(2 * stdtr(freedom, -np.abs(t)), SMALLEST, 1), 1)
    return t, p


def specificity(sums: GroupSums) -> Floats:
    """Return how much of a gene's likeness to the groups goes to each: (n_groups, n_genes).

    COSG (Dai 2022, Brief Bioinform 23:bbab579, mu = 1): ``c^3 / sum over groups of c^2``, where
    ``c`` is the cosine of the gene's expression and the indicator of the group; in [0, 1].
    """
    norm = np.sqrt(sums.square.sum(0) * sums.size[:-1, None])
    cosine = sums.total[:-1] / np.where(norm > 0, norm, 1)
    return np.asarray(cosine**3 / np.maximum((cosine**2).sum(0), 1e-12))
