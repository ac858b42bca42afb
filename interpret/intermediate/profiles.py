"""Mean profiles of states, and how well a mixture of two explains a third."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.counts import COUNTS_PER_CELL
from ..statistics import SMALLEST, Floats, Ints, adjust
from .membership import one_hot

MIN_DETECTED = 0.1
"""Share of cells of a state that must detect a gene of its own."""

MIN_FOLD = 1.5
"""Least ratio of a state's own gene to the highest mean of any other state."""

MIN_DONOR_CELLS = 3
"""Fewest cells by which a donor counts."""

_PSEUDOCOUNT = 0.5


@dataclass(frozen=True)
class Profiles:
    """Moments of counts per 10,000 by state.

    Attributes
    ----------
    size
        (n_states,) cells.
    library
        (n_states,) mean counts of a cell.
    mean, variance, detected
        (n_states, n_genes) mean and sample variance of counts per 10,000; share of cells with a
        count.
    """

    size: Floats
    library: Floats
    mean: Floats
    variance: Floats
    detected: Floats

    @property
    def error(self) -> Floats:
        """Squared standard error of each mean, (n_states, n_genes)."""
        squared: Floats = self.variance / np.maximum(self.size, 1)[:, None]
        return squared


def scale_counts(counts: sp.csr_matrix, totals: NDArray[Any]) -> sp.csr_matrix:
    """Return counts per 10,000, without a logarithm: mixtures are linear in them."""
    scale = COUNTS_PER_CELL / np.where(totals > 0, totals, 1)
    return sp.csr_matrix(sp.diags(scale) @ counts)


def state_profiles(
    scaled: sp.csr_matrix, totals: NDArray[Any], member: NDArray[Any], n_states: int
) -> Profiles:
    """Return the moments of each state, in one pass over the non-zeros.

    Parameters
    ----------
    scaled
        Counts per 10,000, shape (n_cells, n_genes).
    totals
        Counts of each cell, shape (n_cells,).
    member
        State of each cell, -1 for none, shape (n_cells,).
    n_states
        Number of states.
    """
    cells = one_hot(member, n_states)
    size = np.asarray(cells.sum(axis=1)).ravel()
    n = np.maximum(size, 1)[:, None]
    mean = np.asarray((cells @ scaled).todense()) / n
    square = np.asarray((cells @ scaled.multiply(scaled)).todense()) / n
    variance = np.maximum(square - mean**2, 0) * n / np.maximum(n - 1, 1)
    detected = np.asarray((cells @ (scaled > 0)).todense()) / n
    return Profiles(size, np.asarray(cells @ totals) / n.ravel(), mean, variance, detected)


@dataclass(frozen=True)
class MixtureFit:
    """One state as the mixture of two others.

    Attributes
    ----------
    r2
        Share of the squared distance to the nearer of the two that the mixture removes, at most 1.
    weight
        Share of the first state in the mixture, [0, 1].
    residual
        Squared distance to the mixture, without sampling noise, at least 0.
    """

    r2: Floats
    weight: Floats
    residual: Floats


def fit_mixtures(
    profiles: Profiles, state: int, pairs: NDArray[Any], genes: NDArray[Any]
) -> MixtureFit:
    r"""Fit the mean profile of a state by convex combinations of two others.

    Least squares with :math:`0 \le w \le 1` over genes weighted by the inverse of their mean over
    states (counts vary in proportion to it):
    :math:`w = \langle m - b, a - b \rangle / |a - b|^2`, cut to [0, 1];
    :math:`R^2 = 1 - |m - w a - (1 - w) b|^2 / \min(|m - a|^2, |m - b|^2)`. What sampling adds to
    the squared distances is taken off them first. The mixture of two states at a right angle seen
    from ``m`` and at one distance has :math:`R^2` one half; on the line between them it has 1.

    Parameters
    ----------
    profiles
        Moments of all states.
    state
        The state to be explained.
    pairs
        Two states each, shape (n_pairs, 2).
    genes
        Genes to compare.
    """
    root = np.sqrt(np.maximum(profiles.mean[:, genes].mean(axis=0), 1e-12))
    mean = profiles.mean[:, genes] / root
    error = (profiles.error[:, genes] / root**2).sum(axis=1)
    product = mean @ mean.T
    a, b = pairs[:, 0], pairs[:, 1]

    def distance(i: NDArray[Any] | int, j: NDArray[Any]) -> Floats:
        gap = product[i, i] + product[j, j] - 2 * product[i, j]
        return np.asarray(gap, dtype=np.float64)

    to_a, to_b, across = distance(state, a), distance(state, b), distance(a, b)
    true_across = np.maximum(across - error[a] - error[b], 1e-12)
    along = (true_across + (to_b - error[b]) - (to_a - error[a])) / 2
    weight = np.clip(along / true_across, 0, 1)
    other = 1 - weight
    # |m - w a - (1 - w) b|^2 from the three distances (Stewart's theorem)
    residual = weight * to_a + other * to_b - weight * other * across
    noise = error[state] + weight**2 * error[a] + other**2 * error[b]
    nearer = np.minimum(to_a - error[a], to_b - error[b]) - error[state]
    left = np.maximum(residual - noise, 0)
    r2 = 1 - left / np.maximum(nearer, 1e-12)
    return MixtureFit(np.clip(r2, 0, 1), weight, left)


