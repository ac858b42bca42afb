"""What is particular to the Neo4j store: logins, servers that refuse, other people's nodes."""

import json

import pytest
from neo4j_child import small_graph
from neo4j_content import connected, expected, stored
from neo4j_server.server import Server
from opener import opened

from scypher.encoders.errors import InputError, StoreBusyError, StoreError, StoreUnavailableError
from scypher.kg.door import Budget
from scypher.kg.stores import check_address, open_store
from scypher.kg.stores.neo4j_values import check_agent


class TestAddress:
    """Who is reached, and who is not."""

    def test_errors_name_the_address_and_no_password(self, neo4j_server: Server) -> None:
        server = neo4j_server
        right = {"user": server.user, "password": server.password}
        for wrong in ({"password": "secret-and-wrong"}, {"database": "nowhere"}):
            with pytest.raises(StoreUnavailableError) as caught:
                open_store(server.address, **(right | wrong))
            assert server.address in str(caught.value)
            assert "secret" not in str(caught.value)
            assert server.password not in str(caught.value)
        with pytest.raises(StoreUnavailableError, match=r"bolt://127\.0\.0\.1:1 "):
            open_store("bolt://127.0.0.1:1", **right)
        with pytest.raises(StoreUnavailableError):
            check_address("bolt://127.0.0.1:1")
        with pytest.raises(InputError, match="not an address"):
            open_store("bolt://127.0.0.1:port", **right)

    def test_login_from_the_environment(
        self, neo4j_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SCYPHER_NEO4J_USER", neo4j_server.user)
        monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD", neo4j_server.password)
        check_address(neo4j_server.address)
        monkeypatch.setenv("SCYPHER_NEO4J_DATABASE", "nowhere")
        with pytest.raises(StoreUnavailableError, match="nowhere"):
            check_address(neo4j_server.address)

    @pytest.mark.parametrize("agent", ["Neo4j/5.23.0", "Neo4j/5.27-aura", "Neo4j/2026.08.1"])
    def test_versions_that_are_known(self, agent: str) -> None:
        check_agent(agent, "bolt://host")

    @pytest.mark.parametrize(
        "agent", ["Neo4j/5.22.1", "Neo4j/4.4.40", "Neo4j/v5.11.0 compatible - Memgraph", ""]
    )
    def test_other_servers_are_refused(self, agent: str) -> None:
        with pytest.raises(StoreUnavailableError, match=r"5\.23 or newer was expected"):
            check_agent(agent, "bolt://host")


class TestOthers:
    """What the store did not write."""

    def test_nodes_of_others_stay(self, server: Server) -> None:
        with connected(server) as session:
            session.run(
                "CREATE (g:Gene {name: 'of somebody else'})-[:NEAR]->(:Cell {name: 'theirs'}) "
                "CREATE (:Gene {key: 'their key'})-[:MARKED_BY]->(g)"
            ).consume()
        with opened(server) as store:
            store.write(small_graph("alpha"))
            store.write(small_graph("alpha", seed=1))
            store.write(small_graph("beta", n_cells=5))
            assert store.remove("beta")
            assert store.remove("alpha")
            assert store.counts() == {"Gene": 1}
        with connected(server) as session:
            found = session.run("MATCH (n:Gene|Cell) RETURN coalesce(n.name, n.key) AS name")
            assert {row["name"] for row in found} == {"of somebody else", "theirs", "their key"}
            found = session.run("MATCH ()-[r]->() RETURN type(r) AS type")
            assert {row["type"] for row in found} == {"NEAR", "MARKED_BY"}

    def test_somebody_who_writes_into_ours_is_noticed(self, server: Server) -> None:
        with opened(server) as store:
            store.write(small_graph("alpha"))
            with connected(server) as session:
                session.run("MATCH (:State)-[r:MARKED_BY]->() WITH r LIMIT 3 DELETE r").consume()
            half = small_graph("alpha")
            edges = dict(half.edges)
            key = ("State", "MARKED_BY", "Gene")
            edges[key] = edges[key].iloc[:-1]
            with pytest.raises(StoreError, match="were expected"):
                store.write(type(half)(half.nodes, edges))
            with pytest.raises(StoreBusyError):
                store.counts()
            assert store.graph().content_hash() == half.content_hash()
            assert store.versions()["version"].tolist() == [1]
            # The next writer clears what nobody knows, and completes.
            store.keep(5)
            assert store.counts()["State-MARKED_BY-Gene"] == len(edges[key])

    def test_a_graph_of_an_older_scypher(self, server: Server) -> None:
        with connected(server) as session:
            session.run(
                "CREATE (:Dataset {key: 'old', complete: true, code_version: '0.1.0'})"
                "-[:MEASURES]->(:Gene {key: 'ENSG1', symbol: 'A'})"
            ).consume()
        with opened(server) as store:
            assert store.datasets()["key"].tolist() == ["old"]
            assert store.query("MATCH (g:Gene) RETURN g.symbol AS s")["s"].tolist() == ["A"]
            with pytest.raises(StoreError, match="holds old without a ledger"):
                store.write(small_graph("alpha"))
            assert store.counts() == {"Dataset": 1, "Gene": 1, "Dataset-MEASURES-Gene": 1}

    def test_a_graph_of_a_newer_scypher(self, server: Server) -> None:
        with opened(server) as store:
            store.write(small_graph("alpha", n_cells=4))
        with connected(server) as session:
            text = session.run("MATCH (l:ScypherLedger) RETURN l.json AS json").single(strict=True)
            fields = json.loads(text["json"]) | {"schema": 10_000}
            session.run("MATCH (l:ScypherLedger) SET l.json = $json", json=json.dumps(fields))
        for mode in ("r", "w"):
            with pytest.raises(StoreError, match="newer Scypher"):
                opened(server, mode)


class TestArchive:
    """Versions inside of the database."""

    def test_versions_are_read_again(self, server: Server) -> None:
        graphs = [small_graph("alpha", seed=seed) for seed in range(3)]
        beta = small_graph("beta", n_cells=5)
        with opened(server) as store:
            for graph in graphs[:2]:
                store.write(graph)
            store.write(beta)
            store.write(graphs[2], action="third try")
        with opened(server) as store:
            versions = store.versions()
            assert versions["action"].tolist() == [
                *("write alpha", "write alpha", "write beta", "third try")
            ]
            assert versions["rows"].tolist()[-1] == sum(store.counts().values())
            for number, graph in enumerate((graphs[0], graphs[1], graphs[1].merge(beta)), 1):
                assert store.graph(number).content_hash() == graph.content_hash()
            store.keep(2)
            with pytest.raises(InputError, match="forgotten"):
                store.graph(1)
            assert store.graph(3).content_hash() == graphs[1].merge(beta).content_hash()
            assert store.remove("alpha", forget=True)
            assert store.versions()["readable"].tolist() == [False] * 4 + [True]
        assert stored(server) == expected(beta)
        with connected(server) as session:
            found = session.run("MATCH (b:ScypherBlob) RETURN DISTINCT b.piece AS piece")
            assert [row["piece"] for row in found] == [beta.content_hash()]

    def test_a_table_larger_than_a_part(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from scypher.kg.stores import neo4j_archive

        monkeypatch.setattr(neo4j_archive, "_PART_BYTES", 700)
        monkeypatch.setattr(neo4j_archive, "_TRANSACTION_BYTES", 2_000)
        graph = small_graph("alpha")
        with opened(server) as store:
            store.write(graph)
            assert store.graph().content_hash() == graph.content_hash()
            with connected(server) as session:
                found = session.run("MATCH (b:ScypherBlob) RETURN max(b.parts) AS most")
                assert found.single(strict=True)["most"] > 5
                session.run("MATCH (b:ScypherBlob {table: 'Cell', part: 1}) DELETE b").consume()
            with pytest.raises(StoreError):
                store.graph()

    def test_limits_of_a_query(self, server: Server) -> None:
        with opened(server) as store:
            store.write(small_graph("alpha", n_cells=12))
            text = "MATCH (c:Cell) RETURN c.key AS key ORDER BY key"
            assert len(store.query(text, budget=Budget(rows=12))) == 12
            with pytest.raises(StoreError, match="more than 11 rows"):
                store.query(text, budget=Budget(rows=11))
            empty_answer = store.query("MATCH (n:Cell {key: $k}) RETURN n.x AS x", {"k": "none"})
            assert empty_answer.columns.tolist() == ["x"]
