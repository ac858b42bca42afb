import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.pl.modules import method_agreement, module_evidence, module_heatmap

mpl.use("Agg")

MEMBERS = pd.DataFrame(
    {
        "name": ["M1", "M1", "M2"],
        "gene": ["LYZ", "CST3", "CD3E"],
        "position": [7, 3, 5],
        "hub_rank": [1, 2, 1],
    }
)
PAIRS = pd.DataFrame({"source": [3, 3], "target": [7, 9], "correlation": [0.4, 0.9]})


def test_heatmap_shows_listed_pairs():
    axes = module_heatmap(PAIRS, MEMBERS)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["M1  LYZ", "M1  CST3", "M2  CD3E"]
    square = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(square, [[1, 0.4, 0], [0.4, 1, 0], [0, 0, 1]])


def test_evidence_marks_what_is_called():
    table = pd.DataFrame(
        {
            "name": ["M1", "M2"],
            "size": [9, 5],
            "mean_weight": [0.3, 0.1],
            "null_weight": [0.01, 0.09],
            "null_q": [0.001, 0.4],
        }
    )
    axes = module_evidence(table)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "M1 (9 genes) *",
        "M2 (5 genes)",
    ]
    assert axes.get_xlabel().startswith("mean correlation")


def test_methods_stand_side_by_side():
    table = pd.DataFrame(
        {"method": ["trees", "out-degree"], "auprc_ratio": [1.2, 1.5], "early_ratio": [1.0, 2.0]}
    )
    axes = method_agreement(table)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["trees", "out-degree"]
    assert axes.get_ylabel() == "times random"


def test_bad_tables_are_refused():
    for draw in (module_evidence, method_agreement):
        with pytest.raises(InputError, match="expected also"):
            draw(pd.DataFrame({"name": [1]}))
    with pytest.raises(InputError, match="one context"):
        module_heatmap(PAIRS, pd.concat([MEMBERS, MEMBERS]))
