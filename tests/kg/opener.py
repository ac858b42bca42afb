"""Stores for tests: one that is opened again and again, and one that holds a graph."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from neo4j_server.server import Server, empty

from scypher.kg.graph import Graph
from scypher.kg.stores import Store, open_store

Opener = Callable[..., Store]
"""Type of the fixture that opens one store again and again."""


def opened(server: Server, mode: Literal["r", "w"] = "w", **options: Any) -> Store:
    """Open the graph of a server."""
    login = {"user": server.user, "password": server.password}
    return open_store(server.address, mode=mode, **(login | options))


@contextmanager
def holding(graph: Graph, request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    """Hold a graph in the engine that the parameter of a fixture names: embedded or neo4j."""
    if request.param == "embedded":
        with open_store(path, mode="w") as store:
            store.write(graph)
            yield store
        return
    server: Server = request.getfixturevalue("neo4j_server")
    empty(server)
    with opened(server) as store:
        store.write(graph)
        yield store
    empty(server)
