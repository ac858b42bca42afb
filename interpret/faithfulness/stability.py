"""Would another training, or other donors, have found the same genes?"""

from itertools import combinations

import numpy as np
import pandas as pd

from ..statistics import Floats, Ints, tidy
from .asked import Explained, Train
from .scores import state_scores

TOP = 50
"""Genes of highest attention per state that are compared."""

MIN_CELLS = 10
"""Cells of a state in each training before its genes are compared."""


def seed_stability(explained: Explained, train: Train, rows: Ints, *, seeds: Ints) -> pd.DataFrame:
    """Return how many of the top genes of a state two trainings from other seeds share.

    Parameters
    ----------
    explained
        The cells.
    train
        Trains a network anew.
    rows
        (n_rows,) cells that every training sees.
    seeds
        At least two.

    Returns
    -------
    DataFrame
        As :func:`compare` for every pair of trainings.
    """
    scores = [_scores(explained, train, rows, int(seed)) for seed in seeds]
    return pd.concat(
        [compare(scores[a], scores[b]) for a, b in combinations(range(len(seeds)), 2)],
        ignore_index=True,
    )


def half_stability(
    explained: Explained, train: Train, halves: tuple[Ints, Ints], *, seed: int
) -> pd.DataFrame:
    """Return how many of the top genes of a state two trainings on separate cells share.

    Parameters
    ----------
    explained
        The cells.
    train
        Trains a network anew; both trainings start from the same seed.
    halves
        Cells of either training, see :func:`donor_halves` and :func:`cell_halves`.
    seed
        Of both trainings.

    Returns
    -------
    DataFrame
        As :func:`compare`.
    """
    first, second = (_scores(explained, train, rows, seed) for rows in halves)
    return compare(first, second)


def compare(first: Floats, second: Floats) -> pd.DataFrame:
    """Return the Jaccard index of the top genes of each state in two score tables.

    Parameters
    ----------
    first, second
        (n_states, n_genes) scores, ``NaN`` where a gene has none; genes with a score in both are
        compared, so that a difference is one of attention and not of which genes are there.

    Returns
    -------
    DataFrame
        One row per state with at least eight such genes: ``state``; ``n_genes`` compared; ``top``,
        the number taken, 50 or a quarter of the genes if that is less; ``jaccard``, shared over
        all of the top genes, [0, 1]; ``chance``, the index of two random choices of that size,
        ``t / (2 n - t)`` of t among n.
    """
    both = np.isfinite(first) & np.isfinite(second)
    n_genes = both.sum(axis=1)
    top = np.minimum(TOP, n_genes // 4)
    chosen = [_top(np.where(both, scores, -np.inf), top) for scores in (first, second)]
    shared = (chosen[0] & chosen[1]).sum(axis=1)
    used = np.flatnonzero(top >= 2)
    return tidy(
        {
            "state": used,
            "n_genes": n_genes[used],
            "top": top[used],
            "jaccard": shared[used] / (2 * top - shared)[used],
            "chance": top[used] / (2 * n_genes - top)[used],
        }
    )


def donor_halves(explained: Explained, rows: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return cells of either half of the donors, none where fewer than two donors are known."""
    if explained.donor is None:
        return rows[:0], rows[:0]
    donor = explained.donor[rows]
    donors = rng.permutation(np.unique(donor[donor >= 0]))
    one, other = donors[: len(donors) // 2], donors[len(donors) // 2 :]
    return rows[np.isin(donor, one)], rows[np.isin(donor, other)] if len(one) else rows[:0]


def cell_halves(explained: Explained, rows: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return two random halves of the cells of each state: no replacement for donors."""
    shuffled = rng.permutation(rows)
    order = shuffled[np.argsort(explained.state[shuffled], kind="stable")]
    return np.sort(order[::2]), np.sort(order[1::2])


def _scores(explained: Explained, train: Train, rows: Ints, seed: int) -> Floats:
    attention = train(seed, rows).read()[0]
    tokens = explained.tokens[rows]
    state = explained.state[rows]
    size = np.bincount(state[state >= 0], minlength=explained.n_states)
    scored = state_scores(
        np.repeat(state, np.diff(tokens.indptr)),
        tokens.indices.astype(np.int64),
        attention,
        size=size,
        n_genes=tokens.shape[1],
    )
    return np.where((size >= MIN_CELLS)[:, None], scored.score, np.nan)


def _top(scores: Floats, top: Ints) -> np.ndarray:
    """Return which genes are among the ``top[s]`` highest of each row."""
    order = np.argsort(-scores, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(scores.shape[1])[None], axis=1)
    return np.asarray(place < top[:, None])
