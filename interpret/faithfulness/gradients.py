"""Does attention agree with integrated gradients?"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..statistics import tidy
from .asked import Edges, Explained
from .ranks import rank_correlation
from .scores import state_scores


def gradient_agreement(explained: Explained, edges: Edges, gradients: NDArray[Any]) -> pd.DataFrame:
    """Return the rank correlation of attention with integrated gradients, per state.

    Integrated gradients (Sundararajan 2017, ICML) share out the log probability of a cell's own
    code between its genes, on the way from genes of value 0 to the cell as it is. They have a sign,
    attention has none: it is their size that is compared.

    Parameters
    ----------
    explained, edges
        The cells, and the edges of those sampled.
    gradients
        (n_edges,) integrated gradients.

    Returns
    -------
    DataFrame
        One row per state with a sampled cell: ``state``; ``n_cells``; ``n_genes`` scored;
        ``spearman`` over genes of mean attention against mean size of the gradient, both over the
        cells that have the edge; ``spearman_in_cell``, mean over cells of the correlation over the
        genes of the cell; ``spearman_signed``, as ``spearman`` with the signed gradient. All in
        [-1, 1], ``NaN`` for fewer than three genes.
    """
    state = explained.state[edges.rows]
    size = np.bincount(state, minlength=explained.n_states)
    of_edge = state[edges.cell]
    n_genes = edges.shape[1]
    attention, strength, signed = (
        state_scores(of_edge, edges.gene, weight, size=size, n_genes=n_genes).score
        for weight in (edges.attention, np.abs(gradients), gradients)
    )
    at, gene = np.nonzero(np.isfinite(attention))
    seen = attention[at, gene]
    in_cell = rank_correlation(edges.cell, edges.attention, np.abs(gradients), len(edges.rows))
    usable = np.isfinite(in_cell)
    cells = np.bincount(state[usable], minlength=len(size))
    total = np.bincount(state[usable], in_cell[usable], len(size))
    found = tidy(
        {
            "state": np.arange(len(size)),
            "n_cells": size,
            "n_genes": np.bincount(at, minlength=len(size)),
            "spearman": rank_correlation(at, seen, strength[at, gene], len(size)),
            "spearman_in_cell": np.where(cells > 0, total / np.maximum(cells, 1), np.nan),
            "spearman_signed": rank_correlation(at, seen, signed[at, gene], len(size)),
        }
    )
    return found[found["n_cells"] > 0].reset_index(drop=True)
