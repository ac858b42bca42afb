"""The certificate of intermediate states: every test they passed or failed."""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.counts import normalise
from ...encoders.errors import InputError
from ...kg.states import States
from ..statistics import Ints, adjust, tidy
from ..variable_genes import select_genes
from .membership import mean_membership, membership_test, soft_membership
from .paths import path_candidates
from .profiles import MIN_DONOR_CELLS, scale_counts, state_profiles
from .refutation import MAX_DOUBLET_SCORE, MIN_OWN_GENES, MIN_R2, MIN_SPREAD, Refutation

MIN_CELLS = 20
"""Fewest cells of an intermediate state."""

MIN_DONORS = 2
"""Fewest donors, each with 3 cells of the state and of either end."""

MIN_SOFT = 0.01
"""Least mean soft membership in either end: many cells make any difference significant."""

COLUMNS = [
    "state",
    "from_state",
    "to_state",
    "connectivity_min",
    "soft_from",
    "soft_to",
    "soft_p",
    "soft_q",
    "doublet_score",
    "library_ratio",
    "mixture_r2",
    "mixture_weight",
    "mixture_spread",
    "own_genes",
    "n_cells",
    "n_donors",
    "path_ok",
    "soft_ok",
    "doublet_ok",
    "mixture_ok",
    "donors_ok",
    "verdict",
    "reason",
]

_ALPHA = 0.05
_N_VARIABLE = 2000
_ENDS = ["state", "from_state", "to_state"]


