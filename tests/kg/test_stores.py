"""The contract of a store, run against both engines."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from opener import Opener
from toy import SMALLEST, toy_graph

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import edge_tables, edge_type
from scypher.kg.stores import is_neo4j

MARKED: EdgeKey = ("State", "MARKED_BY", "Gene")


def test_the_toy_has_every_table() -> None:
    assert set(toy_graph().edges) == set(edge_tables())


class TestContract:
    """Both engines, same assertions."""

    def test_life_of_a_graph(self, opener: Opener) -> None:
        alpha, beta = toy_graph("alpha"), toy_graph("beta", seed=3, n_cells=10)
        both = alpha.merge(beta)
        with opener() as store:
            first = store.write(alpha)
            assert first.changed
            assert first.counts == alpha.counts() == store.counts()
            assert first.seconds > 0
            again = store.write(toy_graph("alpha"))
            assert not again.changed
            assert again.counts == alpha.counts() == store.counts()
            assert store.write(beta).changed
            assert store.counts() == both.counts()
            assert not store.write(both).changed
            datasets = store.datasets()
            assert datasets["key"].tolist() == ["alpha", "beta"]
            assert datasets["complete"].tolist() == [True, True]
            assert datasets["content_hash"].tolist() == ["alpha-content", "beta-content"]
            schema = store.schema()
            assert store.statistics().to_dict()["rows"] == {
                name: alpha.counts().get(name, 0) + count for name, count in beta.counts().items()
            }
            assert set(schema["table"]) == set(both.counts())
            assert (schema["doc"] != "").all()
            assert not store.remove("gamma")
            assert store.remove("alpha")
            assert not store.remove("alpha")
            assert store.counts() == both.without("alpha").counts()
        with opener("r") as store:
            assert store.counts() == both.without("alpha").counts()

    def test_a_new_version_replaces_the_old(self, opener: Opener) -> None:
        old = toy_graph("alpha")
        nodes = {label: frame.copy() for label, frame in old.nodes.items()}
        nodes["Gene"].loc[0, "symbol"] = "renamed"
        nodes["Gene"].at[1, "embedding"] = None
        edges = dict(old.edges)
        edges[MARKED] = edges[MARKED].iloc[::2].assign(auroc=0.625)
        new = Graph(nodes, edges)
        with opener() as store:
            store.write(old)
            store.write(toy_graph("beta"))
            assert store.write(new).changed
            expected = toy_graph("beta").merge(new)
            assert store.counts() == expected.counts()
            auroc = store.query(
                "MATCH (:State {dataset: 'alpha'})-[r:MARKED_BY]->() RETURN r.auroc AS auroc"
            )["auroc"]
            assert auroc.tolist() == [0.625] * len(edges[MARKED])
            gene = store.query(
                "MATCH (g:Gene) RETURN g.symbol AS symbol, g.embedding AS e ORDER BY g.key LIMIT 2"
            )
            assert gene["symbol"].tolist() == ["renamed", "MS4A1"]
            assert gene["e"].isna().all()

    def test_last_write_of_a_shared_node_stands(self, opener: Opener) -> None:
        alpha, beta = toy_graph("alpha"), toy_graph("beta")
        nodes = {label: frame.copy() for label, frame in beta.nodes.items()}
        nodes["Gene"].loc[0, "symbol"] = "of beta"
        beta = Graph(nodes, beta.edges)
        text = "MATCH (g:Gene {key: 'ENSG00000000000'}) RETURN g.symbol AS symbol"
        with opener() as store:
            store.write(alpha)
            store.write(beta)
            assert store.query(text)["symbol"].tolist() == ["of beta"]
            assert store.write(alpha).changed
            assert store.query(text)["symbol"].tolist() == ["CD79A"]

    def test_a_removed_data_set_gives_back_shared_nodes(self, opener: Opener) -> None:
        alpha, beta = toy_graph("alpha"), toy_graph("beta")
        nodes = {label: frame.copy() for label, frame in beta.nodes.items()}
        nodes["Gene"].loc[0, "symbol"] = "of beta"
        with opener() as store:
            store.write(alpha)
            store.write(Graph(nodes, beta.edges))
            assert store.remove("beta")
            assert store.graph().content_hash() == alpha.content_hash()
            text = "MATCH (g:Gene {key: 'ENSG00000000000'}) RETURN g.symbol AS symbol"
            assert store.query(text)["symbol"].tolist() == ["CD79A"]
            assert store.counts() == alpha.counts()

    def test_every_version_can_be_read(self, opener: Opener) -> None:
        alpha, beta = toy_graph("alpha"), toy_graph("beta", seed=3, n_cells=10)
        changed = toy_graph("alpha", seed=7)
        with opener() as store:
            # What stood in the database of a server before counts as versions of it too.
            before = len(store.versions())
            states = []
            for graph in (alpha, beta, changed):
                store.write(graph, action="a step")
                states.append(store.graph().content_hash())
            store.remove("beta")
            versions = store.versions()[before:]
            assert versions["version"].tolist() == [before + step for step in (1, 2, 3, 4)]
            assert versions["action"].tolist() == ["a step"] * 3 + ["remove beta"]
            assert versions["datasets"].tolist() == [
                *(["alpha"], ["alpha", "beta"], ["alpha", "beta"], ["alpha"])
            ]
            assert versions["readable"].all()
            assert len(set(versions["hash"])) == 4
            for step, expected in enumerate(states):
                assert store.graph(before + 1 + step).content_hash() == expected
            assert store.graph(-1).content_hash() == changed.content_hash()
            assert store.graph(-3).content_hash() == alpha.merge(beta).content_hash()
            with pytest.raises(InputError, match="no version 99"):
                store.graph(99)

    def test_forgetting_deletes_what_past_versions_held(self, opener: Opener) -> None:
        alpha, beta = toy_graph("alpha"), toy_graph("beta", seed=3, n_cells=10)
        with opener() as store:
            store.write(alpha)
            store.write(beta)
            first = len(store.versions()) - 1
            assert store.remove("beta", forget=True)
            assert store.versions()["readable"].tolist()[first - 1 :] == [True, False, True]
            with pytest.raises(InputError, match="forgotten"):
                store.graph(first + 1)
            assert store.graph(first).content_hash() == alpha.content_hash()
            assert not store.remove("beta")
            store.write(beta)
            store.keep(1)
            assert not store.versions()["readable"].iloc[:-1].any()
            assert store.graph().content_hash() == alpha.merge(beta).content_hash()
            with pytest.raises(InputError, match="1 or more"):
                store.keep(0)

    def test_values_come_back_as_they_were(self, opener: Opener) -> None:
        graph = toy_graph()
        with opener() as store:
            store.write(graph)
            found = store.query(
                "MATCH (c:Cell)-[r:ATTENDS_TO]->(g:Gene) RETURN c.key AS source, g.key AS target, "
                "r.encoder AS encoder, r.graph AS graph, keys(r) AS names ORDER BY source, target"
            )
            expected = graph.with_keys(("Cell", "ATTENDS_TO", "Gene"))
            expected = expected.sort_values(["source", "target"]).reset_index(drop=True)
            pd.testing.assert_frame_equal(found[expected.columns], expected)
            absent = expected["graph"].isna()
            assert absent.any()
            assert ["graph" not in names for names in found["names"]] == absent.tolist()
            labels = store.query("MATCH (t:CellType) RETURN t.label AS label")["label"]
            assert set(labels) == set(graph.nodes["CellType"]["label"])
            ratio = store.query("MATCH ()-[r:ENRICHED_IN]->() RETURN max(r.odds_ratio) AS ratio")
            assert ratio["ratio"].tolist() == [np.inf]
            code = store.query("MATCH (c:Code) RETURN c.vector AS v ORDER BY c.index")["v"]
            assert code.tolist() == graph.nodes["Code"]["vector"].tolist()
            node = store.query("MATCH (s:State {name: 'S1'}) RETURN s AS node")["node"][0]
            assert node["label_share"] == 0.75

    def test_no_p_of_zero(self, opener: Opener) -> None:
        graph = toy_graph()
        claims = [frame for key, frame in graph.edges.items() if edge_type(*key).claim]
        with opener() as store:
            store.write(graph)
            p = store.query(
                "MATCH ()-[r]->() WHERE r.p IS NOT NULL "
                "RETURN r.p AS p, coalesce(r.expression_p, 1.0) AS expression_p"
            )
            assert len(p) == sum(map(len, claims)) > 100
            assert p["p"].eq(SMALLEST).all()
            assert p["expression_p"].min() == SMALLEST

    @pytest.mark.parametrize(
        "text",
        [
            "CREATE (n:Cell {key: 'x'})",
            "MATCH (n) DETACH DELETE n",
            "MATCH (n:Cell) SET n.x = 0.0",
            "CALL { MATCH (n:Cell) DETACH DELETE n } RETURN 1 AS one",
            "LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line",
        ],
    )
    def test_a_query_may_only_read(self, opener: Opener, text: str) -> None:
        with opener() as store:
            store.write(toy_graph())
            with pytest.raises(StoreError):
                store.query(text)
            assert store.counts() == toy_graph().counts()

    @pytest.mark.parametrize("text", ["RETRN 1", "RETURN 1 AS a; RETURN 2 AS b", "RETURN $p AS p"])
    def test_wrong_text_is_the_users_error(self, opener: Opener, text: str) -> None:
        with opener() as store:
            store.write(toy_graph())
            with pytest.raises(InputError, match="not valid Cypher"):
                store.query(text)

    def test_a_reader_cannot_write(self, opener: Opener) -> None:
        with opener() as store:
            store.write(toy_graph())
        with opener("r") as store:
            with pytest.raises(StoreError, match="opened for reading"):
                store.write(toy_graph("beta"))
            with pytest.raises(StoreError, match="opened for reading"):
                store.remove("alpha")

    def test_a_graph_without_data_set_is_refused(self, opener: Opener) -> None:
        with opener() as store, pytest.raises(InputError, match="no data set"):
            store.write(Graph())

    def test_a_long_query_ends(self, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCYPHER_QUERY_SECONDS", "1")
        with opener() as store:
            store.write(toy_graph())
            started = time.monotonic()
            with pytest.raises(StoreError, match="longer than 1 s"):
                store.query(
                    "MATCH (a:Cell), (b:Cell), (c:Cell), (d:Cell), (e:Cell), (f:Cell) "
                    "WHERE a.x + b.x + c.x + d.x + e.x + f.x > 1000 RETURN count(*) AS n"
                )
            assert time.monotonic() - started < 20


def test_schemes() -> None:
    assert is_neo4j("neo4j+s://host")
    assert not is_neo4j(Path("a.kg"))
    assert not is_neo4j("C:\\graphs\\a.kg")
    with pytest.raises(InputError, match="http://"):
        is_neo4j("http://host")
