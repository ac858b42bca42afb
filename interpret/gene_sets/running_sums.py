"""Running sums of sets down a ranking, and of random sets of the same sizes."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, Ints

_DRAWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Order:
    """A ranking, best first: of each place its gene, score, weight and the places tied with it."""

    genes: NDArray[np.object_]
    score: Floats
    weight: Floats
    begin: Ints
    end: Ints

    @property
    def walked(self) -> tuple[Ints, Ints, Floats]:
        return self.begin, self.end, self.weight


def score_sets(sets: sp.csr_matrix, order: Order) -> tuple[Floats, Ints]:
    """Return the score of every set, a row of places in the order, and its places before the peak.

    Before the trough, where the score is below 0.
    """
    es, peak = np.empty(sets.shape[0]), np.empty(sets.shape[0], np.int64)
    _score_sets(sets.indptr, sets.indices, *order.walked, es, peak)
    return es, peak


def against_draws(
    es: Floats, sizes: Ints, order: Order, *, rng: np.random.Generator, n_permutations: int
) -> tuple[Floats, Floats]:
    """Return p and normalised score of every set, by draws that come in bounded portions."""
    different, place = np.unique(sizes, return_inverse=True)
    reached, signed = np.zeros(len(es)), np.zeros((2, len(different)))
    total = np.zeros_like(signed)
    for start in range(0, n_permutations, _DRAWS_AT_ONCE):
        n = min(_DRAWS_AT_ONCE, n_permutations - start)
        drawn = np.empty((n, len(different)))
        _score_draws(rng.random((n, int(different[-1]))), different, *order.walked, drawn)
        null = np.ascontiguousarray(drawn.T)
        _count(null, place, es, reached)
        for row, sign in enumerate((1, -1)):
            signed[row] += (sign * null > 0).sum(axis=1)
            total[row] += np.maximum(sign * null, 0).sum(axis=1)
    side = (es < 0).astype(np.int64)
    alike = signed[side, place]
    possible = (es != 0) & (alike > 0)
    p = np.where(possible, (reached + 1) / (alike + 1), 1.0)
    nes = np.full(len(es), np.nan)
    np.divide(es * alike, total[side, place], out=nes, where=possible)
    return p, np.where(es == 0, 0.0, nes)


@numba.njit(cache=True)
def _walk(at: Any, begin: Any, end: Any, weight: Any) -> tuple[float, int]:
    """Return the score of a set at rising places, and how many of them come before its peak."""
    size, total, summed = len(at), 0.0, 0.0
    for i in range(size):
        total += weight[at[i]]
    even = total == 0
    if even:
        total = np.float64(size)
    missing = 1.0 / (len(weight) - size)
    best, worst, best_at, worst_at, i = 0.0, 0.0, 0, 0, 0
    while i < size:
        low = summed / total - (begin[at[i]] - i) * missing
        if low < worst:
            worst, worst_at = low, i
        stop = end[at[i]]
        while i < size and at[i] < stop:
            summed += 1.0 if even else weight[at[i]]
            i += 1
        high = summed / total - (stop - i) * missing
        if high > best:
            best, best_at = high, i
    if best >= -worst:
        return best, best_at
    return worst, worst_at


@numba.njit(cache=True, parallel=True)
def _score_sets(
    indptr: Any, places: Any, begin: Any, end: Any, weight: Any, es: Any, peak: Any
) -> None:
    for one in numba.prange(len(es)):
        es[one], peak[one] = _walk(places[indptr[one] : indptr[one + 1]], begin, end, weight)


@numba.njit(cache=True, parallel=True)
def _score_draws(uniform: Any, sizes: Any, begin: Any, end: Any, weight: Any, null: Any) -> None:
    """Score nested random sets: each draw grows by random places, which are merged in order."""
    n_genes, largest = len(weight), sizes[-1]
    for draw in numba.prange(len(uniform)):
        pool = np.arange(n_genes)
        at = np.empty(largest, np.int64)
        filled = 0
        for step in range(len(sizes)):
            size = sizes[step]
            for i in range(filled, size):
                j = i + int(uniform[draw, i] * (n_genes - i))
                pool[i], pool[j] = pool[j], pool[i]
            fresh = np.sort(pool[filled:size])
            old, new = filled - 1, size - filled - 1
            for slot in range(size - 1, -1, -1):
                if new < 0:
                    break
                if old >= 0 and at[old] > fresh[new]:
                    at[slot] = at[old]
                    old -= 1
                else:
                    at[slot] = fresh[new]
                    new -= 1
            filled = size
            null[draw, step] = _walk(at[:size], begin, end, weight)[0]


@numba.njit(cache=True)
def _count(null: Any, place: Any, es: Any, reached: Any) -> None:
    """Add to every set the draws of its size that are as far from 0, on the same side."""
    for one in range(len(es)):
        for value in null[place[one]]:
            if (es[one] > 0 and value >= es[one]) or (es[one] < 0 and value <= es[one]):
                reached[one] += 1
