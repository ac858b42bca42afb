"""Which states differ in abundance between conditions, or appear in one only, donor by donor."""

from itertools import combinations

import numpy as np
import pandas as pd

from .donors.samples import Samples, collect_samples
from .statistics import SMALLEST, Floats, Ints, adjust, tidy

MOST_EXACT = 20_000
"""Arrangements of donors up to which all are looked at; beyond, some are drawn."""

N_PERMUTATIONS = 9999
"""Arrangements drawn where there are more."""

MAX_CONTROL_SHARE = 0.005
"""Share of the control cells up to which a state counts as absent there."""

DETECTION_P = 0.05
"""A donor has a state when misassigned cells would give as many with less than this chance."""

_TIE = 1e-12
_NO_SPREAD = 1e-6


def compare_abundance(
    state: Ints,
    condition: Ints,
    donors: Ints | None,
    *,
    n_states: int,
    case: int,
    control: int,
    rng: np.random.Generator,
    batches: Ints | None = None,
) -> pd.DataFrame:
    """Compare the abundance of each state in two conditions, with donors as the replicates.

    *Abundance*: the mean over donors of the arcsine of the square root of a state's share of the
    cells (variance-stabilised proportions, as Phipson et al. 2022, Bioinformatics 38:4720), case
    less control. Null: the condition is exchanged among the donors of one batch, or, where donors
    are seen in both conditions, within each donor (the others are then left out). All arrangements
    are looked at up to 20,000, else 9,999 are drawn; ``p = (b + 1) / (B + 1)``, two-sided. The
    smallest p is ``2 / 2^n`` for n pairs (6 pairs are needed for p < 0.05) and ``2 / C(2n, n)``
    for n donors against n (4 are needed; 8 against 8 reach 0.00016). Shares of one sample add up to
    one: what one state gains others lose.

    *Presence*, of states that hold at most 0.5 percent of the control cells. Null: fewer than two
    case donors hold the state beyond what misassigned cells give in the controls. The cells of all
    case donors but one are tested against those of the controls, conditional on their sum
    (binomial; beta-binomial where control donors differ by more than chance, the exact negative
    binomial test of Robinson & Smyth 2008, Biostatistics 9:321, with dispersion by moments), and p
    is the largest over the donor left out (partial conjunction, Benjamini & Heller 2008,
    Biometrics 64:1215): no single donor can carry the claim. A donor *has* the state when it holds
    two cells or more and, at the upper 95 percent bound of the control rate, as many come by chance
    in fewer than 0.05. Of 15 states, one at 1 percent in 5 of 8 case donors is found at q < 0.05 in
    0.99 of repetitions with 1,000 cells a donor and 0.1 percent of all cells misassigned to it, as
    with 400 cells and none misassigned; in 0.85 with 400 cells and 0.1 percent. A
    permutation of donors alone cannot find it: 5 of 8 against 0 of 8 is p = 0.026. So presence says
    that these donors hold the state, and only ``p`` says that the condition makes the difference.

    Parameters
    ----------
    state
        (n_cells,) position of the state of each cell, -1 for none: cells of one level.
    condition, donors, batches
        (n_cells,) values, -1 where unknown. Without donors every comparison is refused.
    n_states
        Number of states.
    case, control
        Values of ``condition`` to compare.
    rng
        Draws arrangements where there are too many.

    Returns
    -------
    pandas.DataFrame
        One row per state: ``state``, ``n_cells`` (in both conditions), ``n_donors`` (donors
        compared), ``share_case``, ``share_control`` (means over donors), ``effect`` (their
        difference, in [-1, 1]), ``donors_with_case``, ``donors_with_control`` (donors that have
        the state; NaN where presence is not asked), ``p``, ``q``, ``smallest_p``, ``presence_p``,
        ``presence_q`` (NaN where not asked), ``design`` (``paired``, ``unpaired`` or empty),
        ``reason`` (empty, or ``not possible: ...``, with every p and q NaN).
    """
    samples = collect_samples(
        state, condition, donors, n_states=n_states, case=case, control=control, batches=batches
    )
    share = samples.count / samples.size.clip(1)
    shares = [_mean(share[:, side]) for side in (samples.case, ~samples.case)]
    missing = np.full(n_states, np.nan)
    p, presence = missing.copy(), missing.copy()
    has_case, has_control = missing.copy(), missing.copy()
    smallest = np.nan
    if not samples.reason:
        p, smallest = _permutation_p(np.arcsin(np.sqrt(share)), samples, rng)
        presence, has_case, has_control = _presence(samples)
    asked = np.isfinite(presence)
    presence_q = missing.copy()
    presence_q[asked] = adjust(presence[asked])
    design = "" if samples.reason else "paired" if samples.paired else "unpaired"
    return tidy(
        {
            "state": np.arange(n_states),
            "n_cells": samples.count.sum(axis=1),
            "n_donors": np.full(n_states, len(np.unique(samples.donor))),
            "share_case": shares[0],
            "share_control": shares[1],
            "effect": shares[0] - shares[1],
            "donors_with_case": has_case,
            "donors_with_control": has_control,
            "p": p,
            "q": p if samples.reason else adjust(p),
            "smallest_p": np.full(n_states, smallest),
            "presence_p": presence,
            "presence_q": presence_q,
            "design": np.full(n_states, design, dtype=object),
            "reason": np.full(n_states, samples.reason, dtype=object),
        }
    )


