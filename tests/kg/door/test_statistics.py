"""Rows and degrees against short loops."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from toy import toy_graph

from scypher.encoders.errors import InputError
from scypher.kg.door import Statistics, measure
from scypher.kg.door.statistics import EdgeStatistics, Ends
from scypher.kg.graph import EdgeKey, Graph

EXPRESSES: EdgeKey = ("Cell", "EXPRESSES", "Gene")


class TestMeasure:
    """The tables of a graph."""

    def test_against_a_loop(self) -> None:
        graph = toy_graph()
        found = measure(graph)
        assert found.nodes == {label: len(frame) for label, frame in graph.nodes.items()}
        assert set(found.edges) == set(graph.edges)
        for key, frame in graph.edges.items():
            table = found.edges[key]
            assert table.rows == len(frame)
            for column, end, out in (
                ("source", table.sources, True),
                ("target", table.targets, False),
            ):
                degrees = Counter(frame[column].tolist())
                squares = sum(count**2 for count in degrees.values())
                assert end == Ends(len(degrees), squares, max(degrees.values()))
                assert table.degree(out=out) == pytest.approx(squares / len(frame))

    def test_two_hops_are_exact(self) -> None:
        graph = toy_graph()
        table = measure(graph).edges[EXPRESSES]
        frame = graph.edges[EXPRESSES][["source", "target"]]
        assert table.rows * table.degree(out=False) == len(frame.merge(frame, on="target"))

    def test_empty_tables(self) -> None:
        graph = toy_graph()
        edges = {EXPRESSES: graph.edges[EXPRESSES].iloc[:0]}
        table = measure(Graph(graph.nodes, edges)).edges[EXPRESSES]
        assert table == EdgeStatistics(0, Ends(), Ends())
        assert table.degree(out=True) == 0
        assert measure(Graph()) == Statistics()


class TestCombine:
    """Statistics of several data sets."""

    def test_owned_ends_add_up_and_shared_ones_are_bounded(self) -> None:
        alpha, beta = toy_graph("alpha"), toy_graph("beta", seed=3, n_cells=10)
        joined = measure(alpha.merge(beta))
        found = Statistics.combine([measure(alpha), measure(beta)])
        for key, table in joined.edges.items():
            assert found.edges[key].rows >= table.rows
            for out in (True, False):
                assert found.edges[key].degree(out=out) >= table.degree(out=out) * (1 - 1e-12)
        express = found.edges[EXPRESSES]
        assert express.rows == joined.edges[EXPRESSES].rows
        assert express.sources == joined.edges[EXPRESSES].sources
        assert express.targets.largest >= joined.edges[EXPRESSES].targets.largest
        assert found.nodes["Cell"] == 34
        assert found.nodes["Gene"] >= joined.nodes["Gene"]

    def test_one_and_none(self) -> None:
        one = measure(toy_graph())
        assert Statistics.combine([one]) == one
        assert Statistics.combine([]) == Statistics()


class TestJson:
    """Statistics as text."""

    def test_there_and_back(self) -> None:
        found = measure(toy_graph())
        assert Statistics.from_json(found.to_json()) == found
        assert Statistics.from_dict(json.loads(json.dumps(found.to_dict()))) == found
        assert found.to_dict()["rows"] == toy_graph().counts()

    @pytest.mark.parametrize(
        "text",
        [
            *("", "[]", "{}", '{"rows": {}}', '{"rows": 1, "degrees": {}}', '{"rows": {"a": "b"}}'),
            *('{"rows": {}, "degrees": {"A-B-C": {}}}', '{"rows": {}, "degrees": {"A": {}}}'),
        ],
    )
    def test_something_else(self, text: str) -> None:
        with pytest.raises(InputError, match=r"no statistics.*Measure"):
            Statistics.from_json(text)


def test_degrees_of_hubs() -> None:
    """A power law: the mean over nodes hides what the mean over edges shows."""
    rng = np.random.default_rng(0)
    target = np.minimum(rng.zipf(1.8, 20_000), 500) - 1
    source = np.arange(20_000) % 100
    frame = pd.DataFrame({"source": source, "target": target}).drop_duplicates()
    graph = toy_graph(n_cells=100)
    genes = pd.concat([graph.nodes["Gene"]] * 50, ignore_index=True)
    genes["key"] = [f"ENSG{number:011d}" for number in range(500)]
    rows = frame.assign(value=1.0, rank=1)
    table = measure(Graph({"Cell": graph.nodes["Cell"], "Gene": genes}, {EXPRESSES: rows})).edges[
        EXPRESSES
    ]
    mean = len(frame) / table.targets.nodes
    assert table.degree(out=False) > 3 * mean
    assert table.targets.largest == frame["target"].value_counts().max()
