"""Donors as the replicates of a ligand-receptor score: in how many it is specific, and a p."""

import numpy as np
import scipy.sparse as sp

from ..statistics import Floats, Ints, adjust
from .scores import TIES, smallest_of

MIN_DONORS = 5
"""Below this number of donors no sign-flip p can be below 0.05."""

EXACT = 10
"""Up to this number of donors all sign flips are made, above it ``2 ** EXACT - 1`` random ones."""

_BLOCK = 1 << 22


def donor_evidence(
    cells: sp.csr_matrix,
    label: Ints,
    donors: Ints | None,
    ligand: Ints,
    receptor: Ints,
    *,
    min_cells: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return ``donors_agreeing``, ``n_donors``, ``donor_p`` and ``donor_q`` of every score.

    A donor counts for two groups of which it has ``min_cells`` cells each. Its excess is its score
    less the mean of its scores over all ordered two groups that it counts for; it agrees where the
    excess is above 0. ``donor_p`` is the share of sign flips of the excesses with a mean at least
    the one observed (one-sided, the observed one among them; null: excesses symmetric about 0),
    missing below :data:`MIN_DONORS` donors; ``donor_q`` is over those that are not missing.

    Returns
    -------
    dict
        Arrays of shape (n_pairs, n_groups, n_groups), by source and target.
    """
    n_groups = int(label.max()) + 1
    shape = (len(ligand), n_groups, n_groups)
    agreeing, n_donors = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    p = np.full(shape, np.nan)
    if donors is not None and (donors >= 0).any():
        send, take, counts = _excess_parts(cells, label, donors, ligand, receptor, min_cells)
        n_donors[:] = (counts[:, :, None] & counts[:, None, :]).sum(axis=0)
        flips = _flips(len(counts), rng)
        step = max(1, _BLOCK // (n_groups * n_groups * len(flips)))
        for start in range(0, len(ligand), step):
            rows = slice(start, start + step)
            excess = _excess(send[:, rows], take[:, rows], counts)
            agreeing[rows] = (excess > 0).sum(axis=0)
            flat = excess.reshape(len(counts), -1)
            null = flips @ flat
            # The first flip is none; equal sums are told from rounding.
            near = TIES * np.abs(flat).sum(axis=0)
            p[rows] = (null >= null[0] - near).mean(axis=0).reshape(excess.shape[1:])
        p[n_donors < MIN_DONORS] = np.nan
    q = np.full(shape, np.nan)
    q[~np.isnan(p)] = adjust(p[~np.isnan(p)])
    return {"donors_agreeing": agreeing, "n_donors": n_donors, "donor_p": p, "donor_q": q}


def _excess_parts(
    cells: sp.csr_matrix,
    label: Ints,
    donors: Ints,
    ligand: Ints,
    receptor: Ints,
    min_cells: int,
) -> tuple[Floats, Floats, np.ndarray]:
    """Return roots of ligand and receptor means (n_donors, n_pairs, n_groups), and what counts.

    The last is whether a donor has enough cells of a group, (n_donors, n_groups).
    """
    known = donors >= 0
    names, donor = np.unique(donors[known], return_inverse=True)
    n_groups = int(label.max()) + 1
    sample = donor * n_groups + label[known]
    n_samples = len(names) * n_groups
    size = np.bincount(sample, minlength=n_samples)
    member = sp.csr_matrix(
        (np.ones(len(sample)), (sample, np.flatnonzero(known))), shape=(n_samples, len(label))
    )
    used = np.unique(np.concatenate([ligand.ravel(), receptor.ravel()]))
    used = used[used >= 0]
    place = np.full(cells.shape[1] + 1, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    means = (member @ cells[:, used].astype(np.float64)).toarray() / np.maximum(size, 1)[:, None]
    roots = [
        np.sqrt(smallest_of(means, place[side])).reshape(len(names), n_groups, -1)
        for side in (ligand, receptor)
    ]
    send, take = (np.moveaxis(root, 1, 2) for root in roots)
    return send, take, size.reshape(len(names), n_groups) >= max(min_cells, 1)


def _excess(send: Floats, take: Floats, counts: np.ndarray) -> Floats:
    """Return scores less the mean of their donor, 0 where a donor does not count."""
    n = np.maximum(counts.sum(axis=1), 1)[:, None]
    inside = counts[:, None, :]
    mean = ((send * inside).sum(axis=2) / n) * ((take * inside).sum(axis=2) / n)
    score = send[:, :, :, None] * take[:, :, None, :]
    both = inside[:, :, :, None] & inside[:, :, None, :]
    return np.where(both, score - mean[:, :, None, None], 0.0)


def _flips(n_donors: int, rng: np.random.Generator) -> Floats:
    """Return signs of every flip, the first of which flips none: (n_flips, n_donors)."""
    if n_donors <= EXACT:
        bits = (np.arange(1 << n_donors)[:, None] >> np.arange(n_donors)) & 1
        return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
    drawn = rng.integers(0, 2, size=((1 << EXACT) - 1, n_donors))
    return np.concatenate([np.ones((1, n_donors)), 1.0 - 2.0 * drawn])
