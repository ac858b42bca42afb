"""Scores of genes in states, from weights of the edges of their cells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import Floats, Ints

MIN_SUPPORT = 0.1
"""Share of the cells of a state that must be joined to a gene for the gene to be scored."""

MIN_CARRIERS = 3
"""Least number of these cells."""


@dataclass(frozen=True)
class StateScores:
    """Mean weight of genes in states.

    Attributes
    ----------
    score
        (n_states, n_genes) mean over the cells of the state that are joined to the gene, ``NaN``
        where fewer than a tenth of its cells, or three, are. Cells without the edge are left out,
        not counted as 0: what is scored is the attention, not how often the gene is expressed.
    carriers
        (n_states, n_genes) these cells.
    size
        (n_states,) cells of each state.
    """

    score: Floats
    carriers: Ints
    size: Ints


def state_scores(
    state: Ints, gene: Ints, weight: NDArray[Any], *, size: Ints, n_genes: int
) -> StateScores:
    """Return the mean weight of every gene in every state.

    Parameters
    ----------
    state, gene, weight
        (n_edges,) state of the cell (-1 is passed over), gene and weight of every edge.
    size
        (n_states,) cells of each state, those without any edge too.
    n_genes
        Number of genes.
    """
    n_states = len(size)
    known = state >= 0
    slot = state[known] * n_genes + gene[known]
    shape = (n_states, n_genes)
    carriers = np.bincount(slot, minlength=n_states * n_genes).reshape(shape)
    total = np.bincount(slot, weight[known], n_states * n_genes).reshape(shape)
    enough = carriers >= np.maximum(MIN_SUPPORT * size, MIN_CARRIERS)[:, None]
    score = np.where(enough, total / np.maximum(carriers, 1), np.nan)
    return StateScores(score, carriers, size)
