"""Plots of perturbations and similar genes say what the frames say."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.pl.perturbation import predicted_change, transition_matrix
from scypher.interpret.pl.similarity import gene_neighbours

MOVES = pd.DataFrame(
    {
        "group": ["B", "B", "T", "T"],
        "from": ["S1", "S1", "S1", "S2"],
        "to": ["S1", "S2", "S2", "S2"],
        "n_cells": [6, 2, 8, 5],
        "share": [0.75, 0.25, 1.0, 1.0],
        "null_share": [1.0, 0.0, 0.5, 1.0],
    }
)
CHANGE = pd.DataFrame(
    {
        "group": "B",
        "gene": ["STAT1", "IRF1", "ACTB"],
        "perturbed": [1, 0, 0],
        "expression_change": [-0.9, -0.4, 0.1],
        "expression_p": [0.02, 0.02, 0.6],
    }
)
NEAR = pd.DataFrame(
    {
        "query": "CD3D",
        "gene": ["CD3E", "IL32"],
        "rank": [1, 2],
        "similarity": [0.9, 0.4],
        "null_mean": [0.1, 0.2],
        "null_sd": [0.1, 0.1],
        "q": [0.01, 0.5],
    }
)


@pytest.fixture(autouse=True)
def _no_window() -> None:
    mpl.use("Agg")


def test_transitions_of_a_group_and_of_all() -> None:
    ax = transition_matrix(MOVES, group="B")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S1", "S2"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert ax.get_title() == "B"
    both = transition_matrix(MOVES)
    np.testing.assert_allclose(both.images[0].get_array(), [[6 / 16, 10 / 16], [0, 1]])
    beyond = transition_matrix(MOVES, group="B", beyond_null=True)
    np.testing.assert_allclose(beyond.images[0].get_array(), [[-0.25, 0.25], [0, 0]])


def test_bars_of_predicted_change() -> None:
    ax = predicted_change(CHANGE, "B")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["IRF1", "ACTB"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([-0.4, 0.1])
    assert ax.get_xlabel() == "predicted change of expression"
    assert len(predicted_change(CHANGE, "B", perturbed=True).patches) == 3


def test_bars_of_neighbours() -> None:
    ax = gene_neighbours(NEAR)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["CD3E", "IL32"]
    assert ax.get_xlabel() == "cosine to CD3D"


def test_frames_that_are_none_of_ours() -> None:
    with pytest.raises(InputError, match="expected also share"):
        transition_matrix(MOVES.drop(columns="share"))
    with pytest.raises(InputError, match="expected one of: B"):
        predicted_change(CHANGE, "NK")
    with pytest.raises(InputError, match="expected also attention_change"):
        predicted_change(CHANGE, "B", of="attention")
    with pytest.raises(InputError, match="expected also null_sd"):
        gene_neighbours(NEAR.drop(columns="null_sd"))
