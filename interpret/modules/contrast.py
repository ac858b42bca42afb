"""Which modules change between two conditions, in activity or coherence, donors as the unit."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from ..donors.design import Design, choose_design, sign_flips
from ..statistics import Floats, Ints, adjust, tidy
from .evidence import eigengenes
from .pair_correlation import correlation_matrix

MIN_SAMPLE_CELLS = 20
"""Cells that a donor needs under a condition."""

_ENUMERATED = 5_000
COLUMNS: dict[str, type] = {
    "module": np.int64,
    "size": np.int64,
    "eigengene_difference": np.float64,
    "eigengene_p": np.float64,
    "eigengene_q": np.float64,
    "correlation_a": np.float64,
    "correlation_b": np.float64,
    "correlation_difference": np.float64,
    "correlation_p": np.float64,
    "correlation_q": np.float64,
    "donors_agreeing": np.int64,
    "n_donors": np.int64,
    "smallest_p": np.float64,
    "note": object,
}


def contrast_modules(
    expression: sp.csr_matrix,
    membership: pd.DataFrame,
    *,
    condition: Ints,
    donors: Ints | None,
    batches: Ints | None = None,
    rng: np.random.Generator,
    n_permutations: int = 4_999,
) -> pd.DataFrame:
    """Compare the modules between two conditions.

    A sample is one donor under one condition with 20 cells or more. Its *activity* is the mean
    eigengene of its cells, its *coherence* the mean Pearson correlation among the genes of the
    module over its cells. Null: a donor's conditions are exchangeable (paired: signs of its
    differences), or the conditions of donors are (unpaired); all arrangements where there are few,
    else ``n_permutations`` random ones: ``p = (b + 1) / (B + 1)``, two-sided, where ``b`` of the
    ``B`` other arrangements differ by as much. Coherence falls with depth: a difference in
    counts per cell between conditions looks like one in coherence.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    membership
        Columns ``gene`` (position) and ``module``.
    condition
        0 for a (reference), 1 for b, -1 for neither, shape (n_cells,).
    donors, batches
        Donor and batch of each cell, -1 where unknown; ``None`` without any.
    rng
        Source of random arrangements.
    n_permutations
        Arrangements drawn where there are more than 10 paired donors, or more than 5,000.

    Returns
    -------
    pandas.DataFrame
        One row per module, in their order: ``module``, ``size``, ``eigengene_difference`` (b less
        a, in deviations over cells), ``eigengene_p``, ``eigengene_q``, ``correlation_a``,
        ``correlation_b`` (means over samples), ``correlation_difference``, ``correlation_p``,
        ``correlation_q`` (q by Benjamini-Hochberg over modules), ``donors_agreeing`` (paired: with
        the sign of the difference of eigengenes; unpaired: on the side of their condition of the
        midpoint) of ``n_donors``, ``smallest_p`` (that the donors allow) and ``note``.

    Raises
    ------
    InputError
        Shapes disagree, or the donors allow no comparison: cells of one donor are no replicates.
    """
    _check(expression, condition, donors, batches)
    sizes = membership.groupby("module").size()
    score = eigengenes(expression, membership)
    nobody = np.full(len(condition), -1, dtype=np.int64)
    donor = nobody if donors is None else np.asarray(donors)
    donor = _with_enough_cells(condition, donor)
    design = _design(condition, donor, nobody if batches is None else batches)
    kept = design.cells[donor[design.cells] >= 0]
    kept = kept[condition[kept] >= 0]
    key, sample = np.unique(2 * donor[kept] + condition[kept], return_inverse=True)
    case = key % 2 == 1
    activity = _means(score[kept], sample, len(key))
    groups = [rows["gene"].to_numpy(dtype=np.int64) for _, rows in membership.groupby("module")]
    coherence = np.zeros((len(key), len(groups)))
    for row in range(len(key)):
        cells = expression[kept[sample == row]]
        coherence[row] = [_coherence(cells, genes) for genes in groups]
    weights = _arrangements(case, design, rng, n_permutations)
    active, active_p = _test(activity, case, weights)
    coherent, coherent_p = _test(coherence, case, weights)
    n_donors = len(np.unique(key // 2))
    columns = {
        "module": sizes.index.to_numpy(dtype=np.int64),
        "size": sizes.to_numpy(),
        "eigengene_difference": active,
        "eigengene_p": active_p,
        "eigengene_q": adjust(active_p),
        "correlation_a": coherence[~case].mean(axis=0),
        "correlation_b": coherence[case].mean(axis=0),
        "correlation_difference": coherent,
        "correlation_p": coherent_p,
        "correlation_q": adjust(coherent_p),
        "donors_agreeing": _agreeing(activity, case, design),
        "n_donors": np.full(len(groups), n_donors),
        "smallest_p": np.full(len(groups), _smallest(case, design, len(weights))),
        "note": np.full(len(groups), design.note, dtype=object),
    }
    return (
        pd.DataFrame(columns).astype(COLUMNS)
        if groups
        else tidy({name: np.empty(0, kind) for name, kind in COLUMNS.items()})
    )


def _design(condition: Ints, donor: Ints, batch: Ints) -> Design:
    design = choose_design(condition, donor, batch)
    if design.refusal or design.kind == "cells":
        reason = design.refusal or "donors are unknown, or too few have both conditions"
        message = (
            f"a comparison without replicates was asked for: {reason}; expected three donors under "
            f"both conditions or two under each, with {MIN_SAMPLE_CELLS} cells or more, since "
            "cells of one donor are no replicates; name the column of the donors, or merge groups."
        )
        raise InputError(message)
    return design


def _with_enough_cells(condition: Ints, donor: Ints) -> Ints:
    """Return donors, -1 for the cells of a donor under a condition where it has too few."""
    known = (donor >= 0) & (condition >= 0)
    found, place, size = np.unique(
        2 * donor[known] + condition[known], return_inverse=True, return_counts=True
    )
    kept = np.full(len(donor), -1, dtype=np.int64)
    kept[known] = np.where(size[place] >= MIN_SAMPLE_CELLS, found[place] // 2, -1)
    return kept


def _means(score: Floats, sample: Ints, n: int) -> Floats:
    size = np.bincount(sample, minlength=n)
    member = sp.csr_matrix((1 / size[sample], (sample, np.arange(len(sample)))))
    return np.asarray(member @ score)


def _coherence(cells: sp.csr_matrix, genes: Ints) -> float:
    square = correlation_matrix(cells, genes).astype(np.float64)
    return float((square.sum() - len(genes)) / max(len(genes) * (len(genes) - 1), 1))


def _arrangements(
    case: np.ndarray, design: Design, rng: np.random.Generator, n_draws: int
) -> Floats:
    """Return weights of samples whose sums are the differences, the one observed left out."""
    n = len(case)
    if design.kind == "paired":
        # samples come as (control, case) of each donor; the mirrored signs are as extreme
        signs = sign_flips(n // 2, rng, n_draws)
        if len(signs) == 2 ** (n // 2) - 2:
            signs = np.vstack([signs, -np.ones(n // 2)])
        weights: Floats = np.repeat(signs, 2, axis=1) * np.tile([-1.0, 1.0], n // 2) / (n // 2)
        return weights
    k = int(case.sum())
    if comb(n, k) <= _ENUMERATED:
        observed = tuple(np.flatnonzero(case).tolist())
        chosen = [one for one in combinations(range(n), k) if one != observed]
        inside = np.zeros((len(chosen), n), dtype=bool)
        inside[np.arange(len(chosen))[:, None], np.array(chosen)] = True
    else:
        inside = rng.permuted(np.tile(case, (n_draws, 1)), axis=1)
    return np.where(inside, 1 / k, -1 / (n - k))


def _test(values: Floats, case: np.ndarray, weights: Floats) -> tuple[Floats, Floats]:
    difference = values[case].mean(axis=0) - values[~case].mean(axis=0)
    drawn = np.abs(weights @ values)
    reached = (drawn >= np.abs(difference) - 1e-12).sum(axis=0)
    return difference, (reached + 1) / (len(weights) + 1)


def _smallest(case: np.ndarray, design: Design, n_others: int) -> float:
    mirrored = design.kind == "paired" or 2 * case.sum() == len(case)
    return (2 if mirrored else 1) / (n_others + 1)


def _agreeing(activity: Floats, case: np.ndarray, design: Design) -> Ints:
    way = np.sign(activity[case].mean(axis=0) - activity[~case].mean(axis=0))
    if design.kind == "paired":
        return np.asarray(((activity[case] - activity[~case]) * way > 0).sum(axis=0))
    middle = (activity[case].mean(axis=0) + activity[~case].mean(axis=0)) / 2
    higher = ((activity[case] - middle) * way > 0).sum(axis=0)
    return np.asarray(higher + ((middle - activity[~case]) * way > 0).sum(axis=0))


def _check(
    expression: sp.csr_matrix, condition: Ints, donors: Ints | None, batches: Ints | None
) -> None:
    given = {"conditions": condition, "donors": donors, "batches": batches}
    wrong = [
        f"{len(values)} {name}"
        for name, values in given.items()
        if values is not None and len(values) != expression.shape[0]
    ]
    if not np.isin(condition, (-1, 0, 1)).all():
        wrong.append(f"conditions from {condition.min()} to {condition.max()}")
    if wrong:
        message = (
            f"{', '.join(wrong)} were given for {expression.shape[0]} cells; expected one value "
            "per cell, conditions -1, 0 or 1; align them with the expression."
        )
        raise InputError(message)
