"""Ranks of edges within their cells, and correlations of such ranks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import Floats, Ints


def place_in_cell(cell: Ints, score: NDArray[Any]) -> Ints:
    """Return the place of each edge in its cell by descending score, from 0.

    Parameters
    ----------
    cell
        (n_edges,) cell of each edge from 0, in any order.
    score
        (n_edges,) any unit; ties keep the order of the edges.
    """
    order = np.lexsort((-score, cell))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - _start(cell)[cell[order]]
    return place


def rank_correlation(group: Ints, first: NDArray[Any], second: NDArray[Any], n: int) -> Floats:
    """Return Spearman's correlation within each group, ties at mean rank.

    Parameters
    ----------
    group
        (n_pairs,) group from 0.
    first, second
        (n_pairs,) values.
    n
        Number of groups.

    Returns
    -------
    ndarray
        (n,) in [-1, 1]; ``NaN`` for fewer than three pairs or a constant side.
    """
    size = np.bincount(group, minlength=n)
    centre = (size + 1) / 2
    a = _mean_rank(group, first) - centre[group]
    b = _mean_rank(group, second) - centre[group]
    both, one, other = (np.bincount(group, x, n) for x in (a * b, a * a, b * b))
    scale = np.sqrt(one * other)
    usable = (size >= 3) & (scale > 0)
    return np.where(usable, both / np.where(usable, scale, 1), np.nan)


def shuffle_within(group: Ints, score: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return the scores permuted within each group."""
    drawn = np.lexsort((rng.random(len(group)), group))
    out = np.empty_like(score)
    out[drawn] = score[np.argsort(group, kind="stable")]
    return out


def matched_bins(mean: Floats, detection: Floats, chosen: Ints, *, n_bins: int = 4) -> Ints:
    """Return a bin of like mean expression and like detection for every gene.

    Parameters
    ----------
    mean, detection
        (n_genes,).
    chosen
        Genes whose quantiles set the limits of the bins; others fall into the bin they reach.
    n_bins
        Quantile bins of each, crossed.
    """
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    parts = [
        np.searchsorted(np.quantile(values[chosen], inner), values, side="right")
        for values in (mean, detection)
    ]
    return np.asarray(parts[0] * n_bins + parts[1], np.int64)


def _start(group: Ints) -> Ints:
    size = np.bincount(group)
    return np.cumsum(size) - size


def _mean_rank(group: Ints, values: NDArray[Any]) -> Floats:
    """Return the rank of each value in its group from 1, ties at their mean."""
    order = np.lexsort((values, group))
    at, seen = group[order], values[order]
    new = np.ones(len(order), bool)
    new[1:] = (at[1:] != at[:-1]) | (seen[1:] != seen[:-1])
    tie = np.cumsum(new) - 1
    place = np.arange(len(order)) - _start(group)[at] + 1
    rank = np.empty(len(order))
    rank[order] = (np.bincount(tie, place) / np.bincount(tie))[tie]
    return rank
