"""A graph in every engine that the tests of the door only read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j_server.server import Server
from toy import toy_graph

from scypher.kg.stores import Store, open_store


@pytest.fixture(scope="module", params=["embedded", "neo4j_server", "newest_neo4j_server"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store opened for reading, with the toy graph in it."""
    if request.param == "embedded":
        path: Path = tmp_path_factory.mktemp("door") / "toy.kg"
        with open_store(path, mode="w") as writer:
            writer.write(toy_graph())
        with open_store(path) as reader:
            yield reader
        return
    server: Server = request.getfixturevalue(request.param)
    login = {"user": server.user, "password": server.password}
    with open_store(server.address, mode="w", **login) as writer:
        for dataset in writer.datasets()["key"]:
            writer.remove(dataset)
        writer.write(toy_graph())
    with open_store(server.address, **login) as reader:
        yield reader
    with open_store(server.address, mode="w", **login) as writer:
        writer.remove("alpha")
