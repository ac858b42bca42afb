"""What every encoder does with a sparse matrix: choose columns, cap rows, go through in chunks."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

TOP_ATTENDED = 64
"""Attention entries kept per cell."""


def to_columns(counts: sparse.csr_matrix, column: np.ndarray, n: int) -> sparse.csr_matrix:
    """Return the counts in the columns of a model; genes it does not read are left out.

    Parameters
    ----------
    counts
        CSR (n_cells, n_genes).
    column
        (n_genes,) column of each gene in the model, -1 for genes that it does not read. Genes
        that share a column are summed.
    n
        Columns of the model.
    """
    known = np.flatnonzero(column >= 0)
    select = sparse.csr_matrix(
        (np.ones(len(known), np.float32), (known, column[known])), shape=(counts.shape[1], n)
    )
    matrix = sparse.csr_matrix(counts @ select)
    matrix.sort_indices()
    return matrix


def keep_top(values: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """Return at most ``most`` highest values a row; ties go to the lower column."""
    lengths = np.diff(values.indptr)
    if lengths.max(initial=0) <= most:
        return values
    row = np.repeat(np.arange(values.shape[0]), lengths)
    order = np.lexsort((values.indices, -values.data, row))
    rank = np.arange(values.nnz) - np.repeat(values.indptr[:-1], lengths)
    kept = np.sort(order[rank < most])
    matrix = sparse.coo_matrix(
        (values.data[kept], (row[kept], values.indices[kept])), shape=values.shape
    )
    return sparse.csr_matrix(matrix)


def chunks_by_length(lengths: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Yield row numbers in chunks of like length, so that little padding is computed.

    Parameters
    ----------
    lengths
        (n,) tokens of each row.
    most
        Tokens of a chunk, padding included; bounds the memory. A chunk has at least one row.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        # Rows ascend in length, so a chunk is as wide as its last row, and none has more rows than
        # fit when all are as short as its first.
        fitting = most // max(int(lengths[order[start]]), 1) + 1
        ahead = np.maximum(lengths[order[start : start + fitting]], 1)
        width = ahead * np.arange(1, len(ahead) + 1)
        size = max(1, int(np.searchsorted(width, most, side="right")))
        yield order[start : start + size]
        start += size
