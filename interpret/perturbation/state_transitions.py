"""From which state cells move to which: a transition matrix as a tidy frame."""

import numpy as np
import pandas as pd

from ..statistics import Ints, tidy


def transitions(
    before: Ints, after: Ints, groups: Ints, *, null_after: Ints | None = None
) -> pd.DataFrame:
    """Count the cells of each group that move from one state to another, or stay.

    Parameters
    ----------
    before, after
        (n_cells,) state of each cell, before and after a change.
    groups
        (n_cells,) group of each cell.
    null_after
        (n_null, n_cells) states after changes of matched genes.

    Returns
    -------
    pandas.DataFrame
        One row per group and pair of states that occurs, in order: ``group``, ``from``, ``to``,
        ``n_cells`` (0 where only a matched change leads there), ``share`` (of the cells of the
        group that were in ``from``), ``null_share`` (mean of the same share over matched changes,
        missing without them).
    """
    n = int(max(before.max(initial=-1), after.max(initial=-1)) + 1)
    null_after = np.empty((0, len(before)), dtype=np.int64) if null_after is None else null_after
    n = max(n, int(null_after.max(initial=-1)) + 1)
    pair = (groups * n + before) * n
    key, count = np.unique(pair + after, return_counts=True)
    null_key, null_count = np.unique(pair + null_after, return_counts=True)
    keys = np.union1d(key, null_key)
    found, null = np.zeros(len(keys)), np.zeros(len(keys))
    found[np.searchsorted(keys, key)] = count
    null[np.searchsorted(keys, null_key)] = null_count
    origin, size = np.unique(pair // n, return_counts=True)
    of = size[np.searchsorted(origin, keys // n)] if len(keys) else np.zeros(0)
    return tidy(
        {
            "group": keys // n // n,
            "from": keys // n % n,
            "to": keys % n,
            "n_cells": found.astype(np.int64),
            "share": found / np.maximum(of, 1),
            "null_share": null / np.maximum(of * len(null_after), 1)
            if len(null_after)
            else np.full(len(keys), np.nan),
        }
    )
