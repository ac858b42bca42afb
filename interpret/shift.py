"""What changes in a group of cells between two conditions, with the donor as the unit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..encoders.errors import InputError
from .attention_null import attention_test
from .donors.design import MIN_CELLS, Design, choose_design, per_donor, sign_flips
from .donors.means import donor_test
from .markers.rank_sum import rank_sum
from .permutations import against, alike
from .statistics import Floats, Ints, adjust, check_cells, tidy

_COLUMNS = {
    "group": np.int64,
    "gene": np.int64,
    "log2_fold_change": np.float64,
    "mean_a": np.float64,
    "mean_b": np.float64,
    "p": np.float64,
    "q": np.float64,
    "donors_agreeing": np.int64,
    "n_donors": np.int64,
    "attention_difference": np.float64,
    "attention_p": np.float64,
    "attention_q": np.float64,
    "rank": np.int64,
    "note": object,
}


@dataclass(frozen=True)
class Shift:
    """Shift of groups between condition a and condition b.

    Attributes
    ----------
    table
        One row per group and kept gene, by group and rank: ``group``, ``gene`` (positions),
        ``log2_fold_change`` (b over a, of counts per 10,000, pseudocount 1), ``mean_a``,
        ``mean_b`` (counts per 10,000, mean over donors, or over cells without donors), ``p``,
        ``q``, ``donors_agreeing`` of ``n_donors`` (paired: with a change of the sign of the fold
        change; unpaired: on the side of their condition of the midpoint; 0 of 0 without donors),
        ``attention_difference`` (mean attention in b less a), ``attention_p``, ``attention_q``
        (1 where a gene was not tested), ``rank`` and ``note`` (what was compared, and what it
        cannot say).
    refused
        One row per group of which nothing is claimed: ``group``, ``reason``.
    """

    table: pd.DataFrame
    refused: pd.DataFrame


def find_shift(
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    condition: Ints,
    donors: Ints | None,
    batches: Ints | None = None,
    attention: sp.csr_matrix | None = None,
    rng: np.random.Generator,
    n_permutations: int = 999,
    top: int = 100,
) -> Shift:
    """Find the genes that change between two conditions within each group.

    *Expression*: counts per 10,000 are averaged over the cells of a donor under a condition
    (pseudobulk: Squair 2021, Nat Commun 12:5692), ``y = log2(1 + mean)``. With three donors under
    both conditions the paired differences of y are tested against 0, otherwise, with two donors
    under each, the two sets of donors against each other, by the moderated t test (Smyth 2004,
    Stat Appl Genet Mol Biol 3:3): ``t = d / (s_post u)``,
    ``s_post^2 = (d0 s0^2 + df s^2) / (d0 + df)`` on ``d0 + df`` degrees of freedom, where the prior
    ``s0^2`` follows the mean of y by a cubic. With fewer donors the cells are compared by
    :func:`~scypher.interpret.markers.rank_sum.rank_sum`, and every row says that cells are no
    replicates. Genes rank by ``|log2 fold change| * -log10 p`` (Xiao 2014, Bioinformatics 30:801).

    *Attention*: mean attention to the gene (absent = 0) per donor and condition. Under the null a
    donor's conditions are exchangeable, which flips the sign of its difference; unpaired, the
    conditions of donors are permuted; without donors those of cells (within donors where known).
    Null ``|z|`` are pooled over genes attended to in like numbers of cells:
    ``p = (b + 1) / (B + 1)``. q is Benjamini-Hochberg over all groups and genes tested.

    A condition seen in one donor only, who lacks the other one, is confounded with that donor:
    refused. So is a condition that is one batch, unless donors are paired: these rows say in
    their note that the batch cannot be told from the condition.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    groups
        State or label of each cell, or -1, shape (n_cells,).
    n_groups
        Number of groups.
    condition
        0 for a (reference), 1 for b, -1 for neither, shape (n_cells,).
    donors, batches
        Donor and batch of each cell, -1 where unknown; ``None`` without any.
    attention
        Attention of cells to genes, 1.0 = uniform, shape of ``expression``; without it its
        difference is 0, p and q are 1.
    rng
        Source of the permutations.
    n_permutations
        Draws where conditions cannot all be enumerated (up to ten paired donors they can).
    top
        Ranks to keep per group.

    Raises
    ------
    InputError
        When shapes disagree, or values are negative or not finite.
    """
    _check(expression, groups, n_groups, condition, donors, batches, attention)
    nobody = np.full(len(groups), -1)
    donor = nobody if donors is None else donors
    batch = nobody if batches is None else batches
    tables, refused = [], []
    for group in range(n_groups):
        cells = np.flatnonzero((groups == group) & (condition >= 0))
        design = choose_design(condition[cells], donor[cells], batch[cells])
        if design.refusal:
            refused.append((group, design.refusal))
            continue
        cells = cells[design.cells]
        genes = np.flatnonzero(np.diff(expression[cells].tocsc().indptr) >= MIN_CELLS)
        if not len(genes):
            refused.append((group, f"no gene was detected by {MIN_CELLS} of its cells"))
            continue
        table = _compare(expression[cells][:, genes], condition[cells], donor[cells], design)
        nothing = np.zeros(len(genes))
        looked = {"attention_difference": nothing, "attention_p": nothing + 1, "tested": nothing}
        if attention is not None:
            looked = _attended(
                attention[cells][:, genes],
                condition[cells],
                donor[cells],
                design=design,
                rng=rng,
                n_permutations=n_permutations,
            )
        tables.append(table.assign(group=group, gene=genes, note=design.note, **looked))
    return Shift(_finish(tables, top), _refusals(refused))


def _compare(
    expression: sp.csr_matrix, condition: Ints, donor: Ints, design: Design
) -> pd.DataFrame:
    """Return fold change, means, p and donors of one group."""
    if design.kind == "cells":
        found = rank_sum(expression, np.where(condition == 1, 0, -1), 1, calibrated=True)
        mean_a, mean_b = found["mean_other"][0], found["mean"][0]
        return tidy(
            {
                "log2_fold_change": np.log2((mean_b + 1) / (mean_a + 1)),
                "mean_a": mean_a,
                "mean_b": mean_b,
                "p": found["p"][0],
                "donors_agreeing": np.zeros(len(mean_a), dtype=np.int64),
                "n_donors": np.zeros(len(mean_a), dtype=np.int64),
            }
        )
    bulk = per_donor(expression.expm1(), condition, donor, design)
    test = donor_test(bulk[0], bulk[1], paired=design.kind == "paired")
    return tidy(
        {
            "log2_fold_change": test.difference,
            "mean_a": bulk[0].mean(0),
            "mean_b": bulk[1].mean(0),
            "p": test.p,
            "donors_agreeing": test.agreeing,
            "n_donors": np.full(len(test.p), test.n_donors),
        }
    )


def _attended(
    attention: sp.csr_matrix,
    condition: Ints,
    donor: Ints,
    *,
    design: Design,
    rng: np.random.Generator,
    n_permutations: int,
) -> dict[str, Floats]:
    """Return difference of attention, its p and whether it was tested, per gene."""
    present = np.diff(attention.tocsc().indptr)
    tested = present >= MIN_CELLS
    told = {"tested": tested.astype(np.float64)}
    if design.kind == "cells":
        sides = [np.asarray(attention[condition == side].mean(0)).ravel() for side in (0, 1)]
        found = attention_test(
            attention,
            np.where(condition == 1, 0, -1),
            1,
            strata=donor,
            rng=rng,
            n_permutations=n_permutations,
        )
        p = np.where(tested & found.tested[0], found.p[0], 1.0)
        return told | {"attention_difference": sides[1] - sides[0], "attention_p": p}
    bulk = per_donor(attention, condition, donor, design)
    difference = bulk[1].mean(0) - bulk[0].mean(0)
    if design.kind == "paired":
        each = bulk[1] - bulk[0]
        drawn = sign_flips(len(each), rng, n_permutations) @ each / len(each)
    else:
        both, n = np.vstack(bulk), len(bulk[1])
        order = rng.permuted(np.tile(np.arange(len(both)), (n_permutations, 1)), axis=1)
        weight = np.where(order < n, 1 / n, -1 / (len(both) - n))
        drawn = weight @ both
    p = np.ones(len(difference))
    order = np.argsort(present, kind="stable")
    order = order[tested[order]]
    for pool in alike(present[order]):
        genes = order[pool]
        null = np.ascontiguousarray(drawn[:, genes].T[:, None], dtype=np.float32)
        p[genes] = against(null, difference[None, genes])[1][0]
    return told | {"attention_difference": difference, "attention_p": p}


def _finish(tables: list[pd.DataFrame], top: int) -> pd.DataFrame:
    """Return all groups together, with q and ranks, cut to the best ranks."""
    if not tables:
        return tidy({name: np.empty(0, dtype=kind) for name, kind in _COLUMNS.items()})
    table = pd.concat(tables, ignore_index=True)
    table["q"] = adjust(table["p"].to_numpy())
    attention_q, tested = np.ones(len(table)), table["tested"].to_numpy(bool)
    attention_q[tested] = adjust(table["attention_p"].to_numpy()[tested])
    table["attention_q"] = attention_q
    worth = -np.log10(table["p"]) * table["log2_fold_change"].abs()
    table = table.loc[np.lexsort((table["gene"], -worth, table["group"]))]
    table["rank"] = table.groupby("group").cumcount() + 1
    table = table[table["rank"] <= top]
    return tidy({name: table[name].to_numpy() for name in _COLUMNS})


def _refusals(refused: list[tuple[int, str]]) -> pd.DataFrame:
    return tidy(
        {
            "group": np.array([group for group, _ in refused], dtype=np.int64),
            "reason": np.array([reason for _, reason in refused], dtype=object),
        }
    )


def _check(
    expression: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    condition: Ints,
    donors: Ints | None,
    batches: Ints | None,
    attention: sp.csr_matrix | None,
) -> None:
    check_cells(expression, groups, n_groups)
    if attention is not None:
        check_cells(attention, groups, n_groups)
    given = {"conditions": condition, "donors": donors, "batches": batches}
    lengths = {name: len(column) for name, column in given.items() if column is not None}
    wrong = [f"{number} {name}" for name, number in lengths.items() if number != len(groups)]
    if attention is not None and attention.shape != expression.shape:
        wrong.append(f"attention of shape {attention.shape}")
    if condition.size and not np.isin(condition, (-1, 0, 1)).all():
        wrong.append(f"conditions from {condition.min()} to {condition.max()}")
    if wrong:
        message = (
            f"{', '.join(wrong)} were given for expression of shape {expression.shape}; expected "
            "one value per cell, conditions -1, 0 or 1, and attention to the same genes; align "
            "them with the expression."
        )
        raise InputError(message)
