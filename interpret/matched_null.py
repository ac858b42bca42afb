"""Is the lift of a gene more than its expression explains? Genes of like expression, all nulls."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..encoders.errors import InputError
from .attention_null import MIN_CELLS, GroupMeans, attention_test, degree_corrected_lift
from .permutations import against, permuted_sums, shuffles
from .rewiring import N_REWIRINGS, NullTest, rewiring_test
from .statistics import Floats, Ints, adjust, check_cells, tidy

MIN_GENES = 50
"""Genes of like expression that a bin holds at least."""

N_PERMUTATIONS = 200
"""Permutations of the labels, whose draws are pooled over the genes of a bin."""

_BYTES = 128 << 20


def calibrate(
    attention: sp.csr_matrix,
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    strata: Ints,
    rng: np.random.Generator,
    n_permutations: int = 999,
    n_matched: int = N_PERMUTATIONS,
    n_rewirings: int = N_REWIRINGS,
) -> pd.DataFrame:
    """Test the attention lift of every gene in every group against three nulls.

    *Label*: the groups of cells are exchangeable
    (:func:`~scypher.interpret.attention_null.attention_test`). *Matched*: so they are, and the lift
    is compared with that of genes expressed alike in the group (:func:`matched_test`). *Rewired*:
    all genes of a cell are exchangeable but for degrees
    (:func:`~scypher.interpret.rewiring.rewiring_test`). The first speaks of the marker score, the
    others of the log2 lift. All p are two-sided, a positive z is above the null; q is
    Benjamini-Hochberg over all tested groups and genes of a null.

    Parameters
    ----------
    attention
        Non-negative weights, 1.0 = uniform, shape (n_cells, n_genes).
    expression
        log1p of counts per 10,000, same shape.
    groups
        Group of each cell, or -1, shape (n_cells,).
    n_groups
        Number of groups.
    strata
        Labels and genes are exchanged only between cells of one stratum, such as a donor, shape
        (n_cells,).
    rng
        Source of all permutations.
    n_permutations, n_matched, n_rewirings
        Draws per gene from each null.

    Returns
    -------
    pandas.DataFrame
        One row per group and gene that at least 3 cells attend to, by group and gene: ``group``,
        ``gene`` (positions), ``lift`` (mean attention inside over elsewhere, absent = 0),
        ``edge_lift`` (the same over cells that carry the gene: see
        :func:`~scypher.interpret.attention_null.degree_corrected_lift`), ``label_z``,
        ``label_p``, ``label_q``, ``matched_z``, ``matched_p``, ``matched_q``, ``rewired_z``,
        ``rewired_p``, ``rewired_q``.

    Raises
    ------
    InputError
        When shapes disagree or values are negative or not finite.
    """
    _check(attention, expression, groups, n_groups, strata)
    label = attention_test(
        attention, groups, n_groups, strata=strata, rng=rng, n_permutations=n_permutations
    )
    nulls = {
        "label": NullTest(label.z, label.p, label.tested),
        "matched": matched_test(
            attention,
            expression,
            groups,
            n_groups,
            strata=strata,
            rng=rng,
            n_permutations=n_matched,
        ),
        "rewired": rewiring_test(
            attention, groups, n_groups, strata=strata, rng=rng, n_rewirings=n_rewirings
        ),
    }
    at = np.nonzero(label.tested)
    columns = {
        "group": at[0],
        "gene": at[1],
        "lift": label.lift[at],
        "edge_lift": degree_corrected_lift(attention, groups, n_groups)[at],
    }
    for name, test in nulls.items():
        columns[f"{name}_z"], columns[f"{name}_p"] = test.z[at], test.p[at]
        columns[f"{name}_q"] = adjust(test.p[at])
    return tidy(columns)


def matched_test(
    attention: sp.csr_matrix,
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    strata: Ints,
    rng: np.random.Generator,
    n_permutations: int = N_PERMUTATIONS,
) -> NullTest:
    """Test whether the lift of a gene in a group is above that of genes expressed alike in it.

    Per group, genes are binned by mean expression in the group and each of these bins by detection
    in it, at least 50 genes a bin (all genes are one bin when there are fewer). The statistic is
    the excess over the bin, ``x - median(x of the bin)`` with
    ``x = log2((A_in + e) / (A_rest + e))`` as in
    :func:`~scypher.interpret.attention_null.attention_test`, so that what abundant genes have in
    common is no lift. Its null comes from labels permuted within strata, the bins kept; null
    ``|z|`` are pooled per group over the bin: ``p = (b + 1) / (B + 1)``, two-sided. (A rank among
    genes that are themselves tested would be uniform, whatever is true.)

    Parameters
    ----------
    attention, groups, n_groups, strata
        As in :func:`calibrate`.
    expression
        log1p of counts per 10,000, shape of ``attention``.
    rng
        Source of the permutations.
    n_permutations
        Permutations per gene, at least 2.
    """
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    means = GroupMeans.of(attention, label, n_groups)
    present = np.diff(means.columns.indptr)
    genes = np.flatnonzero(present >= MIN_CELLS)
    columns, total = means.columns[:, genes], means.total[genes]
    bins = _bins(expression[:, genes], label, n_groups)
    comparable = ((means.size > 0) & (means.other > 0)).ravel()
    seen = np.log2(means.lift(means.inside))
    z, p = np.zeros_like(seen), np.ones_like(seen)
    at_once = _fitting(_BYTES, 16 * (n_groups + 1) * len(genes) + 2 * len(label), 64)
    capacity = _fitting(_BYTES, 4 * n_permutations * len(genes), n_groups)
    some = np.flatnonzero(comparable)
    for first in range(0, len(some), capacity):
        chunk = some[first : first + capacity]
        null = np.empty((len(genes), len(chunk), n_permutations), dtype=np.float32)
        for start in range(0, n_permutations, at_once):
            draws = slice(start, min(start + at_once, n_permutations))
            labels = shuffles(label, strata, rng, n=draws.stop - start)
            inside = permuted_sums(columns, labels, n_groups)[0][:, :, chunk].transpose(0, 2, 1)
            rest = np.maximum(total[:, None, None] - inside, 0) / means.other[chunk]
            mean = inside / means.size[chunk]
            null[:, :, draws] = np.log2((mean + means.epsilon) / (rest + means.epsilon))
        for place, group in enumerate(chunk):
            for pool in np.split(np.argsort(bins[group], kind="stable"), _ends(bins[group])):
                at = np.ix_([group], genes[pool])
                drawn = null[pool, place]
                excess = drawn - np.median(drawn, axis=0)
                z[at], p[at] = against(excess[:, None], seen[at] - np.median(seen[at]))
    return NullTest(z, p, comparable[:, None] & (present >= MIN_CELLS))


def _bins(expression: sp.csr_matrix, label: Ints, n_groups: int) -> Ints:
    """Return the bin of every gene in every group, shape (n_groups, n_genes)."""
    member = sp.csr_matrix(
        (np.ones(len(label)), (label, np.arange(len(label)))), shape=(n_groups + 1, len(label))
    )
    size = np.maximum(np.bincount(label, minlength=n_groups + 1), 1)[:, None]
    mean = np.asarray((member @ expression).todense()) / size
    detected = np.asarray((member @ (expression > 0)).todense()) / size
    return np.array([matched_bins(mean[i], detected[i]) for i in range(n_groups)])


def _ends(bins: Ints) -> Ints:
    return np.cumsum(np.bincount(bins))[:-1]


def _fitting(size: int, each: int, most: int) -> int:
    """Return how many pieces of so many bytes each fit a size, from 1 to the most needed."""
    return max(min(size // max(each, 1), most), 1)


def matched_bins(mean: Floats, detected: Floats) -> Ints:
    """Return a bin of genes alike in mean and detection, at least 50 each: shape (n_genes,).

    As many bins of mean as of detection within each; ties by position.
    """
    n = len(mean)
    across = max(int(np.sqrt(n / MIN_GENES)), 1)
    outer = _equal_parts(np.lexsort((detected, mean)), across)
    bins = np.zeros(n, dtype=np.int64)
    for one in range(across):
        inside = np.flatnonzero(outer == one)
        within = max(min(across, len(inside) // MIN_GENES), 1)
        order = np.lexsort((mean[inside], detected[inside]))
        bins[inside] = one * across + _equal_parts(order, within)
    return np.unique(bins, return_inverse=True)[1].reshape(n).astype(np.int64)


def _equal_parts(order: Ints, n: int) -> Ints:
    part = np.empty(len(order), dtype=np.int64)
    part[order] = np.arange(len(order)) * n // max(len(order), 1)
    return part


def _check(
    attention: sp.csr_matrix,
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    strata: Ints,
) -> None:
    check_cells(attention, groups, n_groups)
    check_cells(expression, groups, n_groups)
    if attention.shape != expression.shape or len(strata) != len(groups):
        message = (
            f"attention of shape {attention.shape}, expression of shape {expression.shape} and "
            f"{len(strata)} strata were given; expected the same cells and genes in all; "
            "align them first."
        )
        raise InputError(message)