def intermediate_states(
    counts: sp.csr_matrix,
    states: States,
    graph: sp.csr_matrix,
    *,
    donors: NDArray[Any] | None = None,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> pd.DataFrame:
    """Return which states lie between two others, and the tests that each claim passed.

    Five tests; a state is ``certified`` when it passes all. (i) Path: it lies on a widest path of
    two steps in the graph of states, and the direct edge is weaker than both. (ii) Soft membership:
    its cells lean to either end more than the cells of the other end do, labels permuted within
    donors; Benjamini-Hochberg over all candidates of all levels, q < 0.05, and a mean soft
    membership of 0.01 in either. (iii) Doublets: a
    classifier tells its cells from doublets simulated from both ends, and from the three other
    pairs of states that explain its profile best, and its library is not about the sum of the ends.
    (iv) Mixture: its profile lies between the ends (R2 at least a quarter), and it is more than a
    fixed mixture: five own genes, higher than in any other state, or mixing coefficients that
    spread 1.3 times as wide as those of doublets. (v) Donors: 20 cells, and at least two donors
    with 3 cells in it and in either end, so that no difference between donors or batches makes a
    path. Tests (iii) and (iv) are only made of candidates with enough cells that passed (ii).

    Parameters
    ----------
    counts
        Raw counts, shape (n_cells, n_genes).
    states
        States; cells without a finer state keep their coarse one beside the finer ones.
    graph
        Neighbour weights of cells, shape (n_cells, n_cells).
    donors
        Donor of each cell, -1 unknown, or ``None``; with fewer than two known donors replication
        is not possible and no state is certified.
    rng
        Source of permutations, simulated doublets and thinning.
    n_permutations
        Permutations of the labels, at least 1.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, certified before provisional before refused, by falling
        ``connectivity_min``: ``state``, ``from_state``, ``to_state`` (rows of ``states.table``);
        ``connectivity_min`` (observed over expected neighbour weight of the weaker edge);
        ``soft_from``, ``soft_to`` (mean soft membership, [0, 1]), ``soft_p``, ``soft_q``;
        ``doublet_score`` (``2 (1 - AUROC)``, the largest of all pairs, [0, 1]), ``library_ratio``
        (mean library over the sum of those of the ends), ``mixture_r2`` [0, 1], ``mixture_weight``
        (share of ``from_state``, [0, 1]), ``mixture_spread`` (over that of doublets of the ends),
        ``own_genes`` (number); ``n_cells``, ``n_donors`` (with 3 cells
        in each of the three states; 0 where unknown);
        ``path_ok``, ``soft_ok``, ``doublet_ok``, ``mixture_ok``, ``donors_ok``; ``verdict``:
        ``certified``, ``provisional`` (all passed but donors, which are unknown) or ``refused``;
        ``reason`` in words. Numbers of tests that were not made are NaN, own genes then -1; the
        spread is also NaN where sampling hides it.

    Raises
    ------
    InputError
        When the number of cells differs between the inputs.
    """
    _check(counts.shape[0], states, graph, donors)
    known = _known_donors(donors)
    strata = np.full(counts.shape[0], -1) if known is None else known
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    genes = select_genes(normalise(counts, np.maximum(totals, 1)), _N_VARIABLE)
    scaled = scale_counts(counts, totals)
    levels = []
    for level in sorted(states.table["level"].unique()):
        member = at_level(states, int(level))
        rows = np.flatnonzero(states.table["level"] == level)
        table = path_candidates(sp.csr_matrix(states.connectivity[rows][:, rows]))
        if table.empty:
            continue
        table[_ENDS] = rows[table[_ENDS].to_numpy()]
        shares = soft_membership(graph, member, len(states.table))
        triples = table[_ENDS].to_numpy()
        state, first, second = triples.T
        mean = mean_membership(shares, member)
        table["soft_from"], table["soft_to"] = mean[state, first], mean[state, second]
        table["soft_p"] = membership_test(
            shares, member, triples, strata=strata, rng=rng, n_permutations=n_permutations
        )
        table["n_cells"] = np.bincount(member, minlength=len(states.table))[state]
        table["n_donors"] = _donors_of(member, known, table, len(states.table))
        levels.append((member, table))
    if not levels:
        return pd.DataFrame(columns=list(COLUMNS))
    q = adjust(np.concatenate([table["soft_p"].to_numpy() for _, table in levels]))
    judged = []
    for member, table in levels:
        table["soft_q"], q = q[: len(table)], q[len(table) :]
        leans = table[["soft_from", "soft_to"]].min(axis=1) >= MIN_SOFT
        table["soft_ok"] = (table["soft_q"] < _ALPHA) & leans
        profiles = state_profiles(scaled, totals, member, len(states.table))
        refutation = Refutation(counts, scaled, profiles, member, known, genes, rng)
        asked = (table["soft_ok"] & (table["n_cells"] >= MIN_CELLS)).to_numpy()
        judged.append(pd.concat([table, refutation.columns(table, asked)], axis=1))
    return _judge(pd.concat(judged, ignore_index=True), possible=known is not None)


def _check(n_cells: int, states: States, graph: sp.csr_matrix, donors: NDArray[Any] | None) -> None:
    given = {"states": len(states.cell), "neighbours": graph.shape[0]}
    if donors is not None:
        given["donors"] = len(donors)
    for name, n in given.items():
        if n != n_cells:
            message = (
                f"{name} of {n} cells were given for counts of {n_cells} cells; expected the same "
                "cells in the same order; take all from one data set."
            )
            raise InputError(message)


def _known_donors(donors: NDArray[Any] | None) -> Ints | None:
    """Return the donors, ``None`` where fewer than two are known: nothing can be replicated."""
    if donors is None:
        return None
    known = np.asarray(donors, dtype=np.int64)
    return known if len(np.unique(known[known >= 0])) >= MIN_DONORS else None


def at_level(states: States, level: int) -> Ints:
    """Return the state of each cell at a level, the coarser one where it has none."""
    member = states.cell[:, 0]
    for column in range(1, level):
        finer = states.cell[:, column]
        member = np.where(finer >= 0, finer, member)
    return np.asarray(member, dtype=np.int64)


def _donors_of(member: Ints, donors: Ints | None, candidates: pd.DataFrame, n_states: int) -> Ints:
    """Return the number of donors with 3 cells or more in the state and in both of its ends."""
    if donors is None:
        return np.zeros(len(candidates), np.int64)
    kept = donors >= 0
    cells = np.zeros((n_states, int(donors.max()) + 1), np.int64)
    np.add.at(cells, (member[kept], donors[kept]), 1)
    state, first, second = (cells[candidates[name].to_numpy()] for name in _ENDS)
    least = np.minimum(np.minimum(state, first), second)
    return np.asarray((least >= MIN_DONOR_CELLS).sum(axis=1))


def _judge(table: pd.DataFrame, *, possible: bool) -> pd.DataFrame:
    """Return the table with verdicts and reasons, in order."""
    enough = table["n_cells"] >= MIN_CELLS
    table["path_ok"] = True
    table["donors_ok"] = enough & (table["n_donors"] >= MIN_DONORS) & possible
    passed = table["soft_ok"] & table["doublet_ok"] & table["mixture_ok"] & enough
    replicated = table["donors_ok"] if possible else np.zeros(len(table), bool)
    table["verdict"] = np.select(
        [passed & replicated, passed & (not possible)], ["certified", "provisional"], "refused"
    )
    table["reason"] = _reasons(table, possible=possible)
    order = table["verdict"].map({"certified": 0, "provisional": 1, "refused": 2})
    table = table.assign(order=order).sort_values(
        ["order", "connectivity_min", *_ENDS], ascending=[True, False, True, True, True]
    )
    return tidy({name: table[name].to_numpy() for name in COLUMNS})


def _reasons(table: pd.DataFrame, *, possible: bool) -> Any:
    """Return what speaks against each candidate, or for it, in words."""
    asked = table["doublet_score"].notna()
    few = table["own_genes"].lt(MIN_OWN_GENES) & ~table["mixture_spread"].ge(MIN_SPREAD)
    against = [
        (table["n_cells"] < MIN_CELLS, f"fewer than {MIN_CELLS} cells"),
        (~table["soft_ok"], "its cells do not lean to both ends"),
        (table["doublet_score"] > MAX_DOUBLET_SCORE, "not told from simulated doublets"),
        (asked & table["library_is_sum"], "library about the sum of those of its ends"),
        (asked & (table["mixture_r2"] < MIN_R2), "its profile does not lie between its ends"),
        (asked & few, "a fixed mixture of its ends without genes of its own"),
        (
            (table["n_donors"] < MIN_DONORS) & possible,
            f"fewer than {MIN_DONORS} donors with {MIN_DONOR_CELLS} cells in all three",
        ),
    ]
    text = np.full(len(table), "", dtype=object)
    for holds, words in against:
        added = np.where(text == "", words, text + "; " + words)
        text = np.where(holds, added, text)
    text = np.where(text == "", "passed all tests that could be made", text)
    if not possible:
        text = text + "; replication not possible: fewer than two known donors"
    return text
