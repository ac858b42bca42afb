"""What is sent when a piece takes the place of another one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from neo4j_child import small_graph
from neo4j_content import expected, stored
from neo4j_server.server import Server, empty
from toy import toy_graph

from scypher.kg.graph import Graph
from scypher.kg.schema import edge_type, node_type
from scypher.kg.stores import open_store
from scypher.kg.stores.neo4j_delta import changed_rows, difference
from scypher.kg.stores.neo4j_session import Connection


def varied(graph: Graph, seed: int) -> Graph:
    """Return the graph with some rows changed, dropped and shuffled in every table."""
    rng = np.random.default_rng(seed)
    gone = {label: np.zeros(len(frame), bool) for label, frame in graph.nodes.items()}
    for label in sorted({"Cell", "Module"} & gone.keys()):
        gone[label] = rng.random(len(gone[label])) < 0.1
    nodes, place = {}, {}
    for label, frame in graph.nodes.items():
        order = rng.permutation(np.flatnonzero(~gone[label]))
        place[label] = np.full(len(frame), -1)
        place[label][order] = np.arange(len(order))
        nodes[label] = frame.iloc[order].reset_index(drop=True)
    nodes["Cell"].loc[:2, "x"] = np.nan
    nodes["State"].at[0, "label_set"] = ["changed"]
    nodes["Gene"].loc[0, "symbol"] = "changed"
    edges = {}
    for key, frame in graph.edges.items():
        rows = rng.permutation(len(frame))[: max(1, int(0.9 * len(frame)))]
        frame = frame.iloc[rows].reset_index(drop=True)
        source, target = place[key[0]][frame["source"]], place[key[2]][frame["target"]]
        frame = frame.assign(source=source, target=target)[(source >= 0) & (target >= 0)]
        floats = [item.name for item in edge_type(*key).properties if item.kind == "float"]
        if floats and floats[0] not in ("p", "q", "effect"):
            frame = frame.reset_index(drop=True)
            frame.loc[: len(frame) // 10, floats[0]] = 0.123
        edges[key] = frame
    return Graph(nodes, edges)


def lines(graph: Graph, *, shared: bool) -> dict[str, set[str]]:
    """Return every row of every table as text, found one by one."""
    found: dict[str, set[str]] = {}
    for label, frame in graph.nodes.items():
        if shared or label == "Dataset" or node_type(label).owned:
            found[label] = {repr(row) for row in frame.to_dict("records")}
    for key in graph.edges:
        frame = graph.with_keys(key)
        found["-".join(key)] = {repr(row) for row in frame.to_dict("records")}
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_leads_from_one_to_the_other(seed: int) -> None:
    old = toy_graph(n_cells=40)
    new = varied(old, seed)
    delta = difference(old, new)
    before, after = lines(old, shared=False), lines(new, shared=False)
    for label, rows in delta.written.items():
        frame = new.nodes[label].iloc[rows]
        sent = {repr(row) for row in frame.to_dict("records")}
        assert sent == after[label] - before[label]
        keys = set(old.nodes[label]["key"]) - set(new.nodes[label]["key"])
        assert set(delta.deleted[label]) == keys
    for key, rows in delta.created.items():
        name = "-".join(key)
        created = new.with_keys(key, new.edges[key].iloc[rows]).to_dict("records")
        removed = old.with_keys(key, old.edges[key].iloc[delta.removed[key]]).to_dict("records")
        assert {repr(row) for row in created} == after[name] - before[name]
        assert {repr(row) for row in removed} == before[name] - after[name]


def test_nothing_to_send_between_equal_graphs() -> None:
    old = toy_graph()
    order = np.random.default_rng(0).permutation(len(old.edges[("Cell", "EXPRESSES", "Gene")]))
    edges = dict(old.edges)
    edges[("Cell", "EXPRESSES", "Gene")] = edges[("Cell", "EXPRESSES", "Gene")].iloc[order]
    assert difference(old, Graph(old.nodes, edges)).rows == 0


def test_tables_that_come_and_go() -> None:
    whole = toy_graph(n_cells=6)
    key = ("State", "CONNECTED_TO", "State")
    some = Graph(whole.nodes, {name: frame for name, frame in whole.edges.items() if name != key})
    assert difference(whole, some).removed[key].tolist() == [0]
    assert difference(some, whole).created[key].tolist() == [0]
    assert difference(whole, some).rows == difference(some, whole).rows == 1


def test_unknown_values_are_equal() -> None:
    old = pd.DataFrame({"a": [np.nan, 1.0, 2.0], "b": [None, ["x"], ["y"]]})
    new = pd.DataFrame({"a": [2.0, np.nan, 5.0, 1.0], "b": [["y"], None, None, ["z"]]})
    place = np.array([2, 0, -1, 1])
    assert changed_rows(old, new, place).tolist() == [False, False, True, True]


def test_a_server_gets_only_the_difference(
    neo4j_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty(neo4j_server)
    old, beta = small_graph("alpha"), small_graph("beta", n_cells=6)
    new = varied(old, 1)
    sent = Connection.write
    edges = 0

    def counted(self: Connection, text: str, **parameters: Any) -> Any:
        nonlocal edges
        edges += len(parameters.get("ends", []))
        return sent(self, text, **parameters)

    login = {"user": neo4j_server.user, "password": neo4j_server.password}
    with open_store(neo4j_server.address, mode="w", **login) as store:
        store.write(old)
        store.write(beta)
        monkeypatch.setattr(Connection, "write", counted)
        store.write(new)
        assert stored(neo4j_server) == expected(beta.merge(new))
        delta = difference(old, new)
        assert edges == sum(
            len(rows) for table in (delta.created, delta.removed) for rows in table.values()
        )
        store.remove("alpha")
        assert stored(neo4j_server) == expected(beta)
    empty(neo4j_server)
