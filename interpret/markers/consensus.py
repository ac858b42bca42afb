"""Which genes mark a group of cells, by attention and by expression, each beside the other."""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.errors import InputError
from ..attention_null import AttentionTest, attention_test
from ..donors.means import donor_means
from ..statistics import Floats, Ints, adjust, check_cells, tidy
from .rank_sum import rank_sum

MIN_CELLS = 3
"""Cells that must detect a gene before the gene is tested."""

SHOWN_BY_EACH = 10
"""Ranks of either method alone that are always kept."""


def rank_markers(
    expression: sp.csr_matrix,
    groups: NDArray[Any],
    n_groups: int,
    *,
    attention: sp.csr_matrix | None = None,
    donors: NDArray[Any] | None = None,
    rng: np.random.Generator,
    n_permutations: int = 999,
    top: int = 50,
) -> pd.DataFrame:
    """Rank the genes of every group against all other cells, those in no group among them.

    Every gene that at least 3 cells detect is tested in every group; q values are
    Benjamini-Hochberg over all of these. Kept are, per group, the consensus ranks up to ``top`` and
    the ten best genes of each method alone.

    *Expression*: :func:`~scypher.interpret.markers.rank_sum.rank_sum`, calibrated for small groups.
    Its rank orders by ``max(2 AUROC - 1, 0) * log2 fold change``, how surely times how much, since
    p alone favours abundant genes. *Attention*:
    :func:`~scypher.interpret.attention_null.attention_test`, labels permuted within donors; its
    rank orders by the marker score. *Consensus*: among the genes with an AUROC above 0.5, which
    come first, the product of both ranks (Breitling 2004, FEBS Lett 573:83), the rank of expression
    standing for that of attention where attention was not tested; equal products by the rank of
    expression. Without attention it equals the rank of expression.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    groups
        Group of each cell from 0, or -1 for none, shape (n_cells,).
    n_groups
        Number of groups.
    attention
        Attention of cells to genes, 1.0 = uniform, absent = 0, shape of ``expression``; without it
        lift is 1, z 0, p and q 1 and every gene has the last attention rank.
    donors
        Donor of each cell, or -1 where unknown, shape (n_cells,).
    rng
        Source of the permutations.
    n_permutations
        Permutations of the group labels, at least 1.
    top
        Consensus ranks to keep per group, at least 1.

    Returns
    -------
    pandas.DataFrame
        One row per group and kept gene, by group and rank: ``group``, ``gene`` (positions),
        ``rank`` (1 = best), ``attention_lift``, ``attention_z``, ``attention_p``, ``attention_q``,
        ``attention_rank``, ``auroc``, ``log2_fold_change`` (of mean counts per 10,000, pseudocount
        1), ``detected_in``, ``detected_out``, ``expression_p``, ``expression_q``,
        ``expression_rank``, ``donors_agreeing`` of ``n_donors`` (donors with 3 cells inside and 3
        outside, agreeing when the mean is higher inside), ``n_cells`` of the group and ``verdict``:
        ``supported`` (attention q < 0.05 with lift > 1 and expression q < 0.05 with AUROC > 0.5),
        ``expression_only``, ``attention_only`` or ``unsupported``.

    Raises
    ------
    InputError
        When shapes disagree or values are negative or not finite.
    """
    groups = np.asarray(groups, dtype=np.int64)
    _check(expression, groups, n_groups, attention=attention, donors=donors)
    donor = np.full(len(groups), -1) if donors is None else np.asarray(donors, dtype=np.int64)
    genes = np.flatnonzero(_cells_per_gene(expression) >= MIN_CELLS)
    columns = expression[:, genes]
    sizes = np.bincount(groups[groups >= 0], minlength=n_groups)
    compared = (sizes > 0) & (sizes < len(groups))
    told = rank_sum(columns, groups, n_groups, calibrated=True)
    fold = np.log2((told["mean"] + 1) / (told["mean_other"] + 1))
    looked = _attention(
        attention,
        groups,
        n_groups,
        genes=genes,
        donor=donor,
        rng=rng,
        n_permutations=n_permutations,
    )
    up = told["auroc"] > 0.5
    expression_rank = _ranks(np.maximum(2 * told["auroc"] - 1, 0) * fold, told["auroc"])
    attention_rank = np.full_like(expression_rank, len(genes))
    if attention is not None:
        ranked = _ranks(looked.score, looked.z)
        attention_rank = np.where(looked.tested, ranked, attention_rank)
    # Attention says nothing of a gene that it never saw: no rank is missing, not the last one.
    both = np.where(looked.tested, attention_rank, expression_rank)
    product = np.log(both) + np.log(expression_rank)
    consensus = _ranks(np.where(up, -product, -np.inf), -expression_rank.astype(np.float64))
    expression_q = np.ones_like(told["p"])
    expression_q[compared] = adjust(told["p"][compared])
    attention_q = np.ones_like(looked.p)
    attention_q[looked.tested] = adjust(looked.p[looked.tested])
    keep = (consensus <= top) | (expression_rank <= SHOWN_BY_EACH)
    if attention is not None:
        keep |= attention_rank <= SHOWN_BY_EACH
    keep &= compared[:, None]
    group, column = np.nonzero(keep)
    at = (group, column)
    agreeing, asked = _donors(columns, groups, n_groups, donor=donor, at=at)
    by_expression = (expression_q[at] < 0.05) & up[at]
    by_attention = (attention_q[at] < 0.05) & (looked.lift[at] > 1)
    verdict = np.select(
        [by_expression & by_attention, by_expression, by_attention],
        ["supported", "expression_only", "attention_only"],
        "unsupported",
    )
    table = tidy(
        {
            "group": group,
            "gene": genes[column],
            "rank": consensus[at],
            "attention_lift": looked.lift[at],
            "attention_z": looked.z[at],
            "attention_p": looked.p[at],
            "attention_q": attention_q[at],
            "attention_rank": attention_rank[at],
            "auroc": told["auroc"][at],
            "log2_fold_change": fold[at],
            "detected_in": told["detected"][at],
            "detected_out": told["detected_other"][at],
            "expression_p": told["p"][at],
            "expression_q": expression_q[at],
            "expression_rank": expression_rank[at],
            "donors_agreeing": agreeing,
            "n_donors": asked,
            "n_cells": sizes[group],
            "verdict": verdict,
        }
    )
    return table.sort_values(["group", "rank"], ignore_index=True)


