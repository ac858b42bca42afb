"""Which genes is the state of a cell read from? Cut them one by one."""

import numpy as np
import pandas as pd

from ..statistics import Floats, tidy
from .asked import Asked, Edges, Explained, ask_states, own
from .scores import state_scores


def cut_each_gene(asked: Asked, explained: Explained, edges: Edges) -> Floats:
    """Return the drop in log probability of the own state when an edge is cut, one at a time.

    Every pass cuts one gene of every cell, another in each pass, so that the passes are as many as
    the genes of the cell that has most.

    Parameters
    ----------
    asked
        The trained network.
    explained, edges
        The cells, and the edges of those sampled.

    Returns
    -------
    ndarray
        (n_edges,) nats, above 0 where the gene speaks for the state.
    """
    count = edges.count
    place = np.arange(len(edges.cell)) - np.repeat(np.cumsum(count) - count, count)
    whole = own(
        ask_states(asked, explained, edges, np.ones(len(place), bool)), explained, edges.rows
    )
    drop = np.zeros(len(place))
    for turn in range(int(count.max(initial=0))):
        here = place == turn
        part = own(ask_states(asked, explained, edges, ~here), explained, edges.rows)
        drop[here] = (whole - part)[edges.cell[here]]
    return drop


def ablation(explained: Explained, edges: Edges, drop: Floats) -> pd.DataFrame:
    """Return what the genes of each state do for it.

    Parameters
    ----------
    explained, edges
        The cells, and the edges of those sampled.
    drop
        (n_edges,) of :func:`cut_each_gene`.

    Returns
    -------
    DataFrame
        One row per state and gene that at least three and a tenth of its sampled cells are joined
        to: ``state``; ``gene``; ``n_cells`` joined; ``drop``, the mean over all sampled cells of
        the state, nats, 0 for cells without the gene; ``attention``, likewise; ``rank`` by drop
        in the state, from 1.
    """
    state = explained.state[edges.rows]
    size = np.bincount(state, minlength=explained.n_states)
    scores = [
        state_scores(state[edges.cell], edges.gene, weight, size=size, n_genes=edges.shape[1])
        for weight in (drop, edges.attention)
    ]
    at, gene = np.nonzero(np.isfinite(scores[0].score))
    carriers = scores[0].carriers[at, gene]
    share = carriers / size[at]
    found = tidy(
        {
            "state": at,
            "gene": gene,
            "n_cells": carriers,
            "drop": scores[0].score[at, gene] * share,
            "attention": scores[1].score[at, gene] * share,
        }
    )
    order = found.groupby("state")["drop"].rank(method="first", ascending=False)
    found["rank"] = order.astype("int64")
    return found
