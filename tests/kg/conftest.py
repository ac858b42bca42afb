"""Both engines behind one fixture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from neo4j_server.server import Server, empty
from opener import Opener

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

    def open_neo4j(mode: Literal["r", "w"] = "w", **options: Any) -> Store:
        login = {"user": server.user, "password": server.password}
        return open_store(server.address, mode=mode, **(login | options))

    empty(server)
    yield open_neo4j
    empty(server)
