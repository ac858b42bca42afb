"""What is particular to the Neo4j store: logins, broken connections, other people's nodes."""

import pytest
from neo4j_server.server import Server
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreUnavailableError
from scypher.kg.stores import check_address, open_store
from scypher.kg.stores.neo4j import Neo4jStore


class TestNeo4j:
    """A server."""

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

    @pytest.mark.parametrize("after", [1, 12, 30])
    def test_a_broken_write_is_completed(
        self, neo4j_server: Server, monkeypatch: pytest.MonkeyPatch, after: int
    ) -> None:
        from neo4j.exceptions import ServiceUnavailable

        login = {"user": neo4j_server.user, "password": neo4j_server.password}
        write = Neo4jStore._write
        calls = []

        def breaking(self: Neo4jStore, text: str, **parameters: object) -> None:
            calls.append(text)
            if sum("UNWIND" in text for text in calls) > after:
                message = "the connection is gone"
                raise ServiceUnavailable(message)
            write(self, text, **parameters)

        with open_store(neo4j_server.address, mode="w", **login) as store:
            store.write(toy_graph("beta"))
            monkeypatch.setattr(Neo4jStore, "_write", breaking)
            with pytest.raises(StoreUnavailableError, match="connection"):
                store.write(toy_graph())
            monkeypatch.undo()
            datasets = store.datasets().set_index("key")["complete"]
            assert datasets.to_dict() == {"alpha": False, "beta": True}
            assert store.write(toy_graph()).changed
            assert store.datasets()["complete"].all()
            assert store.counts() == toy_graph().merge(toy_graph("beta")).counts()
            assert store.remove("alpha")
            assert store.remove("beta")
            assert store.counts() == {}

    def test_nodes_of_others_stay(self, neo4j_server: Server) -> None:
        login = {"user": neo4j_server.user, "password": neo4j_server.password}
        with open_store(neo4j_server.address, mode="w", **login) as store:
            assert isinstance(store, Neo4jStore)
            store._write("CREATE (:Gene {name: 'of somebody else'})")
            store.write(toy_graph())
            store.remove("alpha")
            assert store.counts() == {}
            left = store.query("MATCH (g:Gene) RETURN g.name AS name")
            store._write("MATCH (g:Gene) WHERE g.key IS NULL DELETE g")
            assert left["name"].tolist() == ["of somebody else"]
