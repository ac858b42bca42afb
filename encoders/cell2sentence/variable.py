"""Variable genes, chosen on training cells alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from ..counts import COUNTS_PER_CELL
from ..errors import InputError
from .sentences import words_of

N_BINS = 20
"""Bins of mean expression, of equal width in log1p."""

N_VARIABLE = 2000
"""Genes chosen where the caller does not say how many."""


def variable_genes_of(
    counts: sparse.csr_matrix, names: Sequence[str], n: int = N_VARIABLE
) -> list[str]:
    """Return the words of the most variable genes, most variable first.

    Logarithm of variance over mean of counts per 10,000, centred and scaled among the genes of a
    bin of mean expression, 20 bins of log1p mean (Satija et al., Nat Biotechnol 2015; the flavour
    "seurat" of scanpy); 1 for a gene alone in its bin. Give training cells only: genes chosen with
    the cells that are judged later leak them.

    Parameters
    ----------
    counts
        CSR (n_cells, n_genes) raw counts of the training cells.
    names
        (n_genes,) gene names.
    n
        Genes wanted; fewer come back when fewer are expressed and vary. Equal dispersions go in
        the order of the columns.

    Raises
    ------
    InputError
        There are less than two cells, or no gene varies.
    """
    expressed = np.flatnonzero(np.asarray((counts > 0).sum(axis=0)).ravel())
    if counts.shape[0] < 2 or n < 1 or not len(expressed):
        message = (
            f"{n} variable genes of {counts.shape[0]} cells that express {len(expressed)} genes; "
            "expected at least one gene of two cells with counts. Give the training cells."
        )
        raise InputError(message)
    dispersion = _dispersion(sparse.csr_matrix(counts[:, expressed]))
    order = np.argsort(-dispersion, kind="stable")
    order = order[np.isfinite(dispersion[order])][:n]
    if not len(order):
        message = (
            f"none of {len(expressed)} genes varies over {counts.shape[0]} cells; expected counts "
            "that differ. Give more training cells."
        )
        raise InputError(message)
    words = words_of(names)
    return [words[gene] for gene in expressed[order]]


def _dispersion(counts: sparse.csr_matrix) -> np.ndarray:
    """Return the normalised dispersion of each gene, NaN for genes that do not vary."""
    totals = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1)
    scaled = counts.data * np.repeat(COUNTS_PER_CELL / totals, np.diff(counts.indptr))
    n, n_genes = counts.shape
    mean = np.bincount(counts.indices, scaled, n_genes) / n
    square = np.bincount(counts.indices, np.square(scaled - mean[counts.indices]), n_genes)
    # Every zero that is not stored lies one mean away from the mean.
    absent = n - np.bincount(counts.indices, minlength=n_genes)
    variance = (square + absent * np.square(mean)) / (n - 1)
    # Below rounding of the values a gene is constant.
    varies = variance > 1e-10 * np.square(mean)
    ratio = np.divide(variance, mean, out=np.full(n_genes, np.nan), where=varies)
    table = pd.DataFrame({"dispersion": np.log(ratio)})
    groups = table.groupby(pd.cut(np.log1p(mean), N_BINS, labels=False))["dispersion"]
    centre, width = groups.transform("mean").to_numpy(), groups.transform("std").to_numpy()
    size = groups.transform("count").to_numpy()
    result = (table["dispersion"].to_numpy() - centre) / np.where(width > 0, width, np.nan)
    # A gene alone in its bin has nothing to be compared with.
    return np.where(varies & (size == 1), 1.0, result)
