"""Fidelity and unfaithfulness: are the attended genes needed, and are they enough?"""

import numpy as np
import pandas as pd

from ..statistics import Floats, tidy
from .asked import Asked, Edges, Explained, ask_states
from .ranks import place_in_cell

SPARSITY = (0.05, 0.1, 0.2)
"""Shares of the genes of a cell that make up its explanation."""


def fidelity(asked: Asked, explained: Explained, edges: Edges) -> pd.DataFrame:
    """Return fidelity, characterisation and unfaithfulness of the most attended genes.

    The explanation S of a cell are its most attended genes; the model predicts the state with the
    highest probability, the cell's own code withheld. Of the model, not of the truth (Amara 2022,
    LoG)::

        fidelity+ = mean over cells of 1 - [prediction without S = prediction]
        fidelity- = mean over cells of 1 - [prediction from S alone = prediction]
        characterisation = 1 / (0.5 / fidelity+ + 0.5 / (1 - fidelity-))
        unfaithfulness = mean over cells of 1 - exp(-KL(all genes || S alone))

    the last over the probabilities of the states (Agarwal 2022, PMLR 151, and 2023, Sci Data
    10:144). As characterisation, 0 stands where either part of the harmonic mean is 0.

    Parameters
    ----------
    asked
        The trained network.
    explained, edges
        The cells, and the edges of those sampled.

    Returns
    -------
    DataFrame
        One row per share: ``sparsity`` (0.05, 0.1, 0.2 of the genes of each cell, at least one
        gene), ``fidelity_plus, fidelity_minus, characterisation, unfaithfulness``, all in [0, 1].
    """
    whole = ask_states(asked, explained, edges, np.ones(len(edges.cell), bool))
    predicted = whole.argmax(axis=1)
    place, count = place_in_cell(edges.cell, edges.attention), edges.count
    rows = []
    for share in SPARSITY:
        chosen = place < np.maximum(np.rint(share * count), 1)[edges.cell]
        without = ask_states(asked, explained, edges, ~chosen)
        alone = ask_states(asked, explained, edges, chosen)
        plus = float(np.mean(without.argmax(axis=1) != predicted))
        minus = float(np.mean(alone.argmax(axis=1) != predicted))
        rows.append(
            (share, plus, minus, characterisation(plus, minus), float(unfaithful(whole, alone)))
        )
    names = ("sparsity", "fidelity_plus", "fidelity_minus", "characterisation", "unfaithfulness")
    return tidy({name: [row[i] for row in rows] for i, name in enumerate(names)})


def characterisation(plus: float, minus: float) -> float:
    """Return the harmonic mean of fidelity+ and 1 - fidelity-, [0, 1]."""
    if plus <= 0 or minus >= 1:
        return 0.0
    return 1 / (0.5 / plus + 0.5 / (1 - minus))


def unfaithful(whole: Floats, alone: Floats) -> float:
    """Return the mean of 1 - exp(-KL) of (n_rows, n_states) log probabilities, [0, 1]."""
    probability = np.exp(whole)
    difference = np.where(probability > 0, whole - alone, 0.0)
    divergence = np.maximum((probability * difference).sum(axis=1), 0)
    return float(np.mean(-np.expm1(-divergence)))
