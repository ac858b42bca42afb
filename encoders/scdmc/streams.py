"""The two streams of a cell: its genes by rank, and its genes by column with values."""

import numpy as np
from scipy import sparse

from ..counts import COUNTS_PER_CELL
from ..reading import keep_top
from .config import CLS, EOS, PAD

FRAME = 2
"""Tokens that frame a cell: cls first, eos last."""

FRAME_VALUE = 1.0
"""Value of the tokens that frame a cell."""


def scale(counts: sparse.csr_matrix, totals: np.ndarray, medians: np.ndarray) -> sparse.csr_matrix:
    r"""Return each count relative to its cell and its gene, without stored zeros.

    .. math:: x_{cg} = \frac{10^4\, n_{cg}}{N_c\, m_g}

    Parameters
    ----------
    counts
        CSR (n, n_genes) raw counts :math:`n_{cg}` of the genes of the model.
    totals
        (n,) counts :math:`N_c` of each cell over all measured genes.
    medians
        (n_genes,) median :math:`m_g` of each gene over cells that express it, per 10,000 counts.
    """
    factor = np.repeat(COUNTS_PER_CELL / np.maximum(totals, 1), np.diff(counts.indptr))
    values = (counts.data * factor / medians[counts.indices]).astype(np.float32)
    # Copied, because dropping the zeros changes the index arrays in place.
    scaled = sparse.csr_matrix(
        (values, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
    )
    scaled.eliminate_zeros()
    scaled.sort_indices()
    return scaled


def rank_stream(scaled: sparse.csr_matrix, token: np.ndarray, most: int) -> np.ndarray:
    """Return the genes of each cell by descending value, framed; ties go to the lower gene.

    Parameters
    ----------
    scaled
        CSR (n, n_genes) as :func:`scale` returns.
    token
        (n_genes,) id of each gene.
    most
        Most tokens of a cell; the genes of highest value are kept.

    Returns
    -------
    numpy.ndarray
        (n, length) int64 ids: cls, genes, eos, padding.
    """
    kept = keep_top(scaled, most - FRAME)
    row = np.repeat(np.arange(kept.shape[0]), np.diff(kept.indptr))
    order = np.lexsort((kept.indices, -kept.data, row))
    return _frame(kept, token[kept.indices[order]], (CLS, EOS, PAD))


def epe_stream(
    scaled: sparse.csr_matrix, token: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the genes of each cell in the order of columns, framed, with ``log1p`` of the values.

    The published tokeniser cuts long cells after the first columns, so that genes late in the
    vocabulary are never read; here the genes of highest value are kept, those of the rank stream.

    Parameters
    ----------
    scaled, token, most
        See :func:`rank_stream`.

    Returns
    -------
    tuple
        (n, length) int64 ids; (n, length) float32 ``log1p`` of the values, 1 at cls and eos, 0 at
        padded positions.
    """
    kept = keep_top(scaled, most - FRAME)
    ids = _frame(kept, token[kept.indices], (CLS, EOS, PAD))
    values = _frame(kept, np.log1p(kept.data), (FRAME_VALUE, FRAME_VALUE, 0.0))
    return ids, values


def gene_medians(counts: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
    """Return the median of each gene per 10,000 counts, over the cells that express it.

    (n_genes,) float64; 1 for genes that no cell expresses.
    """
    columns = sparse.csc_matrix(scale(counts, totals, np.ones(counts.shape[1])))
    gene = np.repeat(np.arange(counts.shape[1]), np.diff(columns.indptr))
    values = columns.data[np.lexsort((columns.data, gene))].astype(np.float64)
    found = np.diff(columns.indptr)
    medians = np.ones(counts.shape[1])
    seen = np.flatnonzero(found)
    start, n = columns.indptr[seen], found[seen]
    medians[seen] = 0.5 * (values[start + (n - 1) // 2] + values[start + n // 2])
    return medians


def _frame(
    kept: sparse.csr_matrix, entries: np.ndarray, frame: tuple[float, float, float]
) -> np.ndarray:
    """Return (n, length) entries between a first and a last one, then padding."""
    first, last, padding = frame
    lengths = np.diff(kept.indptr)
    row = np.repeat(np.arange(len(lengths)), lengths)
    laid = np.full((len(lengths), int(lengths.max(initial=0)) + FRAME), padding, entries.dtype)
    laid[:, 0] = first
    laid[row, np.arange(len(entries)) - np.repeat(kept.indptr[:-1], lengths) + 1] = entries
    laid[np.arange(len(lengths)), lengths + 1] = last
    return laid
