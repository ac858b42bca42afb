"""Same answers everywhere: embedded, Neo4j, and an independent reference over networkx."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from neo4j_server.server import Server
from reference.exact import nearest
from reference.graphs import ODD, Plan, plans, random_graph
from reference.real import real_graph
from reference.registry import ANSWERS
from reference.walk import View
from toy import toy_graph

from scypher.kg.graph import Graph
from scypher.kg.queries import QueryFile, check_parameters, list_queries, run_query
from scypher.kg.stores import Store, open_store

QUERIES = {query.name: query for query in list_queries()}
TOY = toy_graph("alpha").merge(toy_graph("beta", seed=5, n_cells=10))
HARD = Plan(1, (*ODD, "x", "y"), ("one", "two's", "three\n"))
UNKNOWN = ("nobody", "")
LIMITS = (0, 1, 2, 1000)
NAMED = {
    "group": ("State", "CellType"),
    "state": ("State",),
    "module": ("Module",),
    "gene": ("Gene",),
    "cell": ("Cell",),
    "dataset": ("Dataset",),
    "code": ("Code",),
    "text": ("Gene", "GeneSet"),
    "library": ("GeneSet",),
    "source": ("State",),
    "target": ("State",),
    "ligand": ("Gene",),
    "receptor": ("Gene",),
}
"""Parameter of a query -> labels of the nodes whose keys and names it may hold."""

NAMES = ("key", "name", "symbol", "label", "barcode", "library")


class Stores:
    """Both engines, holding the same graph."""

    def __init__(self, folder: Path, neo4j: Store) -> None:
        self._folder = folder
        self._graphs = 0
        self._open = {"neo4j": neo4j}

    def put(self, graph: Graph) -> None:
        """Make a graph all that both engines hold."""
        neo4j = self._open["neo4j"]
        for dataset in neo4j.datasets()["key"]:
            neo4j.remove(dataset)
        neo4j.write(graph)
        self.close()
        self._graphs += 1
        self._open["embedded"] = open_store(self._folder / f"{self._graphs}.kg", mode="w")
        self._open["embedded"].write(graph)

    def items(self) -> Iterator[tuple[str, Store]]:
        """Yield name and store of every engine."""
        yield from self._open.items()

    def close(self) -> None:
        """Close the embedded store; the other belongs to its fixture."""
        if "embedded" in self._open:
            self._open.pop("embedded").close()


@contextmanager
def _both(server: Server, folder: Path) -> Iterator[Stores]:
    """Yield the embedded engine and a server; the server is emptied at the end."""
    login = {"user": server.user, "password": server.password}
    with open_store(server.address, mode="w", **login) as neo4j:
        both = Stores(folder, neo4j)
        yield both
        both.close()
        for dataset in neo4j.datasets()["key"]:
            neo4j.remove(dataset)


@pytest.fixture(scope="module")
def stores(neo4j_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Both engines, open for writing."""
    with _both(neo4j_server, tmp_path_factory.mktemp("reference")) as both:
        yield both


def _labels(query: QueryFile, parameter: str) -> tuple[str, ...]:
    if parameter in ("first", "second"):
        return NAMED["gene" if query.name == "gene_path" else "group"]
    return NAMED[parameter]


def _names(query: QueryFile, graph: Graph) -> dict[str, list[str]]:
    """Return what each text parameter of a query may hold that is in the graph."""
    names: dict[str, list[str]] = {}
    for item in query.parameters:
        if item.type == "string":
            found: set[str] = set()
            for label in _labels(query, item.name):
                frame = graph.nodes[label]
                for column in NAMES:
                    found |= set(frame[column]) if column in frame else set()
            names[item.name] = sorted(found)
    return names


