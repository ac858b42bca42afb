"""What a second process does to a graph in Neo4j; the tests kill it."""

from multiprocessing.connection import Connection

from neo4j_server.server import Server
from toy import toy_graph

from scypher.encoders.errors import StoreBusyError
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.stores import open_store

TABLES: tuple[EdgeKey, ...] = (
    ("Dataset", "MEASURES", "Gene"),
    ("Cell", "EXPRESSES", "Gene"),
    ("Cell", "IN_STATE", "State"),
    ("Cell", "ANNOTATED_AS", "CellType"),
    ("State", "MARKED_BY", "Gene"),
)


def small_graph(dataset: str, *, seed: int = 0, n_cells: int = 60) -> Graph:
    """Return the toy graph with few tables, so that a server writes it in a second."""
    graph = toy_graph(dataset, seed=seed, n_cells=n_cells)
    edges = {key: graph.edges[key] for key in TABLES}
    used = {label for key in edges for label in (key[0], key[2])}
    return Graph({label: graph.nodes[label] for label in graph.nodes if label in used}, edges)


def write(login: tuple[str, str, str], ready: Connection, seed: int) -> None:
    """Write one data set, after telling that it begins."""
    address, user, password = login
    graph = small_graph("alpha", seed=seed)
    with open_store(address, mode="w", user=user, password=password) as store:
        ready.send("writing")
        store.write(graph)
        ready.send("written")


def reading(login: tuple[str, str, str], ready: Connection, text: str) -> None:
    """Ask the same again and again until told to end; send the rows, and how often it was busy."""
    address, user, password = login
    rows, busy = [], 0
    with open_store(address, user=user, password=password) as store:
        ready.send("reading")
        while not ready.poll():
            try:
                rows.append(tuple(store.query(text).iloc[0].tolist()))
            except StoreBusyError:
                busy += 1
    ready.send((rows, busy))


def login(server: Server) -> tuple[str, str, str]:
    """Return what a process needs to reach a server."""
    return server.address, server.user, server.password
