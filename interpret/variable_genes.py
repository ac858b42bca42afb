"""Which genes vary more over the cells than chance does."""

import numpy as np
import scipy.sparse as sp

from .statistics import Floats, Ints

_OVERDISPERSION = 100.0


def select_genes(expression: sp.csr_matrix, n: int, *, min_cells: int = 10) -> Ints:
    """Return the positions of the ``n`` most variable genes, in increasing order.

    Genes are ordered by :func:`residual_variance`, ties by position.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    n
        Genes to return; fewer come back when fewer are detected in ``min_cells`` cells.
    min_cells
        Cells that must detect a gene.
    """
    detected = np.bincount(expression.indices[expression.data > 0], minlength=expression.shape[1])
    genes = np.flatnonzero(detected >= max(min_cells, 1))
    variance = residual_variance(expression[:, genes])
    return np.sort(genes[np.argsort(-variance, kind="stable")[:n]])


def residual_variance(expression: sp.csr_matrix) -> Floats:
    """Return the variance of the Pearson residuals of each gene, shape (n_genes,).

    ``r = (x - m) / sqrt(m + m^2 / 100)``, cut at the square root of the number of cells (Lause
    2021, Genome Biol 22:291), where ``x`` are the counts of a cell of typical depth and ``m`` their
    mean: 1 for a gene that varies as counts do by chance. Depth is recovered from the data, since
    the smallest value of a cell stands for one count.
    """
    n_cells, n_genes = expression.shape
    counts = expression.tocsr(copy=True)
    counts.eliminate_zeros()
    counts.data = np.expm1(counts.data.astype(np.float64))
    filled = np.flatnonzero(np.diff(counts.indptr))
    if not len(filled):
        return np.zeros(n_genes)
    counts.data /= np.median(np.minimum.reduceat(counts.data, counts.indptr[filled]))
    gene = counts.indices
    mean = np.bincount(gene, counts.data, n_genes) / n_cells
    scale = np.sqrt(np.maximum(mean + mean**2 / _OVERDISPERSION, 1e-30))
    limit = np.sqrt(n_cells)
    residual = np.clip((counts.data - mean[gene]) / scale[gene], -limit, limit)
    absent = np.maximum(-mean / scale, -limit)
    zeros = n_cells - np.bincount(gene, minlength=n_genes)
    first = (np.bincount(gene, residual, n_genes) + zeros * absent) / n_cells
    second = (np.bincount(gene, residual**2, n_genes) + zeros * absent**2) / n_cells
    variance: Floats = np.maximum(second - first**2, 0)
    return variance
