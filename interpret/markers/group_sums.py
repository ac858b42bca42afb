"""Sums of expression over groups of cells, in one pass over the non-zeros."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.compiled import use_threads_of_torch
from ..chunks import Chunks, in_chunks
from ..statistics import Floats, Ints, check_cells
from .rank_kernel import DETECTED, MASS, SQUARE, TOTAL, add_up

_PARTS = 32
_LEAST_CELLS = 4_096
"""A part holds at least so many cells: each needs sums of its own."""


@dataclass(frozen=True)
class GroupSums:
    """Sums over the cells of each group, those in no group last.

    Attributes
    ----------
    size
        (n_groups + 1,) cells.
    detected, total, square, mass
        (n_groups + 1, n_genes) cells with a value, sums of values, of their squares, and of
        ``expm1`` of them.
    """

    size: Ints
    detected: Floats
    total: Floats
    square: Floats
    mass: Floats


def group_sums(
    expression: sp.csr_matrix | Chunks, groups: NDArray[Any], n_groups: int
) -> GroupSums:
    """Add up expression over the cells of each group.

    Parameters
    ----------
    expression
        Non-negative values, shape (n_cells, n_genes).
    groups
        Group of each cell from 0, or -1 for none, shape (n_cells,); at most 65,534 groups.
    n_groups
        Number of groups.

    Raises
    ------
    InputError
        When shapes disagree, or values are negative or not finite.
    """
    chunks = in_chunks(expression)
    use_threads_of_torch()
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    found = np.zeros((n_groups + 1, chunks.shape[1], 4))
    first = 0
    for matrix in chunks.read():
        part = slice(first, first + matrix.shape[0])
        check_cells(matrix, groups[part], n_groups)
        _add(found, matrix, label[part])
        first = part.stop
    check_cells(sp.csr_matrix((first, 0)), groups, n_groups)
    size = np.bincount(label, minlength=n_groups + 1)
    return GroupSums(size, *(found[:, :, kind] for kind in (DETECTED, TOTAL, SQUARE, MASS)))


def _add(found: Floats, matrix: sp.csr_matrix, label: Ints) -> None:
    # Cells of one group together, so that the sums in hand fit into the cache.
    order = np.argsort(label, kind="stable")
    step = max(len(label) // _PARTS, _LEAST_CELLS)
    borders = np.flatnonzero(np.diff(label[order])) + 1
    ends = np.unique(np.concatenate([borders, np.arange(step, len(label), step), [len(label)]]))
    sums = np.zeros((len(ends), matrix.shape[1], 4))
    add_up(matrix.indptr, matrix.indices, matrix.data, order, ends, sums)
    for part, end in enumerate(ends):
        found[label[order[end - 1]]] += sums[part]