def _asked(
    query: QueryFile, names: dict[str, list[str]], rng: np.random.Generator
) -> dict[str, Any]:
    """Return parameters of a query, drawn from what is in the graph and what is not."""
    values: dict[str, Any] = {}
    for item in query.parameters:
        if item.default is not None and rng.random() < 0.6:
            continue
        if item.type == "integer":
            values[item.name] = int(rng.choice(LIMITS))
        elif item.type == "boolean":
            values[item.name] = bool(rng.random() < 0.5)
        else:
            known = UNKNOWN if rng.random() < 0.1 else names[item.name]
            values[item.name] = known[rng.integers(len(known))]
    return values


def _plain(value: Any) -> Any:
    """Return a cell of an answer as plain Python, None where it is unknown."""
    if isinstance(value, list):
        return value
    if value is pd.NA or value is None or value != value:
        return None
    return value.item() if isinstance(value, np.generic) else value


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = {name: [_plain(value) for value in frame[name]] for name in frame}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, float | int):
        return found == expected or math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
    return type(found) is type(expected) and bool(found == expected)


def _compare(stores: Stores, view: View, name: str, given: dict[str, Any]) -> int:
    """Assert that all three give the same rows; return how many."""
    query = QUERIES[name]
    expected = ANSWERS[name](view, **check_parameters(query, given))
    columns = [item.name for item in query.columns]
    for engine, store in stores.items():
        frame = run_query(store, name, **given)
        assert list(frame) == columns
        found = _rows(frame)
        where = f"{engine}: {name} {given}"
        for position, (row, right) in enumerate(zip(found, expected, strict=False)):
            # The time of writing is the only answer that is a store's own.
            assert set(right) == set(columns) - {"time"}, where
            wrong = {
                column: (row[column], right[column])
                for column in right
                if not _same(row[column], right[column])
            }
            assert not wrong, f"{where}: row {position} (found, expected): {wrong}"
        assert len(found) == len(expected), where
    return len(expected)


def _ask_all(stores: Stores, graph: Graph, seed: int, times: int) -> set[str]:
    """Ask every query so many times, once with an answer; return those that had one."""
    rng = np.random.default_rng(seed)
    view = View(graph.to_networkx())
    answered = set()
    for name, query in QUERIES.items():
        names = _names(query, graph)
        drawn = [_asked(query, names, rng) for _ in range(60 if query.parameters else 1)]
        full = (one for one in drawn if ANSWERS[name](view, **check_parameters(query, one)))
        for asked in [*islice(full, 1), *drawn[:times]]:
            if _compare(stores, view, name, asked):
                answered.add(name)
    return answered


def test_every_query_has_a_reference() -> None:
    assert set(ANSWERS) == set(QUERIES)


def test_the_toy_graph(stores: Stores) -> None:
    stores.put(TOY)
    assert _ask_all(stores, TOY, 0, 3) == set(QUERIES)


def test_the_newest_server(newest_neo4j_server: Server, tmp_path: Path) -> None:
    with _both(newest_neo4j_server, tmp_path) as both:
        graph = random_graph(HARD)
        both.put(graph)
        assert len(_ask_all(both, graph, 3, 2)) > len(QUERIES) // 2


def test_a_real_graph(stores: Stores, data_dir: Path) -> None:
    graph = real_graph(data_dir)
    stores.put(graph)
    answered = _ask_all(stores, graph, 2, 2)
    vectors = graph.nodes["Gene"].set_index("key")["embedding"]
    for gene in vectors.dropna().index[::600]:
        expected = nearest(vectors, gene).head(20)
        for _, store in stores.items():
            found = run_query(store, "similar_genes", gene=gene, limit=20)
            assert found["gene"].tolist() == expected.index.tolist()
            np.testing.assert_allclose(found["similarity"], expected, rtol=1e-12)
    assert answered >= {"cell", "gene_path", "markers", "modules", "similar_genes", "summary"}


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    print_blob=True,
    # A plan is small already, and an example takes seconds.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(plan=HARD, asked=1)
@given(plan=plans, asked=st.integers(0, 2**32 - 1))
def test_random_graphs(stores: Stores, plan: Plan, asked: int) -> None:
    graph = random_graph(plan)
    stores.put(graph)
    assert len(_ask_all(stores, graph, asked, 1)) > len(QUERIES) // 2
