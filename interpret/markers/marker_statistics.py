"""Every statistic of a marker, for every gene and group, of cells and of donors."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from ..chunks import Chunks, in_chunks, of_cells
from ..donors.design import MIN_PAIRED, choose_design
from ..donors.means import DonorMeans, DonorTest, donor_means, donor_test
from ..statistics import Floats, Ints, adjust
from .group_sums import group_sums
from .rank_sum import rank_sum
from .welch import specificity, welch

ADJUSTED = {"p": "q", "t_p": "t_q", "donor_p": "donor_q"}
"""Column of p -> column of its q."""


def marker_statistics(
    expression: sp.csr_matrix | Chunks,
    groups: Ints,
    n_groups: int,
    *,
    reference: int | None = None,
    donors: Ints | None = None,
) -> pd.DataFrame:
    """Compare every gene of every group with all other cells, or with one other group.

    *Cells*: the Wilcoxon rank-sum test with tie correction (``z``, ``p``, ``auroc``:
    :func:`~scypher.interpret.markers.rank_sum.rank_sum`), Welch's t on log expression
    (:func:`~scypher.interpret.markers.welch.welch`) and specificity
    (:func:`~scypher.interpret.markers.welch.specificity`). They take cells for replicates: p says
    that cells differ. *Donors*: mean counts per 10,000 of each donor inside and outside, compared
    by the moderated t test (:func:`~scypher.interpret.donors.means.donor_test`), paired where 3
    donors have 3 cells on both sides. q is Benjamini-Hochberg over all groups and genes.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    groups
        Group of each cell from 0, or -1 for none, shape (n_cells,); cells without a group are among
        the others.
    n_groups
        Number of groups.
    reference
        Group that the others are compared with; all other cells when not given.
    donors
        Donor of each cell, or -1 where unknown, shape (n_cells,).

    Returns
    -------
    pandas.DataFrame
        One row per group and gene, by group and ``rank``: ``group``, ``gene`` (positions),
        ``rank`` (1 = best, by ``max(2 AUROC - 1, 0) * log2 fold change``), ``z``, ``p``, ``q``,
        ``auroc`` in [0, 1], ``t``, ``t_p``, ``t_q``, ``specificity`` in [0, 1],
        ``log2_fold_change`` (of mean counts per 10,000, pseudocount 1), ``mean_in``, ``mean_out``
        (counts per 10,000), ``detected_in``, ``detected_out`` (shares of cells), ``n_in``,
        ``n_out`` (cells), ``donor_log2_fold_change``, ``donor_p``, ``donor_q`` (missing where
        donors cannot be compared), ``donors_agreeing`` (with the sign of the fold change) of
        ``n_donors``. A group of one cell, or a gene that is equal in all cells, has p 1.

    Raises
    ------
    InputError
        When shapes disagree, values are negative or not finite, or the reference is no group.
    """
    chunks = in_chunks(expression)
    known = None if donors is None else donor_means(chunks, groups, n_groups, donors)
    if reference is None:
        asked = list(range(n_groups))
        found = _cells(chunks, groups, n_groups)
    else:
        if not 0 <= reference < n_groups:
            message = (
                f"reference {reference} was given for {n_groups} groups; expected the position of "
                "a group; pass one of them."
            )
            raise InputError(message)
        asked = [group for group in range(n_groups) if group != reference]
        found = _against(chunks, groups, asked, reference)
    found |= _by_donors(known, groups, asked, reference, donors=donors, n_genes=chunks.shape[1])
    return _table(found, asked)


def _cells(expression: Chunks, groups: Ints, n_groups: int) -> dict[str, Floats]:
    """Return the statistics of cells, each of shape (n_groups, n_genes)."""
    sums = group_sums(expression, groups, n_groups)
    told = rank_sum(expression, groups, n_groups, sums=sums)
    t, t_p = welch(sums)
    n_in = np.broadcast_to(sums.size[:-1, None], t.shape)
    return {
        **{name: told[name] for name in ("z", "p", "auroc")},
        "t": t,
        "t_p": t_p,
        "specificity": specificity(sums),
        "log2_fold_change": np.log2((told["mean"] + 1) / (told["mean_other"] + 1)),
        **{f"{name}_in": told[name] for name in ("mean", "detected")},
        **{f"{name}_out": told[f"{name}_other"] for name in ("mean", "detected")},
        "n_in": n_in,
        "n_out": sums.size.sum() - n_in,
    }


def _against(
    expression: Chunks, groups: Ints, asked: list[int], reference: int
) -> dict[str, Floats]:
    """Return the statistics of each group against the reference alone."""
    whole: dict[str, list[Floats]] = {}
    for group in asked:
        cells = np.isin(groups, (group, reference))
        # Both are groups, so that specificity is between the two.
        label = np.where(groups[cells] == group, 0, 1)
        for name, values in _cells(of_cells(expression, cells), label, 2).items():
            whole.setdefault(name, []).append(values[:1])
    return {name: np.concatenate(values) for name, values in whole.items()}


def _by_donors(
    known: DonorMeans | None,
    groups: Ints,
    asked: list[int],
    reference: int | None,
    *,
    donors: Ints | None,
    n_genes: int,
) -> dict[str, Floats]:
    """Return what donors say, per asked group and gene."""
    shape = (len(asked), n_genes)
    found = {
        "donor_log2_fold_change": np.full(shape, np.nan),
        "donor_p": np.full(shape, np.nan),
        "donors_agreeing": np.zeros(shape),
        "n_donors": np.zeros(shape),
    }
    if known is None or donors is None:
        return found
    for row, group in enumerate(asked):
        test = (
            _with_rest(known, group)
            if reference is None
            else _with_reference(known, groups, group, reference, donors=donors)
        )
        if test is not None:
            found["donor_log2_fold_change"][row] = test.difference
            found["donor_p"][row] = test.p
            found["donors_agreeing"][row] = test.agreeing
            found["n_donors"][row] = test.n_donors
    return found


def _with_rest(known: DonorMeans, group: int) -> DonorTest | None:
    inside, outside = known.against_rest(group)
    return donor_test(outside, inside, paired=True) if len(inside) >= MIN_PAIRED else None


def _with_reference(
    known: DonorMeans, groups: Ints, group: int, reference: int, *, donors: Ints
) -> DonorTest | None:
    cells = np.isin(groups, (group, reference))
    condition = (groups[cells] == group).astype(np.int64)
    design = choose_design(condition, donors[cells], np.full(len(condition), -1))
    if design.refusal or design.kind == "cells":
        return None
    place = np.searchsorted(np.unique(donors[donors >= 0]), design.donors)
    sides = []
    for one in (reference, group):
        have = place[known.size[place, one] > 0]
        sides.append(known.mass[have, one] / known.size[have, one, None])
    return donor_test(*sides, paired=design.kind == "paired")


def _table(found: dict[str, Floats], asked: list[int]) -> pd.DataFrame:
    n_groups, n_genes = found["z"].shape
    worth = np.maximum(2 * found["auroc"] - 1, 0) * found["log2_fold_change"]
    order = np.lexsort((-found["auroc"], -worth), axis=1)
    row = np.repeat(np.arange(n_groups), n_genes)
    at = (row, order.ravel())
    columns: dict[str, np.ndarray] = {
        "group": np.repeat(np.array(asked, dtype=np.int64), n_genes),
        "gene": at[1],
        "rank": np.tile(np.arange(1, n_genes + 1), n_groups),
    }
    counts = {"n_in", "n_out", "donors_agreeing", "n_donors"}
    for name, values in found.items():
        columns[name] = values[at].astype(np.int64 if name in counts else np.float64)
        if name in ADJUSTED:
            columns[ADJUSTED[name]] = adjust_known(columns[name])
    return pd.DataFrame(columns)


def adjust_known(p: Floats) -> Floats:
    """Return q of the p that are known, missing where p is."""
    q = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    q[tested] = adjust(p[tested])
    return q
