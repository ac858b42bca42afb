"""The highest values of each ragged row, without sorting all of it."""

from typing import Any

import numba
import numpy as np


@numba.njit(parallel=True, cache=True)
def _select(indptr: Any, value: Any, most: int, chosen: Any, counts: Any) -> None:
    for i in numba.prange(len(indptr) - 1):
        start, stop = indptr[i], indptr[i + 1]
        n = stop - start
        counts[i] = min(n, most)
        if n <= most:
            for p in range(start, stop):
                chosen[i, p - start] = p
            continue
        limit = np.partition(value[start:stop], n - most)[n - most]
        above = 0
        for p in range(start, stop):
            above += value[p] > limit
        # Ties at the limit go to the lower gene until the row is full.
        ties = most - above
        place = 0
        for p in range(start, stop):
            if value[p] > limit:
                chosen[i, place] = p
                place += 1
            elif value[p] == limit and ties > 0:
                chosen[i, place] = p
                place += 1
                ties -= 1


def top_of_rows(
    indptr: np.ndarray, gene: np.ndarray, weight: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many entries each row keeps, their genes, and their weight times row length.

    Parameters
    ----------
    indptr, gene
        Ragged rows.
    weight
        (nnz,) attention, sums to 1 over a row.
    most
        Entries kept of a row; ties go to the lower gene.
    """
    n = len(indptr) - 1
    chosen = np.empty((n, most), np.int64)
    counts = np.empty(n, np.int64)
    _select(indptr, weight, most, chosen, counts)
    kept = chosen[np.arange(most) < counts[:, None]]
    lengths = np.repeat(np.diff(indptr), counts)
    return counts, gene[kept], weight[kept] * lengths.astype(np.float32)