def own_genes(
    profiles: Profiles,
    state: int,
    *,
    scaled: sp.csr_matrix,
    member: NDArray[Any],
    donors: NDArray[Any] | None,
) -> Ints:
    """Return the genes that are higher in a state than in every other state.

    No mixture of states, of whichever and in whatever shares, reaches them. One-sided Welch test
    against each other state, the largest p taken (intersection-union, Berger 1982, Technometrics
    24:295), Benjamini-Hochberg over the genes detected in a tenth of the cells; q < 0.05 and 1.5
    times the highest other mean. Cells of one donor are no replicates: where two donors or more
    hold 3 cells of the state and 3 of another, the gene must also be highest within most of them,
    and within two.

    Parameters
    ----------
    profiles
        Moments of all states.
    state
        The state asked for.
    scaled
        Counts per 10,000, shape (n_cells, n_genes).
    member, donors
        State and donor of each cell, -1 unknown; ``donors`` is ``None`` where there are none.
    """
    from scipy.stats import t as student

    others = np.flatnonzero((profiles.size > 1) & (np.arange(len(profiles.size)) != state))
    tested: Ints = np.flatnonzero(profiles.detected[state] >= MIN_DETECTED)
    if not len(others) or not len(tested) or profiles.size[state] < 2:
        return np.zeros(0, np.int64)
    mean, error = profiles.mean[:, tested], profiles.error[:, tested]
    within = profiles.size - 1
    both = np.maximum(error[state] + error[others], 1e-12)
    z = (mean[state] - mean[others]) / np.sqrt(both)
    share = error[state] ** 2 / within[state] + error[others] ** 2 / within[others][:, None]
    degrees = both**2 / np.maximum(share, 1e-24)
    p = np.asarray(student.sf(z, np.minimum(degrees, 1e6))).max(axis=0)
    fold = (mean[state] + _PSEUDOCOUNT) / (mean[others].max(axis=0) + _PSEUDOCOUNT)
    found: Ints = tested[(adjust(np.maximum(p, SMALLEST)) < 0.05) & (fold >= MIN_FOLD)]
    if donors is None or not len(found):
        return found
    agreeing, asked = _donors_agreeing(scaled[:, found], member, donors, state)
    if asked < 2:
        return found
    kept: Ints = found[(agreeing >= 2) & (2 * agreeing > asked)]
    return kept


def _donors_agreeing(
    scaled: sp.csr_matrix, member: NDArray[Any], donors: NDArray[Any], state: int
) -> tuple[Ints, int]:
    """Return, per gene, the donors within which the state is highest, and the donors asked."""
    n_states = int(member.max()) + 1
    inside = (member == state) & (donors >= 0)
    names, cells = np.unique(donors[inside], return_counts=True)
    agreeing = np.zeros(scaled.shape[1], np.int64)
    asked = 0
    for donor in names[cells >= MIN_DONOR_CELLS]:
        one = np.flatnonzero((donors == donor) & (member >= 0))
        group = one_hot(member[one], n_states)
        size = np.asarray(group.sum(axis=1)).ravel()
        others = (size >= MIN_DONOR_CELLS) & (np.arange(n_states) != state)
        if not others.any():
            continue
        mean = np.asarray((group @ scaled[one]).todense()) / np.maximum(size, 1)[:, None]
        agreeing += mean[state] > mean[others].max(axis=0)
        asked += 1
    return agreeing, asked
