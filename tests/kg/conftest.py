"""Both engines behind one fixture, an empty server, and a graph to copy."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from neo4j_server.server import Server, empty
from opener import Opener, opened
from toy import toy_graph

from scypher.kg.stores import Store, open_store


@pytest.fixture(params=["embedded", "neo4j", "neo4j-newest"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """A function that opens the same empty store, in either engine."""
    if request.param == "embedded":

        def open_embedded(mode: Literal["r", "w"] = "w", **options: Any) -> Store:
            return open_store(tmp_path / "toy.kg", mode=mode, **options)

        yield open_embedded
        return
    newest = "newest_" if request.param == "neo4j-newest" else ""
    server: Server = request.getfixturevalue(f"{newest}neo4j_server")

    empty(server)
    yield partial(opened, server)
    empty(server)


@pytest.fixture
def server(neo4j_server: Server) -> Iterator[Server]:
    """A Neo4j with an empty database."""
    empty(neo4j_server)
    yield neo4j_server
    empty(neo4j_server)


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a graph of the data set alpha, to be copied."""
    path = tmp_path_factory.mktemp("alpha") / "alpha.kg"
    with open_store(path, mode="w") as store:
        store.write(toy_graph())
    return path
