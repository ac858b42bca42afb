"""Donors as the replicates of a comparison of conditions: what they are, and when they fail."""

from dataclasses import dataclass, replace
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from ..statistics import Ints

MIN_CELLS = 20
"""Cells that a donor must have in a condition to be compared."""

LARGEST_P = 0.05
"""A comparison whose smallest possible p is not below this is refused."""


@dataclass(frozen=True)
class Samples:
    """Counts of cells by state and sample, a sample being one donor in one condition.

    Attributes
    ----------
    count
        (n_states, n_samples).
    size
        (n_samples,) cells of the sample, in any state or none.
    donor, case
        (n_samples,) donor; whether the sample is of the case condition.
    stratum
        (n_samples,) within which donors may be exchanged.
    paired
        Whether samples come in pairs of one donor, case beside control.
    reason
        Why no comparison is possible, empty if one is.
    """

    count: Ints
    size: Ints
    donor: Ints
    case: NDArray[np.bool_]
    stratum: Ints
    paired: bool
    reason: str

    @property
    def n_arrangements(self) -> int:
        """Number of ways to give the condition to the donors, the one observed among them."""
        if self.paired:
            return int(2 ** int(self.case.sum()))
        return prod(comb(n, k) for n, k in self._in_strata())

    @property
    def smallest_p(self) -> float:
        """Smallest two-sided p of all arrangements."""
        # Where both conditions can change places, the opposite arrangement is as extreme.
        mirrored = self.paired or all(n == 2 * k for n, k in self._in_strata())
        return min(1.0, (2 if mirrored else 1) / self.n_arrangements)

    def _in_strata(self) -> list[tuple[int, int]]:
        """Return the samples and the case samples of each stratum."""
        position = np.unique(self.stratum, return_inverse=True)[1]
        return list(
            zip(
                np.bincount(position).tolist(),
                np.bincount(position[self.case], minlength=position.max(initial=-1) + 1).tolist(),
                strict=True,
            )
        )


def collect_samples(
    state: Ints,
    condition: Ints,
    donors: Ints | None,
    *,
    n_states: int,
    case: int,
    control: int,
    batches: Ints | None = None,
) -> Samples:
    """Count cells by state, donor and condition, and decide what can be compared."""
    donor = np.full(len(state), -1, dtype=np.int64) if donors is None else donors
    used = (donor >= 0) & np.isin(condition, [case, control])
    key = donor[used] * 2 + (condition[used] == case)
    found, sample = np.unique(key, return_inverse=True)
    size = np.bincount(sample, minlength=len(found))
    inside = state[used] >= 0
    flat = state[used][inside] * len(found) + sample[inside]
    count = np.bincount(flat, minlength=n_states * len(found)).reshape(n_states, len(found))
    batch = np.full(len(found), 0, dtype=np.int64)
    reason = ""
    if batches is not None:
        reason, batch = _batches(batches[used], sample, found % 2 == 1, len(found))
    large = size >= MIN_CELLS
    owner, is_case = found // 2, found % 2 == 1
    both = np.intersect1d(owner[large & is_case], owner[large & ~is_case])
    kept = large & np.isin(owner, both) if len(both) else large
    samples = Samples(
        count[:, kept],
        size[kept],
        owner[kept],
        is_case[kept],
        batch[kept],
        bool(len(both)),
        reason,
    )
    return replace(samples, reason=reason or _too_few(samples, donors))


def _too_few(samples: Samples, donors: Ints | None) -> str:
    if donors is None or not (donors >= 0).any():
        return "not possible: donors are unknown, and cells of one donor are no replicates"
    n_case, n_control = int(samples.case.sum()), int((~samples.case).sum())
    one = n_case == 1 or n_control == 1
    if len(np.unique(samples.donor)) < 2 or one or not n_case or not n_control:
        return (
            f"not possible: {n_case} donor{'' if n_case == 1 else 's'} against {n_control} with "
            f"{MIN_CELLS} cells or more, and cells of one donor are no replicates"
        )
    smallest = samples.smallest_p
    if smallest >= LARGEST_P:
        what = f"{n_case} pairs" if samples.paired else f"{n_case} donors against {n_control}"
        return f"not possible: {what} give no p below {smallest:.2g}"
    return ""


def _batches(
    batch: Ints, sample: Ints, is_case: NDArray[np.bool_], n_samples: int
) -> tuple[str, Ints]:
    """Return why batches forbid a comparison, and the stratum of each sample."""
    alone = np.zeros(n_samples, dtype=np.int64)
    known = batch >= 0
    if not known.any():
        return "", alone
    pairs = np.unique(np.column_stack([sample[known], batch[known]]), axis=0)
    values, position = np.unique(pairs[:, 1], return_inverse=True)
    samples_in = np.bincount(position, minlength=len(values))
    case_in = np.bincount(position, is_case[pairs[:, 0]], minlength=len(values))
    mixed = (case_in > 0) & (case_in < samples_in)
    if not mixed.any() and (samples_in > 1).any():
        return (
            "not possible: no batch holds both conditions, so that a difference of conditions "
            "cannot be told from one of batches"
        ), alone
    # Donors that lie in one batch each are exchanged within it; others would hold the batch fixed.
    if mixed.any() and len(pairs) == n_samples == len(np.unique(pairs[:, 0])):
        alone[pairs[:, 0]] = position
    return "", alone
