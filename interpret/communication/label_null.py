"""The null of ligand-receptor scores that permutes the labels of the cells."""

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from ...encoders.compiled import use_threads_of_torch
from ..permutations import shuffles
from ..statistics import Floats, Ints
from .scores import TIES

_DRAWS = 64


def label_p(
    values: sp.csr_matrix,
    groups: Ints,
    ligand: Ints,
    receptor: Ints,
    *,
    strata: Ints,
    rng: np.random.Generator,
    n_permutations: int,
) -> Floats:
    """Return p of the score of each pair and two groups, labels permuted within strata.

    ``p = (b + 1) / (B + 1)``, ``b`` the permutations with a score at least as large.

    Parameters
    ----------
    values
        Shape (n_cells, n_genes).
    groups
        (n_cells,) from 0, no cell without a group and no group without a cell.
    ligand, receptor
        Positions of the subunits, shape (n_pairs, most subunits), filled up with -1.
    strata
        (n_cells,) within which labels are exchanged.

    Returns
    -------
    numpy.ndarray
        Shape (n_pairs, n_groups, n_groups), by source and target.
    """
    use_threads_of_torch()
    used = np.unique(np.concatenate([ligand.ravel(), receptor.ravel()]))
    used = used[used >= 0]
    columns = sp.csc_matrix(values[:, used])
    # One place more, so that the filling -1 leads to itself.
    place = np.full(values.shape[1] + 1, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    ends = place[ligand], place[receptor]
    size = np.bincount(groups).astype(np.float64)
    seen = _group_means(columns, groups[:, None].astype(np.uint16), size)
    count = np.zeros((len(ligand), len(size), len(size)), dtype=np.int64)
    for start in range(0, n_permutations, _DRAWS):
        labels = shuffles(groups, strata, rng, n=min(_DRAWS, n_permutations - start))
        _count_scores(_group_means(columns, labels, size), seen, *ends, 1 - TIES, count)
    p: Floats = (count + 1) / (n_permutations + 1)
    return p


def _group_means(columns: sp.csc_matrix, labels: np.ndarray, size: Floats) -> Floats:
    """Return means per gene, draw and group."""
    sums = np.zeros((columns.shape[1], labels.shape[1], len(size)))
    _add_up(columns.indptr, columns.indices, columns.data, labels, sums)
    sums /= size
    return sums


@numba.njit(cache=True, parallel=True)
def _add_up(indptr: Any, cell: Any, value: Any, labels: Any, sums: Any) -> None:
    for column in numba.prange(len(indptr) - 1):
        for entry in range(indptr[column], indptr[column + 1]):
            here = labels[cell[entry]]
            weight = np.float64(value[entry])
            for draw in range(len(here)):
                sums[column, draw, here[draw]] += weight


@numba.njit(cache=True)
def _smallest(means: Any, genes: Any, draw: Any, out: Any) -> None:
    for group in range(len(out)):
        least = np.inf
        for gene in genes:
            if gene >= 0:
                least = min(least, means[gene, draw, group])
        out[group] = least


@numba.njit(cache=True, parallel=True)
def _count_scores(drawn: Any, seen: Any, ligand: Any, receptor: Any, near: Any, count: Any) -> None:
    """Count draws in which the product of ligand and receptor is at least the one observed."""
    n_draws, n_groups = drawn.shape[1:]
    for pair in numba.prange(len(ligand)):
        send, take = np.empty(n_groups), np.empty(n_groups)
        score = np.empty((n_groups, n_groups))
        _smallest(seen, ligand[pair], 0, send)
        _smallest(seen, receptor[pair], 0, take)
        for a in range(n_groups):
            for b in range(n_groups):
                score[a, b] = send[a] * take[b] * near
        for draw in range(n_draws):
            _smallest(drawn, ligand[pair], draw, send)
            _smallest(drawn, receptor[pair], draw, take)
            for a in range(n_groups):
                for b in range(n_groups):
                    count[pair, a, b] += send[a] * take[b] >= score[a, b]
