"""Expression that need not be in memory at once: some cells at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclass(frozen=True)
class Chunks:
    """Expression that is read again and again, some cells at a time.

    Attributes
    ----------
    shape
        Number of cells and of genes.
    read
        Returns an iterable of matrices of consecutive cells, all cells in all; called twice or
        more.
    """

    shape: tuple[int, int]
    read: Callable[[], Iterable[sp.csr_matrix]]


def in_chunks(expression: sp.csr_matrix | Chunks) -> Chunks:
    """Return expression as chunks; a matrix is one, with sorted indices and no repeated ones."""
    if isinstance(expression, Chunks):
        return Chunks(expression.shape, lambda: map(_canonical, expression.read()))
    matrix = _canonical(expression)
    return Chunks(matrix.shape, lambda: [matrix])


def of_cells(expression: Chunks, cells: NDArray[np.bool_]) -> Chunks:
    """Return the expression of some cells, given by a mask."""

    def read() -> Iterable[sp.csr_matrix]:
        first = 0
        for matrix in expression.read():
            own = cells[first : first + matrix.shape[0]]
            first += matrix.shape[0]
            yield matrix if own.all() else matrix[own]

    return Chunks((int(cells.sum()), expression.shape[1]), read)


def _canonical(matrix: sp.csr_matrix) -> sp.csr_matrix:
    matrix = sp.csr_matrix(matrix)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix
