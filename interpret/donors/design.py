"""Which comparison of two conditions the donors and batches of a group allow."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp

from ..statistics import Floats, Ints

MIN_CELLS = 10
"""Cells that a group needs under each condition, and cells of it that must detect a gene."""

MIN_DONOR_CELLS = 3
"""Cells of the group that a donor needs under a condition to count."""

MIN_PAIRED, MIN_UNPAIRED = 3, 2
"""Donors that must be seen under both conditions, or else under each of them."""

_ENUMERATED = 10
_SHARED_BATCH = (
    "; each condition was one batch: an effect of the batch would look the same, in every donor"
)


@dataclass(frozen=True)
class Design:
    """How a group is compared: ``paired``, ``unpaired`` or ``cells``, with which of its cells."""

    kind: str
    cells: Ints
    donors: Ints
    note: str
    refusal: str = ""


def choose_design(condition: Ints, donor: Ints, batch: Ints) -> Design:
    """Return the strongest comparison that donors allow, or why there is none."""
    everyone = np.arange(len(condition))

    def refuse(reason: str) -> Design:
        return Design("", everyone, donor[:0], "", reason)

    sides = [condition == 0, condition == 1]
    if min(side.sum() for side in sides) < MIN_CELLS:
        return refuse(f"fewer than {MIN_CELLS} cells under one condition")
    seen = [set(donor[side & (donor >= 0)].tolist()) for side in sides]
    counts = [np.unique(donor[side & (donor >= 0)], return_counts=True) for side in sides]
    enough = [set(who[n >= MIN_DONOR_CELLS].tolist()) for who, n in counts]
    both, alone = enough[0] & enough[1], [enough[0] - seen[1], enough[1] - seen[0]]
    used = [set(batch[side & (batch >= 0)].tolist()) for side in sides]
    one_batch = bool(used[0] and used[1]) and not used[0] & used[1] and min(map(len, used)) == 1
    warning = _SHARED_BATCH if one_batch else ""
    if len(both) >= MIN_PAIRED:
        paired = np.array(sorted(both))
        note = f"paired over {len(paired)} donors{warning}"
        return Design("paired", np.flatnonzero(np.isin(donor, paired)), paired, note)
    if seen[0] and seen[1] and not seen[0] & seen[1] and min(map(len, seen)) == 1:
        return refuse(
            "confounded: one condition was seen in one donor only, who lacks the other one; its "
            "effect cannot be told from the donor"
        )
    if one_batch:
        return refuse(
            "confounded: one condition was seen in one batch only, which lacks the other one, and "
            "donors are not paired; its effect cannot be told from the batch"
        )
    if min(map(len, alone)) >= MIN_UNPAIRED:
        apart = np.array(sorted(alone[0] | alone[1]))
        note = f"{len(alone[0])} donors against {len(alone[1])} others, unpaired"
        return Design("unpaired", np.flatnonzero(np.isin(donor, apart)), apart, note)
    why = "donors unknown" if not seen[0] | seen[1] else "too few donors under both conditions"
    note = f"CELLS ONLY, NOT REPLICATED: {why}; p says that cells differ, not that donors do"
    chosen = np.flatnonzero(np.isin(donor, sorted(both)))
    if min((condition[chosen] == side).sum() for side in (0, 1)) < MIN_CELLS:
        chosen = everyone
    return Design("cells", chosen, donor[:0], note)


def per_donor(matrix: sp.csr_matrix, condition: Ints, donor: Ints, design: Design) -> list[Floats]:
    """Return the mean over cells per donor and gene under each condition."""
    place = np.searchsorted(design.donors, donor)
    bulk = []
    for side in (0, 1):
        own = np.flatnonzero(condition == side)
        member = sp.csr_matrix(
            (np.ones(len(own)), (place[own], own)), shape=(len(design.donors), len(donor))
        )
        size = np.bincount(place[own], minlength=len(design.donors))
        sums = np.asarray((member @ matrix).todense(), dtype=np.float64)
        bulk.append(sums[size > 0] / size[size > 0, None])
    return bulk


def sign_flips(n: int, rng: np.random.Generator, n_draws: int) -> Floats:
    """Return sign flips of n donors, shape (n_flips, n).

    Up to ten donors all flips but those as observed, which have one sign: their mean is 0. With
    more, ``n_draws`` random ones.
    """
    if n > _ENUMERATED:
        return rng.choice([-1.0, 1.0], size=(n_draws, n))
    return np.array(list(product([1.0, -1.0], repeat=n))[1:-1])
