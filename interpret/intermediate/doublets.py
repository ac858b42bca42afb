"""Whether the cells of a state can be told from doublets of two others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, Ints
from .profiles import Profiles

CELLS = 300
"""Most cells of a state, and simulated doublets, that are compared."""

_FOLDS = 5
_AXIS_Z = 3.0
_PENALTY = 1.0
_DEPTH_SHARE = 0.1


@dataclass(frozen=True)
class Comparison:
    """The cells of a state beside simulated doublets.

    Attributes
    ----------
    score
        ``2 (1 - AUROC)`` of a classifier of cells against doublets, cut to [0, 1]: 1 where they
        cannot be told apart, 0 where they always can.
    spread
        Standard deviation over cells of the share of the first state, beyond sampling, over the
        same of the doublets; 1 for doublets, NaN where sampling hides either.
    """

    score: float
    spread: float


def compare(
    counts: sp.csr_matrix,
    profiles: Profiles,
    *,
    state: int,
    pair: tuple[int, int],
    member: NDArray[Any],
    strata: NDArray[Any],
    genes: NDArray[Any],
    rng: np.random.Generator,
) -> Comparison:
    """Compare a state with doublets simulated from two others.

    A doublet is the sum of the counts of a random cell of either state, of one donor, as in
    Scrublet (Wolock 2019, Cell Syst 8:281) and DoubletFinder (McGinnis 2019, Cell Syst 8:329). As
    in scds (Bais & Kostka 2020, Bioinformatics 36:1150) a classifier is trained to tell cells from
    doublets, here one state against doublets of one pair: logistic regression on log1p of counts
    per 10,000 and the logarithm of the library, judged on five held-out parts (a two-sample test by
    classifier: Lopez-Paz & Oquab 2017, ICLR). Depth is seen by it, which neighbours among
    normalised profiles do not see: a cell half-way between two states has their mean library, a
    doublet has their sum.

    Parameters
    ----------
    counts
        Raw counts, shape (n_cells, n_genes).
    profiles
        Moments of all states.
    state, pair
        The state, and the two states of the doublets.
    member, strata
        State and donor of each cell, shape (n_cells,).
    genes
        Genes to compare.
    rng
        Source of the choice of cells, of the doublets and of the thinning.
    """
    inside = np.flatnonzero(member == state)
    cells = rng.choice(inside, min(CELLS, len(inside)), replace=False)
    first, second = _partners(strata[cells], member, pair, strata=strata, rng=rng)
    real = counts[cells]
    doublets = sp.csr_matrix(counts[first] + counts[second])
    spreads = [
        _mixing_spread(part, profiles, pair, genes=genes, rng=rng) for part in (real, doublets)
    ]
    return Comparison(_told_apart(real, doublets, genes, rng), spreads[0] / spreads[1])


def _partners(
    wanted: NDArray[Any],
    member: NDArray[Any],
    pair: tuple[int, int],
    *,
    strata: NDArray[Any],
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Return one cell of either state per doublet, both of one stratum where one holds both."""
    pools = [np.flatnonzero(member == one) for one in pair]
    shared = np.intersect1d(strata[pools[0]], strata[pools[1]])
    usable = wanted[np.isin(wanted, shared)]
    if not len(usable):
        strata, usable = np.zeros(len(member), np.int64), np.zeros(1, np.int64)
    # A cell that is in many doublets would be known again: the fewer the better.
    n = min(len(wanted), *(len(pool) for pool in pools))
    drawn = np.sort(rng.choice(usable, max(n, _FOLDS)))
    first, second = (_of_stratum(pool, strata[pool], drawn, rng) for pool in pools)
    return first, second


def _of_stratum(
    pool: Ints, stratum: NDArray[Any], drawn: NDArray[Any], rng: np.random.Generator
) -> Ints:
    """Return a random member of the pool for each drawn stratum, none twice before all once."""
    order = np.lexsort((rng.random(len(pool)), stratum))
    ranked = stratum[order]
    start = np.searchsorted(ranked, drawn, side="left")
    size = np.searchsorted(ranked, drawn, side="right") - start
    turn = np.arange(len(drawn)) - np.searchsorted(drawn, drawn, side="left")
    # The cells of a stratum are in one random order for either pool: pairs are random.
    chosen: Ints = pool[order[start + turn % size]]
    return chosen


