"""Permuted labels of cells, sums under them, and p values from draws pooled over alike genes."""

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .statistics import Floats, Ints

_POOL = 100
_WIDTH, _LAST = 0.01, 10_000


def shuffles(label: Ints, strata: Ints, rng: np.random.Generator, *, n: int) -> NDArray[np.uint16]:
    """Return ``n`` independent permutations of labels below 65,536 within strata: (n_cells, n)."""
    order = np.argsort(strata, kind="stable")
    starts = np.flatnonzero(np.diff(strata[order], prepend=strata[order[:1]] - 1))
    edges = np.append(starts, len(order))
    out = np.empty((len(label), n), dtype=np.uint16)
    for draw in range(n):
        moved = label[order].astype(np.uint16)
        _shuffle_segments(moved, edges, rng.random(len(order)))
        out[order, draw] = moved
    return out


def permuted_sums(
    columns: sp.csc_matrix, labels: NDArray[np.uint16], n_groups: int
) -> tuple[Floats, Floats]:
    """Return summed values and numbers of entries per column, draw and group.

    Parameters
    ----------
    columns
        Values of the cells, shape (n_cells, n_columns).
    labels
        Group of each cell in each draw, ``n_groups`` for none, shape (n_cells, n_draws).

    Returns
    -------
    tuple
        Both of shape (n_columns, n_draws, n_groups).
    """
    # Sum and number side by side, so that both are added in one go.
    both = np.zeros((columns.shape[1], labels.shape[1], n_groups + 1, 2))
    _add_up(columns.indptr, columns.indices, columns.data, labels, both)
    return both[:, :, :n_groups, 0], both[:, :, :n_groups, 1]


def against(null: NDArray[np.float32], seen: Floats) -> tuple[Floats, Floats]:
    """Return z of observed statistics, and two-sided p from the null of all genes together.

    Parameters
    ----------
    null
        Statistics under the null of one pool of genes, shape (n_genes, n_groups, n_draws).
    seen
        Observed statistics, shape (n_groups, n_genes).

    Returns
    -------
    tuple
        ``z`` by the mean and deviation of each gene, 0 where the null does not vary, and
        ``p = (b + 1) / (B + 1)`` of ``|z|`` among the ``B`` draws of a group, 1 where it does not
        vary; both of shape (n_groups, n_genes).
    """
    z, p = np.zeros(seen.shape), np.ones(seen.shape)
    if null.size:
        _pooled(np.ascontiguousarray(null), np.ascontiguousarray(seen), _WIDTH, z, p)
    return z, p


def alike(present: Ints) -> list[slice]:
    """Return pools of at least 100 genes with like numbers of cells, given in increasing order.

    Genes with equally many cells are never split; fewer than 100 genes are one pool.
    """
    starts = np.flatnonzero(np.diff(present, prepend=-1))
    pools: list[slice] = []
    begin = 0
    for stop in [*starts[1:].tolist(), len(present)]:
        if stop - begin >= _POOL:
            pools.append(slice(begin, stop))
            begin = stop
    if begin < len(present):
        last = pools.pop().start if pools else begin
        pools.append(slice(last, len(present)))
    return pools


@numba.njit(cache=True)
def _shuffle_segments(values: Any, edges: Any, uniform: Any) -> None:
    """Permute values in place between each pair of edges (Fisher and Yates)."""
    for segment in range(len(edges) - 1):
        start = edges[segment]
        for i in range(edges[segment + 1] - 1, start, -1):
            j = start + int(uniform[i] * (i + 1 - start))
            values[i], values[j] = values[j], values[i]


@numba.njit(cache=True, nogil=True)
def add_column(cell: Any, value: Any, labels: Any, both: Any) -> None:
    """Add the entries of one column to sum and number of the group of their cell in each draw."""
    for entry in range(len(cell)):
        here = labels[cell[entry]]
        weight = np.float64(value[entry])
        for draw in range(len(here)):
            both[draw, here[draw], 0] += weight
            both[draw, here[draw], 1] += 1.0


@numba.njit(cache=True)
def _add_up(indptr: Any, cell: Any, value: Any, labels: Any, both: Any) -> None:
    for column in range(len(indptr) - 1):
        start, stop = indptr[column], indptr[column + 1]
        add_column(cell[start:stop], value[start:stop], labels, both[column])


@numba.njit(cache=True)
def _pooled(null: Any, seen: Any, width: Any, z: Any, p: Any) -> None:
    n_genes, n_groups, n_draws = null.shape
    moves = np.zeros(n_genes, np.bool_)
    for group in range(n_groups):
        reach = np.zeros(_LAST + 1, np.int64)
        for gene in range(n_genes):
            draws = null[gene, group]
            mean = 0.0
            for draw in range(n_draws):
                mean += draws[draw]
            mean /= n_draws
            square = 0.0
            for draw in range(n_draws):
                square += (draws[draw] - mean) ** 2
            spread = np.sqrt(square / n_draws)
            moves[gene] = spread > 1e-9
            if not moves[gene]:
                reach[0] += n_draws
                continue
            z[group, gene] = (seen[group, gene] - mean) / spread
            scale = np.float32(1 / (spread * width))
            centre = np.float32(mean)
            for draw in range(n_draws):
                step = np.abs(draws[draw] - centre) * scale
                reach[min(int(step), _LAST)] += 1
        for step in range(_LAST - 1, -1, -1):
            reach[step] += reach[step + 1]
        for gene in range(n_genes):
            if moves[gene]:
                step = min(int(np.abs(z[group, gene]) / width), _LAST)
                p[group, gene] = (reach[step] + 1) / (reach[0] + 1)
