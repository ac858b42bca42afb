from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy import declared_columns, toy_graph

from scypher.encoders.errors import InputError
from scypher.kg.evidence import Source, with_evidence
from scypher.kg.graph import Graph
from scypher.kg.schema import EVIDENCE

SOURCE = Source("alpha", "d" * 64, "e" * 64)
KEY = ("Gene", "CO_REGULATED_WITH", "Gene")


def claims() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": [0, 1],
            "target": [1, 2],
            "context": "all",
            "correlation": [0.5, 0.25],
            "correlation_z": 3.0,
            "correlation_q": 0.01,
            "attention": [np.nan, 0.125],
            "attention_z": np.nan,
            "attention_q": np.nan,
        }
    )


def attach(frame: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    values: dict[str, Any] = {
        "effect": np.array([0.5, 0.25]),
        "p": np.array([0.001, 0.5]),
        "q": np.array([0.002, 0.5]),
        "n_cells": 24,
        "n_donors": np.array([2, 1]),
        "null": "labels permuted",
        "method": "Pearson correlation",
    }
    return with_evidence(frame, SOURCE, **(values | changes))


def test_evidence_follows_the_columns_of_the_claim() -> None:
    found = attach(claims())
    names = [item.name for item in EVIDENCE]
    assert list(found) == [*claims().columns, *names]
    assert list(found) == ["source", "target", *declared_columns(KEY)]


def test_evidence_says_what_was_given_and_where_from() -> None:
    found = attach(claims())
    assert found["effect"].tolist() == [0.5, 0.25]
    assert found["p"].tolist() == [0.001, 0.5]
    assert found["q"].tolist() == [0.002, 0.5]
    assert found["n_cells"].tolist() == [24, 24]
    assert found["n_donors"].tolist() == [2, 1]
    for column, value in {
        "null": "labels permuted",
        "method": "Pearson correlation",
        "dataset": "alpha",
        "dataset_hash": "d" * 64,
        "encoder_hash": "e" * 64,
        "code_version": version("scypher"),
    }.items():
        assert set(found[column]) == {value}


def test_claims_given_are_left_as_they_were() -> None:
    frame = claims()
    attach(frame)
    pd.testing.assert_frame_equal(frame, claims())


def test_graph_takes_claims_with_evidence() -> None:
    nodes = {"Gene": toy_graph().nodes["Gene"]}
    found = Graph(nodes, {KEY: attach(claims())}).edges[KEY]
    assert found["p"].tolist() == [0.001, 0.5]
    assert np.isnan(found["attention"][0])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"p": np.array([0.0, 0.5])}, "needs a p"),
        ({"q": np.array([0.1, np.nan])}, "needs a q"),
        ({"null": ""}, "needs null"),
        ({"method": ""}, "needs method"),
        ({"effect": np.array([np.inf, 1])}, "finite effect"),
    ],
)
def test_graph_refuses_claims_with_too_little(changes: dict[str, Any], problem: str) -> None:
    nodes = {"Gene": toy_graph().nodes["Gene"]}
    with pytest.raises(InputError, match=problem):
        Graph(nodes, {KEY: attach(claims(), **changes)})


def test_no_claims_stay_none_with_all_columns() -> None:
    empty: dict[str, Any] = {name: np.array([]) for name in ("effect", "p", "q", "n_donors")}
    found = attach(claims().iloc[:0], **empty)
    assert len(found) == 0
    assert list(found) == ["source", "target", *declared_columns(KEY)]
