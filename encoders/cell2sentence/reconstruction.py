"""Back from ranks to expression, and how much of it a cell sentence keeps."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse, stats

from ..errors import InputError
from .sentences import log_values, sentences_of

MOST_CELLS = 1024
"""Cells that the line is fitted to."""

LARGEST = 3.0
"""Pairs are fitted where log10(1 + rank) is below this."""


class Agreement(NamedTuple):
    """How well predicted values agree with the observed ones, over ``n_pairs`` pairs.

    ``r2`` is one minus the residual over the total sum of squares, at most 1 and below 0 when the
    mean predicts better; ``pearson`` and ``spearman`` lie in [-1, 1], equal values share their
    mean rank.
    """

    r2: float
    pearson: float
    spearman: float
    n_pairs: int


@dataclass(frozen=True)
class RankFit:
    """Lines from rank to expression, one a gene (all equal unless fitted per gene).

    Attributes
    ----------
    slope, intercept
        (n_genes,) of ``log10(1 + x) = intercept + slope * log10(1 + rank)``.
    n_cells, n_pairs
        Cells and (rank, value) pairs fitted.
    """

    slope: np.ndarray
    intercept: np.ndarray
    n_cells: int
    n_pairs: int


def fit_ranks(
    values: sparse.csr_matrix,
    ranks: sparse.csr_matrix,
    rng: np.random.Generator,
    *,
    per_gene: bool = False,
) -> RankFit:
    """Fit expression on rank by ordinary least squares (Levine et al., ICML 2024).

    ``log10(1 + x) = intercept + slope * log10(1 + rank)`` over the words of up to 1,024 cells,
    where ``log10(1 + rank) < 3``.

    Parameters
    ----------
    values
        CSR (n_cells, n_genes) ``log10(1 + x)``, see
        :func:`~scypher.encoders.cell2sentence.sentences.log_values`.
    ranks
        CSR of the same shape, 1-based ranks; every word has a value.
    rng
        Draws the cells when there are more.
    per_gene
        A line for every gene with three or more pairs and two or more ranks; other genes keep the
        line of all. Many parameters: in sentences of thousands of words such lines are drawn far
        beyond the fitted ranks and predict worse than one line.

    Raises
    ------
    InputError
        A word has no value, or the words of these cells have less than two distinct ranks.
    """
    n_cells = ranks.shape[0]
    if n_cells > MOST_CELLS:
        rows = np.sort(rng.choice(n_cells, MOST_CELLS, replace=False))
        values, ranks = values[rows], ranks[rows]
    y, x = values_at(values, ranks).data, np.log10(1.0 + ranks.data)
    fitted = x < LARGEST
    x, y, gene = x[fitted], y[fitted], ranks.indices[fitted]
    if not len(x) or np.ptp(x) == 0:
        message = (
            f"{len(x)} words of {ranks.shape[0]} cells have less than two distinct ranks; a line "
            "needs two. Give cells with longer sentences."
        )
        raise InputError(message)
    slope, intercept = _lines(x, y, np.zeros(len(x), np.int64), 1)
    n_genes = ranks.shape[1]
    slope, intercept = np.repeat(slope, n_genes), np.repeat(intercept, n_genes)
    if per_gene:
        own_slope, own_intercept = _lines(x, y, gene, n_genes)
        own = np.isfinite(own_slope)
        slope, intercept = np.where(own, own_slope, slope), np.where(own, own_intercept, intercept)
    return RankFit(slope, intercept, ranks.shape[0], len(x))


def _lines(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and intercept of every group, NaN where pairs do not determine them."""
    n = np.bincount(group, minlength=n_groups)
    filled = np.maximum(n, 1)
    mean_x = np.bincount(group, x, n_groups) / filled
    mean_y = np.bincount(group, y, n_groups) / filled
    # Centred first: the difference of two large sums would lose the digits that matter.
    dx, dy = x - mean_x[group], y - mean_y[group]
    xx, xy = np.bincount(group, dx * dx, n_groups), np.bincount(group, dx * dy, n_groups)
    known = (xx > 1e-12) & ((n >= 3) | (n_groups == 1))
    slope = np.divide(xy, xx, out=np.full(n_groups, np.nan), where=known)
    return slope, mean_y - slope * mean_x


