"""Plots of markers say what the frame says."""

import matplotlib as mpl
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.pl.markers import dotplot, rank_genes_groups

TABLE = pd.DataFrame(
    {
        "group": ["B", "B", "B", "T", "T", "T"],
        "gene": ["CD79A", "MS4A1", "CD3E", "CD3E", "MS4A1", "CD79A"],
        "rank": [1, 2, 3, 1, 2, 3],
        "z": [20.0, 15.0, -9.0, 18.0, -8.0, -12.0],
        "log2_fold_change": [4.0, 3.0, -1.0, 3.5, -1.0, -2.0],
        "detected_in": [0.9, 0.7, 0.1, 0.8, 0.1, 0.2],
    }
)


@pytest.fixture(autouse=True)
def _no_window() -> None:
    mpl.use("Agg")


def test_best_genes_are_named() -> None:
    ax = rank_genes_groups(TABLE, "B", n_genes=2)
    assert [text.get_text().strip() for text in ax.texts] == ["CD79A", "MS4A1"]
    assert ax.get_title() == "B"


def test_dots_of_all_groups() -> None:
    ax = dotplot(TABLE, n_genes=1)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["CD79A", "CD3E"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B", "T"]
    assert sorted(ax.collections[0].get_sizes()) == pytest.approx([12, 24, 96, 108])


def test_a_frame_that_is_none_of_ours() -> None:
    with pytest.raises(InputError, match="expected also detected_in"):
        dotplot(TABLE.drop(columns="detected_in"))
    with pytest.raises(InputError, match="expected one of: B, T"):
        rank_genes_groups(TABLE, "NK")
