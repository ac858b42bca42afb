"""Compiled sums and ranks of sparse expression: one pass by cells, one by genes."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..statistics import Floats

DETECTED, TOTAL, SQUARE, MASS = range(4)
"""Sums of :func:`add_up`: detecting cells, values, squares, ``expm1`` of values."""

_FEW, _MANY = 48, 1_500
"""Entries below which insertion is quicker than digits, and above which wide digits are."""


@numba.njit(parallel=True, cache=True)
def add_up(
    indptr: Any, indices: Any, data: Any, order: Any, ends: Any, out: NDArray[np.float64]
) -> None:
    """Add up the values of consecutive cells of ``order``, up to each of ``ends``.

    ``out`` has shape (n_parts, n_genes, 4) and is added to.
    """
    for part in numba.prange(len(ends)):
        sums = out[part]
        for place in range(ends[part - 1] if part else 0, ends[part]):
            cell = order[place]
            for entry in range(indptr[cell], indptr[cell + 1]):
                value = np.float64(data[entry])
                if value > 0:
                    own = sums[indices[entry]]
                    own[0] += 1
                    own[1] += value
                    own[2] += value * value
                    own[3] += np.exp(value) - 1


@numba.njit(parallel=True, cache=True)
def fill(
    indptr: Any,
    indices: Any,
    bits: Any,
    label: Any,
    genes: Any,
    free: NDArray[np.int64],
    keys: NDArray[np.uint64],
    n_parts: int,
) -> None:
    """Put the entries of genes from ``genes[0]`` to ``genes[1]`` where each gene has its place.

    A key is the value, whose bits as an integer are in its order, above the group of the cell.
    ``free`` is the first free place of each of these genes, and is moved on.
    """
    first, last = genes
    n_cells = len(indptr) - 1
    counts = np.zeros((n_parts, last - first), np.int64)
    starts = np.empty(n_cells, np.int64)
    for part in numba.prange(n_parts):
        own = counts[part]
        for cell in range(part * n_cells // n_parts, (part + 1) * n_cells // n_parts):
            low, high = indptr[cell], indptr[cell + 1]
            if first > 0:
                low += np.searchsorted(indices[low:high], first)
            starts[cell] = low
            for entry in range(low, high):
                gene = indices[entry]
                if gene >= last:
                    break
                if bits[entry] != 0:
                    own[gene - first] += 1
    for gene in range(last - first):
        at = free[gene]
        for part in range(n_parts):
            at, counts[part, gene] = at + counts[part, gene], at
        free[gene] = at
    for part in numba.prange(n_parts):
        own = counts[part]
        for cell in range(part * n_cells // n_parts, (part + 1) * n_cells // n_parts):
            group = np.uint64(label[cell])
            for entry in range(starts[cell], indptr[cell + 1]):
                gene = indices[entry]
                if gene >= last:
                    break
                if bits[entry] != 0:
                    keys[own[gene - first]] = (np.uint64(bits[entry]) << np.uint64(16)) | group
                    own[gene - first] += 1


@numba.njit(parallel=True, cache=True)
def rank(keys: Any, ends: Any, n_cells: int, above: Floats, ties: Floats, squares: Floats) -> None:
    """Rank the entries of every gene among all cells, zeros being one tie block.

    Gene ``j`` has the keys up to ``ends[j]``, which are sorted. Ranks are centred at the mean rank
    of the zeros, so that sums lose no precision.

    ``above`` (n_genes, n_groups + 1) gets the sum of ranks per group, ``ties`` the sum of
    ``t^3 - t`` over tie blocks, ``squares`` the sum of squared ranks.
    """
    for gene in numba.prange(len(ends)):
        start = ends[gene - 1] if gene else 0
        own = _sorted(keys[start : ends[gene]])
        n = len(own)
        zeros = n_cells - n
        tied = np.float64(zeros) ** 3 - zeros
        square = 0.0
        first = 0
        while first < n:
            value = own[first] >> np.uint64(16)
            stop = first + 1
            while stop < n and own[stop] >> np.uint64(16) == value:
                stop += 1
            length = stop - first
            place = zeros / 2 + first + length / 2
            for entry in range(first, stop):
                above[gene, np.int64(own[entry] & np.uint64(0xFFFF))] += place
            if length > 1:
                tied += np.float64(length) ** 3 - length
            square += length * place * place
            first = stop
        ties[gene] = tied
        squares[gene] = square


@numba.njit(cache=True)
def _sorted(keys: Any) -> Any:
    """Return the keys in the order of their values; of equal ones any is first."""
    n = len(keys)
    if n < _FEW:
        for right in range(1, n):
            key = keys[right]
            left = right - 1
            while left >= 0 and keys[left] > key:
                keys[left + 1] = keys[left]
                left -= 1
            keys[left + 1] = key
        return keys
    low = high = keys[0]
    for place in range(1, n):
        low, high = min(low, keys[place]), max(high, keys[place])
    low >>= np.uint64(16)
    span = (high >> np.uint64(16)) - low
    width = np.uint64(8 if n < _MANY else 11)
    mask = (np.uint64(1) << width) - np.uint64(1)
    count = np.empty(np.int64(mask) + 2, np.int64)
    spare = np.empty_like(keys)
    shift = np.uint64(0)
    # Only the digits in which values of this gene differ.
    while span >> shift:
        count[:] = 0
        for place in range(n):
            count[((((keys[place] >> np.uint64(16)) - low) >> shift) & mask) + np.uint64(1)] += 1
        for digit in range(1, len(count)):
            count[digit] += count[digit - 1]
        for place in range(n):
            digit = (((keys[place] >> np.uint64(16)) - low) >> shift) & mask
            spare[count[digit]] = keys[place]
            count[digit] += 1
        keys, spare = spare, keys
        shift += width
    return keys
