"""The genes of a cell that graph attention sees."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.sparse import csr_matrix

from ...encoders.errors import InputError
from ..gene_filter import informative_genes
from .config import Floats, Integers, check_shape

RELEASED_TOKENS = 200
"""Genes of a cell in the released CellVQ-Graph."""

_CHUNK = 4096


def top_tokens(
    expression: csr_matrix,
    *,
    n_tokens: int,
    gene_mean: npt.NDArray[np.floating[Any]],
    gene_sd: npt.NDArray[np.floating[Any]],
    sd_floor: float = 1.0,
) -> csr_matrix:
    """Keep for every cell its genes of highest z-score.

    ``z = (value - gene_mean) / max(gene_sd, sd_floor)``, over the positive entries of the cell.
    Ties go to the lower gene index; a cell with fewer expressed genes keeps them all.

    Parameters
    ----------
    expression
        (n_cells, n_genes), log1p of counts per 10,000.
    n_tokens
        Genes to keep per cell, at least 1.
    gene_mean, gene_sd
        (n_genes,), over all cells of the data set, zeros among them.
    sd_floor
        Least standard deviation, in units of ``expression``. The z of a gene seen in a share f of
        the cells is near ``f ** -0.5``, so that with a low floor single chance counts of rare genes
        outrank every marker.

    Returns
    -------
    csr_matrix
        float32 (n_cells, n_genes), columns of a row in order.

    Raises
    ------
    InputError
        If ``n_tokens`` or ``sd_floor`` is not positive, or shapes do not fit.
    """
    n_genes = expression.shape[1]
    if n_tokens < 1 or sd_floor <= 0:
        problem = f"n_tokens = {n_tokens}, sd_floor = {sd_floor}; expected both above 0; raise them"
        raise InputError(problem)
    for name, array in (("gene_mean", gene_mean), ("gene_sd", gene_sd)):
        check_shape(name, array, (n_genes,))
    scale = np.maximum(gene_sd, sd_floor)
    chunks = [
        _top_of_rows(expression[start : start + _CHUNK], n_tokens, gene_mean, scale)
        for start in range(0, expression.shape[0], _CHUNK)
    ]
    lengths = np.concatenate([[0], *(length for length, _, _ in chunks)])
    columns = np.concatenate([np.zeros(0, np.int32), *(column for _, column, _ in chunks)])
    values = np.concatenate([np.zeros(0, np.float32), *(value for _, _, value in chunks)])
    return csr_matrix((values, columns, np.cumsum(lengths)), shape=expression.shape)


def _top_of_rows(
    rows: csr_matrix, n_tokens: int, mean: npt.NDArray[Any], scale: npt.NDArray[Any]
) -> tuple[Integers, Integers, Floats]:
    """Return length per row, columns and values of the kept entries."""
    rows = rows.copy()
    rows.eliminate_zeros()
    rows.sort_indices()
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    score = (rows.data - mean[rows.indices]) / scale[rows.indices]
    # lexsort is stable, so that equal scores stay in order of gene.
    order = np.lexsort((-score, row))
    place = np.arange(len(order)) - rows.indptr[row]
    kept = np.zeros(len(order), dtype=bool)
    kept[order[place < n_tokens]] = True
    lengths = np.bincount(row[kept], minlength=rows.shape[0])
    return lengths, rows.indices[kept], rows.data[kept].astype(np.float32)


def informative_tokens(
    expression: csr_matrix,
    genes: pd.DataFrame,
    *,
    n_tokens: int = RELEASED_TOKENS,
    candidates: npt.NDArray[np.intp] | None = None,
) -> csr_matrix:
    """Keep for every cell its informative genes of highest z-score over all cells.

    Ribosomal and mitochondrial genes are left out by their annotation (see
    :func:`~scypher.kg.gene_filter.informative_genes`); the z-score is that of
    :func:`top_tokens`.

    Parameters
    ----------
    expression
        (n_cells, n_genes), log1p of counts per 10,000.
    genes
        One row per gene with its ``gene_class``, as in ``Cells.genes``.
    n_tokens
        Genes to keep per cell, at least 1.
    candidates
        Positions of the genes to choose among, such as the variable ones; all when not given.

    Returns
    -------
    csr_matrix
        float32 (n_cells, n_genes), columns of a row in order.

    Raises
    ------
    InputError
        If shapes do not fit or nothing is left to choose from.
    """
    if len(genes) != expression.shape[1]:
        message = (
            f"{len(genes)} gene rows were given for {expression.shape[1]} genes; expected one row "
            "per column; pass the gene table of the same cells."
        )
        raise InputError(message)
    allowed = informative_genes(genes)
    if candidates is not None:
        named = np.zeros(len(genes), dtype=bool)
        named[candidates] = True
        allowed &= named
    values = csr_matrix(expression @ sparse.diags(allowed.astype(np.float32)))
    values.eliminate_zeros()
    if not values.nnz:
        message = (
            f"none of the {len(genes)} genes is informative, a candidate and expressed; expected "
            "at least one; widen the candidates."
        )
        raise InputError(message)
    mean = np.asarray(values.mean(axis=0)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return top_tokens(values, n_tokens=n_tokens, gene_mean=mean, gene_sd=deviation)
