"""Does attention depend on what was learned? The weight-randomisation test."""

import numpy as np
import pandas as pd

from ..statistics import Ints
from .asked import Asked, Edges, Explained, weights_of
from .ranks import rank_correlation


def weight_randomisation(
    asked: Asked, explained: Explained, edges: Edges, *, seeds: Ints
) -> pd.DataFrame:
    """Return the rank correlation of attention with that of networks of random weights.

    The sanity check of Adebayo 2018 (NeurIPS): an explanation that a network without training
    gives as well says nothing of what was learned.

    Parameters
    ----------
    asked
        The trained network.
    explained, edges
        The cells, and the edges of those sampled.
    seeds
        One randomised network each.

    Returns
    -------
    DataFrame
        One row per seed: ``seed``; ``spearman``, mean over cells of the correlation over the genes
        of the cell, [-1, 1], ``NaN`` when no cell has three genes of different attention.
    """
    rows = []
    for seed in seeds:
        attention = asked.randomised(int(seed)).read()[0]
        there = weights_of(explained.tokens, attention, edges.rows)
        found = rank_correlation(edges.cell, edges.attention, there, len(edges.rows))
        usable = found[np.isfinite(found)]
        mean = float(usable.mean()) if len(usable) else np.nan
        rows.append({"seed": int(seed), "spearman": mean})
    return pd.DataFrame(rows, columns=["seed", "spearman"])