def reconstruct(ranks: sparse.csr_matrix, fit: RankFit) -> sparse.csr_matrix:
    """Return the expression that the lines give for ranks: CSR of ``log10(1 + x)``, float64."""
    gene = ranks.indices
    values = fit.intercept[gene] + fit.slope[gene] * np.log10(1.0 + ranks.data)
    return sparse.csr_matrix((values, gene, ranks.indptr), shape=ranks.shape)


def agreement(observed: sparse.csr_matrix, predicted: sparse.csr_matrix) -> Agreement:
    """Return how a prediction agrees with the observed values at its own entries.

    Raises
    ------
    InputError
        An entry of the prediction has no observed value, or values do not vary.
    """
    y, guess = values_at(observed, predicted).data, predicted.data
    if len(y) < 2 or np.ptp(y) == 0 or np.ptp(guess) == 0:
        message = (
            f"{len(y)} values that do not vary cannot be correlated; expected two or more "
            "distinct ones. Give more cells."
        )
        raise InputError(message)
    residual, total = np.square(y - guess).sum(), np.square(y - y.mean()).sum()
    return Agreement(
        r2=float(1 - residual / total),
        pearson=float(np.corrcoef(y, guess)[0, 1]),
        spearman=float(np.corrcoef(stats.rankdata(y), stats.rankdata(guess))[0, 1]),
        n_pairs=len(y),
    )


def score_reconstruction(
    counts: sparse.csr_matrix,
    names: list[str],
    rng: np.random.Generator,
    *,
    genes: list[str] | None = None,
    target: float | Literal["median"] = "median",
    per_gene: bool = False,
) -> tuple[RankFit, Agreement]:
    """Fit on up to 1,024 cells and judge on every word of all cells, by the published protocol.

    Parameters
    ----------
    counts
        CSR (n_cells, n_genes) raw counts, filtered (see :func:`protocol_filter`).
    names
        (n_genes,) gene names.
    rng
        Draws the fitted cells.
    genes
        Words of the sentences; all genes when not given. Cells are scaled by all genes.
    target, per_gene
        See :func:`~scypher.encoders.cell2sentence.sentences.log_values` and :func:`fit_ranks`.
    """
    values = log_values(counts, target=target)
    ranks = sentences_of(counts, names, genes=genes).ranks
    fit = fit_ranks(values, ranks, rng, per_gene=per_gene)
    return fit, agreement(values, reconstruct(ranks, fit))


def protocol_filter(
    counts: sparse.csr_matrix, *, least_genes: int = 200, least_cells: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells (by genes expressed), then which genes (by those cells) are kept."""
    present = counts > 0
    cells = np.asarray(present.sum(axis=1)).ravel() >= least_genes
    genes = np.asarray(present[cells].sum(axis=0)).ravel() >= least_cells
    return cells, genes


def values_at(values: sparse.csr_matrix, places: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the values at the entries of another matrix, in the order of its entries.

    Raises
    ------
    InputError
        The shapes differ, or a place has no value.
    """
    if values.shape == places.shape:
        ones = np.ones(len(places.indices))
        pattern = sparse.csr_matrix((ones, places.indices, places.indptr), shape=places.shape)
        found = sparse.csr_matrix(values.multiply(pattern))
        found.sort_indices()
        same = np.array_equal(found.indptr, places.indptr)
        if same and np.array_equal(found.indices, places.indices):
            return found
    message = (
        f"ranks of shape {places.shape} and values of shape {values.shape} are not of the same "
        "cells and genes; every rank needs its value. Make both from one matrix of counts."
    )
    raise InputError(message)
