"""Everything that is in a Neo4j database, read one by one, and what a graph should be there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import neo4j
from neo4j_server.server import Server

from scypher.kg.graph import Graph

Content = tuple[list[str], list[str]]


@contextmanager
def connected(server: Server) -> Iterator[neo4j.Session]:
    """Open a session of the plain driver, beside the store."""
    login = (server.user, server.password) if server.user else None
    with (
        neo4j.GraphDatabase.driver(
            server.address, auth=login, notifications_min_severity="OFF"
        ) as driver,
        driver.session(database="neo4j") as session,
    ):
        yield session


def stored(server: Server) -> Content:
    """Return every node with a key and every edge between such, each as one line of text."""
    with connected(server) as session:
        nodes = [
            _line([row["labels"], row["properties"] | _not_of_the_graph(row["labels"])])
            for row in session.run(
                "MATCH (n) WHERE n.key IS NOT NULL "
                "RETURN labels(n) AS labels, properties(n) AS properties"
            )
        ]
        edges = [
            _line(row.values())
            for row in session.run(
                "MATCH (a)-[r]->(b) WHERE a.key IS NOT NULL AND b.key IS NOT NULL RETURN "
                "labels(a)[0], a.key, type(r), labels(b)[0], b.key, properties(r) AS properties"
            )
        ]
    return sorted(nodes), sorted(edges)


def expected(graph: Graph) -> Content:
    """Return what :func:`stored` should find after ``graph`` was written."""
    network = graph.to_networkx()
    nodes = [
        _line([[label], _known(row) | _not_of_the_graph([label])])
        for (label, _), row in network.nodes(data=True)
    ]
    edges = [
        _line([*source, row["kind"], *target, _known(row)])
        for source, target, row in network.edges(data=True)
    ]
    return sorted(nodes), sorted(edges)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "kind"}


def _not_of_the_graph(labels: list[str]) -> dict[str, Any]:
    return {"complete": True, "time": "of the write"} if labels == ["Dataset"] else {}


def _line(values: Any) -> str:
    return json.dumps(list(values), sort_keys=True)