def _check(
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    attention: sp.csr_matrix | None,
    donors: NDArray[Any] | None,
) -> None:
    check_cells(expression, groups, n_groups)
    if attention is not None:
        if attention.shape != expression.shape:
            message = (
                f"attention of shape {attention.shape} was given for expression of shape "
                f"{expression.shape}; expected the same cells and genes in both; "
                "align the attention with the expression first."
            )
            raise InputError(message)
        check_cells(attention, groups, n_groups)
    if donors is not None and len(donors) != len(groups):
        message = (
            f"{len(donors)} donors were given for {len(groups)} cells; expected one per cell, "
            "-1 where it is unknown; pass the donors of the same cells."
        )
        raise InputError(message)


def _cells_per_gene(matrix: sp.csr_matrix) -> Ints:
    return np.bincount(matrix.indices[matrix.data != 0], minlength=matrix.shape[1])


def _attention(
    attention: sp.csr_matrix | None,
    groups: Ints,
    n_groups: int,
    *,
    genes: Ints,
    donor: Ints,
    rng: np.random.Generator,
    n_permutations: int,
) -> AttentionTest:
    if attention is None:
        one = np.ones((n_groups, len(genes)))
        return AttentionTest(one, 0 * one, 0 * one, one.copy(), one == 0)
    return attention_test(
        attention[:, genes],
        groups,
        n_groups,
        strata=donor,
        rng=rng,
        n_permutations=n_permutations,
    )


def _ranks(score: Floats, second: Floats) -> Ints:
    """Return ranks from 1 within each row, highest score first, ties by the second score."""
    order = np.lexsort((-second, -score), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(1, score.shape[1] + 1)[None, :], axis=1)
    return rank


def _donors(
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    donor: Ints,
    at: tuple[Ints, Ints],
) -> tuple[Ints, Ints]:
    """Return, per kept group and gene, the donors that agree and those that could be asked."""
    group, gene = at
    kept = np.unique(gene)
    means = donor_means(expression[:, kept], groups, n_groups, donor)
    agreeing, asked = np.zeros_like(group), np.zeros_like(group)
    for one in np.unique(group):
        own = group == one
        higher, asked[own] = means.agreeing(int(one))
        agreeing[own] = higher[np.searchsorted(kept, gene[own])]
    return agreeing, asked