def compare_conditions(
    state: Ints,
    condition: Ints,
    donors: Ints | None,
    *,
    n_states: int,
    rng: np.random.Generator,
    batches: Ints | None = None,
) -> pd.DataFrame:
    """Return :func:`compare_abundance` of every pair of conditions, the later value as the case.

    Returns
    -------
    pandas.DataFrame
        Columns of :func:`compare_abundance` after ``case`` and ``control``; q over all pairs.
    """
    values = np.unique(condition[condition >= 0])
    tables = []
    for control, case in combinations(values.tolist(), 2):
        table = compare_abundance(
            state,
            condition,
            donors,
            n_states=n_states,
            case=case,
            control=control,
            rng=rng,
            batches=batches,
        )
        table.insert(0, "control", control)
        table.insert(0, "case", case)
        tables.append(table)
    if not tables:
        return pd.DataFrame()
    found = pd.concat(tables, ignore_index=True)
    for name in ("", "presence_"):
        tested = found[f"{name}p"].notna()
        found.loc[tested, f"{name}q"] = adjust(found.loc[tested, f"{name}p"].to_numpy())
    return found


def _permutation_p(
    values: Floats, samples: Samples, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Return two-sided p of the difference of means, and the smallest that could come out."""
    n = samples.n_arrangements
    if samples.paired:
        order = np.lexsort((samples.case, samples.donor))
        control, case = values[:, order[::2]], values[:, order[1::2]]
        difference = (case - control).T
        n_pairs = len(difference)
        if n <= MOST_EXACT:
            bits = (np.arange(n)[:, None] >> np.arange(n_pairs)) & 1
            drawn = (1 - 2 * bits) @ difference / n_pairs
        else:
            signs = rng.choice([-1.0, 1.0], size=(N_PERMUTATIONS, n_pairs))
            drawn = signs @ difference / n_pairs
        observed = difference.mean(axis=0)
    else:
        weight = np.where(samples.case, 1 / samples.case.sum(), -1 / (~samples.case).sum())
        observed = values @ weight
        drawn = _arrangements(samples, n, rng) @ values.T
    extreme = (np.abs(drawn) >= np.abs(observed) - _TIE).sum(axis=0)
    # All arrangements hold the observed one; drawn ones do not.
    if n <= MOST_EXACT:
        return extreme / n, samples.smallest_p
    return (extreme + 1) / (N_PERMUTATIONS + 1), 1 / (N_PERMUTATIONS + 1)


def _arrangements(samples: Samples, n: int, rng: np.random.Generator) -> Floats:
    """Return weights of the difference of means, (n_arrangements, n_samples)."""
    case, strata = samples.case, samples.stratum
    if n <= MOST_EXACT:
        chosen = np.zeros((1, len(case)), dtype=bool)
        for stratum in np.unique(strata):
            inside = np.flatnonzero(strata == stratum)
            picks = np.array(list(combinations(inside, int(case[inside].sum()))), dtype=np.int64)
            picked = np.zeros((len(picks), len(case)), dtype=bool)
            np.put_along_axis(picked, picks, True, axis=1)
            chosen = (chosen[:, None] | picked[None]).reshape(-1, len(case))
    else:
        # Sorted by stratum, then by chance: a random order of donors within each stratum.
        order = np.argsort(strata + rng.random((N_PERMUTATIONS, len(case))), axis=1)
        chosen = np.zeros((N_PERMUTATIONS, len(case)), dtype=bool)
        sorted_case = case[np.argsort(strata, kind="stable")]
        np.put_along_axis(chosen, order, np.broadcast_to(sorted_case, order.shape), axis=1)
    weights: Floats = np.where(chosen, 1 / case.sum(), -1 / (~case).sum())
    return weights


def _presence(samples: Samples) -> tuple[Floats, Floats, Floats]:
    """Return p of presence among case donors, and how many case and control donors have it."""
    case, size = samples.case, samples.size
    count, total = samples.count, int(size[~case].sum())
    held = count[:, ~case].sum(axis=1)
    asked = np.flatnonzero(held <= MAX_CONTROL_SHARE * total)
    dispersion = _dispersion(count[asked][:, ~case], size[~case])
    p, with_case, with_control = (np.full(len(count), np.nan) for _ in range(3))
    of_case, sizes = count[asked][:, case], size[case]
    left = of_case.sum(axis=1, keepdims=True) - of_case
    share = (sizes.sum() - sizes) / (sizes.sum() - sizes + total)
    # Relative variance of the pooled mean of either side, from differences between donors.
    others = (sizes**2).sum() - sizes**2
    relative = others / (sizes.sum() - sizes) ** 2 + (size[~case] ** 2).sum() / total**2
    spread = dispersion[:, None] * relative
    p[asked] = _conditional_tail(left, left + held[asked, None], share, spread).max(axis=1)
    has = count[asked] >= np.maximum(_detected_from(held[asked], total, dispersion, size), 2)
    with_case[asked] = has[:, case].sum(axis=1)
    with_control[asked] = has[:, ~case].sum(axis=1)
    return p, with_case, with_control


def _conditional_tail(count: Ints, total: Ints, share: Floats, spread: Floats) -> Floats:
    """Return the chance of ``count`` or more of ``total``, given the share expected.

    ``spread`` is the variance of the log ratio of the two rates; 0 gives the binomial.
    """
    from scipy.stats import betabinom, binom

    p: Floats = binom.sf(count - 1, total, share)
    share = np.broadcast_to(share, count.shape)
    # Where the binomial is not small already, more spread does not matter to any claim.
    wide = (spread > 0) & (p < DETECTION_P)
    if wide.any():
        both = share[wide] * (1 - share[wide])
        weight = np.maximum(1 / (both * spread[wide]) - 1, 1e-3)
        p[wide] = betabinom.sf(
            count[wide] - 1, total[wide], share[wide] * weight, (1 - share[wide]) * weight
        )
    return p.clip(SMALLEST, 1)


def _dispersion(count: Ints, size: Ints) -> Floats:
    """Return f of the variance m + f m^2 of counts of mean m, per row, by moments; 0 or more."""
    mean = count.sum(axis=1, keepdims=True) / size.sum() * size
    spread = ((count - mean) ** 2 / np.maximum(mean, _TIE)).sum(axis=1)
    free = len(size) - 1
    scale = mean.sum(axis=1) * free / len(size)
    found: Floats = np.maximum(
        np.divide(spread - free, scale, out=np.zeros_like(scale), where=scale > 0), 0
    )
    return found


def _detected_from(held: Ints, total: int, dispersion: Floats, size: Ints) -> Ints:
    """Return the fewest cells with which a donor has a state, (n_states, n_samples)."""
    from scipy.stats import beta, nbinom, poisson

    rate = beta.ppf(1 - DETECTION_P, held + 1, np.maximum(total - held, 1))
    mean = rate[:, None] * size
    shape = 1 / np.maximum(dispersion, _NO_SPREAD)[:, None]
    first: Ints = 1 + np.where(
        dispersion[:, None] > _NO_SPREAD,
        nbinom.isf(DETECTION_P, shape, shape / (shape + mean)),
        poisson.isf(DETECTION_P, mean),
    ).astype(np.int64)
    return first


def _mean(share: Floats) -> Floats:
    if not share.shape[1]:
        return np.full(len(share), np.nan)
    mean: Floats = share.mean(axis=1)
    return mean
