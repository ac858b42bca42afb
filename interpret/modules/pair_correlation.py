"""Pearson correlation of all pairs of sparse columns, cells in blocks."""

import numpy as np
import scipy.sparse as sp

from ..statistics import Floats, Ints
from .stratified_null import Matrix

_CELLS_AT_ONCE = 8_192
_FEW = 512


def correlation_matrix(matrix: sp.csr_matrix, genes: Ints) -> Matrix:
    """Return the Pearson correlation of columns over cells, 0 with one that does not vary.

    Dense are at most 8,192 cells of the chosen columns at a time, beside the result. Up to 512
    columns are multiplied in double precision.

    Parameters
    ----------
    matrix
        Values, shape (n_cells, n_columns).
    genes
        Positions of the columns.

    Returns
    -------
    numpy.ndarray
        Shape (n_genes, n_genes), float32, in [-1, 1], 1 on the diagonal.
    """
    columns = sp.csr_matrix(matrix[:, genes])
    n_cells = columns.shape[0]
    kind = np.float64 if len(genes) <= _FEW else np.float32
    mean = np.asarray(columns.mean(axis=0, dtype=np.float64)).ravel().astype(kind)
    products: Floats = np.zeros((len(genes), len(genes)))
    sums = np.zeros(len(genes))
    for start in range(0, n_cells, _CELLS_AT_ONCE):
        dense = columns[start : start + _CELLS_AT_ONCE].toarray().astype(kind, copy=False)
        dense -= mean
        sums += dense.sum(axis=0, dtype=np.float64)
        products += dense.T @ dense
    products -= np.outer(sums, sums) / max(n_cells, 1)
    spread = np.sqrt(np.maximum(np.diag(products), 0))
    still = spread <= 1e-6 * np.sqrt(n_cells)
    spread[still] = np.inf
    products /= spread[:, None]
    products /= spread[None, :]
    found = np.clip(products, -1, 1, out=products).astype(np.float32)
    np.fill_diagonal(found, 1)
    return found
