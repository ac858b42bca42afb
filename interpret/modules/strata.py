"""Strata of like cells, within which values may be exchanged under a null."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import Ints

DEPTH_STRATA = 10
"""Parts by depth into which a donor is cut, at most."""

_FEWEST = 10


def depth_strata(totals: NDArray[Any], donors: Ints | None = None) -> Ints:
    """Return strata of cells of one donor and like depth.

    Each donor is cut into equal parts by depth, tenths where it has 100 cells or more, else fewer,
    so that a stratum has 10 cells or more.

    Parameters
    ----------
    totals
        Counts of each cell, or any measure of depth.
    donors
        Donor of each cell, -1 where unknown.
    """
    owner = np.zeros(len(totals), dtype=np.int64) if donors is None else np.asarray(donors)
    position, size = np.unique(owner, return_inverse=True, return_counts=True)[1:]
    position = position.ravel()
    order = np.lexsort((totals, position))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - (np.cumsum(size) - size)[position[order]]
    parts = np.clip(size // _FEWEST, 1, DEPTH_STRATA)
    return np.asarray(position * DEPTH_STRATA + rank * parts[position] // size[position])