def _told_apart(
    real: sp.csr_matrix, doublets: sp.csr_matrix, genes: NDArray[Any], rng: np.random.Generator
) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    label = np.repeat([0, 1], [real.shape[0], doublets.shape[0]])
    whole = sp.vstack([real, doublets]).tocsr()
    total = np.maximum(np.asarray(whole.sum(axis=1), dtype=np.float64).ravel(), 1)
    dense = np.asarray(whole[:, genes].todense(), dtype=np.float64)
    features = np.column_stack([np.log1p(dense * (1e4 / total)[:, None]), np.log(total)])
    features -= features.mean(axis=0)
    features /= np.maximum(features.std(axis=0), 1e-6)
    # Else the penalty would hide the one feature among thousands.
    features[:, -1] *= np.sqrt(len(genes) * _DEPTH_SHARE)
    model = LogisticRegression(C=_PENALTY / len(genes), max_iter=200)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    told = cross_val_predict(model, features, label, cv=folds, method="decision_function")
    return float(np.clip(2 * (1 - roc_auc_score(label, told)), 0, 1))


def _mixing_spread(
    counts: sp.csr_matrix,
    profiles: Profiles,
    pair: tuple[int, int],
    *,
    genes: NDArray[Any],
    rng: np.random.Generator,
) -> float:
    """Return the deviation over cells of the share of the first state, NaN where noise hides it.

    The share is linear in counts per 10,000, ``w = <beta, x - b> / <beta, a - b>`` with ``beta =
    (a - b) / (a + b)`` over the genes that differ (\\|z\\| > 3). Counts are split by binomial
    thinning into halves of independent noise (Neufeld 2024, Biostatistics 25:270), whose covariance
    is the variance of the share itself; it is told from noise at twice its standard error.
    """
    a, b = (profiles.mean[one, genes] for one in pair)
    error = profiles.error[pair[0], genes] + profiles.error[pair[1], genes]
    differs = np.abs(a - b) > _AXIS_Z * np.sqrt(np.maximum(error, 1e-12))
    if not differs.any():
        return np.nan
    beta = np.where(differs, (a - b) / np.maximum(a + b, 1e-12), 0)
    total = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1)
    part = counts[:, genes].tocsr()
    half = part.copy()
    half.data = rng.binomial(part.data.astype(np.int64), 0.5).astype(np.float64)
    scale = 2e4 / total
    one = np.asarray(half @ beta) * scale
    two = np.asarray((part - half) @ beta) * scale
    length = float(beta @ (a - b))
    variances = np.cov(one, two)
    covariance = variances[0, 1]
    squared_error = (variances[0, 0] * variances[1, 1] + covariance**2) / (len(total) - 1)
    if covariance < 2 * np.sqrt(squared_error):
        return np.nan
    return float(np.sqrt(covariance)) / length


def library_is_sum(profiles: Profiles, *, state: int, pair: tuple[int, int], weight: float) -> bool:
    """Return whether the library of a state is about the sum of those of two others.

    A cell that holds the share ``weight`` of the first state has the library ``w A + (1 - w) B``, a
    doublet ``A + B``: it is about the sum above their geometric mean. Where one library is so much
    larger that the two differ by less than a quarter, libraries tell nothing, and the answer is no.
    """
    first, second = profiles.library[list(pair)]
    single, both = weight * first + (1 - weight) * second, first + second
    if both < 1.25 * single:
        return False
    return bool(profiles.library[state] > np.sqrt(single * both))


def library_ratio(profiles: Profiles, *, state: Ints, first: Ints, second: Ints) -> Floats:
    """Return the mean library of a state over the sum of those of two others."""
    both = profiles.library[first] + profiles.library[second]
    ratio: Floats = profiles.library[state] / np.maximum(both, 1e-12)
    return ratio
