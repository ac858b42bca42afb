"""The genes of a cell that enter its clique."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.sparse import csr_matrix

from ...encoders.errors import InputError
from ..attention.tokens import top_tokens
from ..gene_filter import informative_genes

N_TOKENS = 200
"""Genes of a cell in the released CellVQ-Graph."""


def clique_tokens(
    expression: csr_matrix,
    genes: pd.DataFrame,
    *,
    n_tokens: int = N_TOKENS,
    candidates: npt.NDArray[np.intp] | None = None,
) -> csr_matrix:
    """Keep for every cell its informative genes of highest z-score over all cells.

    Ribosomal and mitochondrial genes are left out by their annotation (see
    :func:`~scypher.kg.gene_filter.informative_genes`); the z-score is that of
    :func:`~scypher.kg.attention.top_tokens`.

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
