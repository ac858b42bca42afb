"""Both engines behind one fixture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from neo4j_server.server import Server
from opener import Opener

from scypher.kg.stores import Store, open_store


@pytest.fixture(params=["embedded", "neo4j"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """A function that opens the same empty store, in either engine."""
    if request.param == "embedded":

        def open_embedded(mode: Literal["r", "w"] = "w", **options: Any) -> Store:
            return open_store(tmp_path / "toy.kg", mode=mode, **options)

        yield open_embedded
        return
    server: Server = request.getfixturevalue("neo4j_server")

    def open_neo4j(mode: Literal["r", "w"] = "w", **options: Any) -> Store:
        login = {"user": server.user, "password": server.password}
        return open_store(server.address, mode=mode, **(login | options))

    _empty(open_neo4j())
    yield open_neo4j
    _empty(open_neo4j())


def _empty(store: Store) -> None:
    with store:
        for dataset in store.datasets()["key"]:
            store.remove(dataset)
