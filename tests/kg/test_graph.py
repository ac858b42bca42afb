from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SYMBOLS, declared_columns, toy_graph

from scypher.encoders.errors import InputError
from scypher.kg.graph import EdgeKey, Graph, records
from scypher.kg.schema import (
    EVIDENCE,
    METADATA,
    METADATA_EDGES,
    NODES,
    STALE,
    edge_tables,
    edge_type,
)

PAIRS: EdgeKey = ("Gene", "CO_REGULATED_WITH", "Gene")
EVIDENCE_TEXT = [item.name for item in EVIDENCE if item.kind == "string" and item != STALE]
NUMBERS = ("integer", "float")
ALPHA, BETA = toy_graph("alpha", n_cells=8), toy_graph("beta", n_cells=6)
HASH = ALPHA.content_hash()


def copied(graph: Graph) -> tuple[dict[str, pd.DataFrame], dict[EdgeKey, pd.DataFrame]]:
    """Return the tables of a graph, free to be changed."""
    nodes = {label: frame.copy() for label, frame in graph.nodes.items()}
    return nodes, {key: frame.copy() for key, frame in graph.edges.items()}


def shuffled(graph: Graph, rng: np.random.Generator) -> Graph:
    """Return the same graph with the rows of every table in another order."""
    order = {label: rng.permutation(len(frame)) for label, frame in graph.nodes.items()}
    place = {label: np.argsort(rows) for label, rows in order.items()}
    nodes = {label: frame.iloc[order[label]] for label, frame in graph.nodes.items()}
    edges = {
        key: frame.assign(
            source=place[key[0]][frame["source"]], target=place[key[2]][frame["target"]]
        ).iloc[rng.permutation(len(frame))]
        for key, frame in graph.edges.items()
    }
    return Graph(nodes, edges)


def genes(**changes: Any) -> pd.DataFrame:
    return ALPHA.nodes["Gene"].assign(**changes)


def pairs(**changes: Any) -> Graph:
    """Return the genes with their pairs, the columns of the first pair changed."""
    frame = ALPHA.edges[PAIRS].copy()
    for column, value in changes.items():
        values = frame[column].astype(object)
        values[0] = value
        # Floats stay floats, as they come from a statistic.
        frame[column] = (
            values if isinstance(value, str) or value is None else values.infer_objects()
        )
    return Graph({"Gene": ALPHA.nodes["Gene"]}, {PAIRS: frame})


def test_toy_fills_every_table_in_declared_order() -> None:
    assert list(ALPHA.nodes) == [node.label for node in NODES]
    assert list(ALPHA.edges) == edge_tables()


def test_tables_are_brought_to_declared_order_and_type() -> None:
    nodes, edges = copied(ALPHA)
    mixed = Graph(
        {label: nodes[label].iloc[:, ::-1] for label in reversed(nodes)},
        {key: edges[key].iloc[:, ::-1] for key in reversed(edges)},
    )
    assert list(mixed.nodes) == list(ALPHA.nodes)
    assert list(mixed.edges) == list(ALPHA.edges)
    for label, frame in mixed.nodes.items():
        pd.testing.assert_frame_equal(frame, ALPHA.nodes[label])
    for key, frame in mixed.edges.items():
        assert list(frame) == ["source", "target", *declared_columns(key)]
        pd.testing.assert_frame_equal(frame, ALPHA.edges[key])
    assert mixed.edges[PAIRS]["n_cells"].dtype == np.int64
    assert mixed.edges[PAIRS]["p"].dtype == np.float64
    assert mixed.edges[PAIRS]["method"].dtype == object


def test_construction_leaves_the_given_frames_as_they_were() -> None:
    nodes, edges = copied(ALPHA)
    graph = Graph(nodes, edges)
    graph.nodes["Cell"].loc[0, "x"] = 99.0
    assert nodes["Cell"].loc[0, "x"] == ALPHA.nodes["Cell"].loc[0, "x"]


def test_empty_graph_is_a_graph() -> None:
    empty = Graph()
    assert empty.counts() == {}
    assert empty.datasets() == []
    assert empty.content_hash() == Graph().content_hash() != ALPHA.content_hash()


def refused_tables() -> list[tuple[str, Callable[[], Graph], str]]:
    nodes, edges = ALPHA.nodes, ALPHA.edges
    gene, states = nodes["Gene"], {"State": nodes["State"]}
    part_of = edges[("State", "PART_OF", "State")]
    return [
        ("node table", lambda: Graph({"Protein": gene}), "'Protein' is not in the schema"),
        (
            "edge table",
            lambda: Graph({"Gene": gene}, {("Gene", "LIKES", "Gene"): part_of}),
            "LIKES.* is not in the schema",
        ),
        (
            "turned edge table",
            lambda: Graph(nodes, {("Gene", "MEASURES", "Dataset"): part_of}),
            "is not in the schema",
        ),
        (
            "missing column",
            lambda: Graph({"Gene": gene.drop(columns=["symbol"])}),
            r"table Gene: missing columns \['symbol'\]",
        ),
        (
            "unknown column",
            lambda: Graph({"Gene": gene.assign(colour="red")}),
            r"not in the schema \['colour'\]",
        ),
        (
            "missing end",
            lambda: Graph(states, {("State", "PART_OF", "State"): part_of[["source"]]}),
            r"State-PART_OF-State: missing columns \['target'\]",
        ),
        (
            "missing evidence",
            lambda: Graph({"Gene": gene}, {PAIRS: edges[PAIRS].drop(columns=["p", "null"])}),
            r"missing columns \['p', 'null'\]",
        ),
        (
            "repeated key",
            lambda: Graph({"Gene": pd.concat([gene, gene.iloc[[3]]])}),
            f"Gene repeats the key '{gene['key'][3]}'",
        ),
        ("empty key", lambda: Graph({"Gene": gene.replace({"key": gene["key"][0]}, "")}), "empty"),
        (
            "edges without nodes",
            lambda: Graph({}, {("State", "PART_OF", "State"): part_of}),
            "outside the 0 State nodes",
        ),
        (
            "edge twice",
            lambda: Graph(states, {("State", "PART_OF", "State"): part_of.iloc[[0, 0]]}),
            r"same edge twice \(by source, target\)",
        ),
        (
            "claim twice",
            lambda: Graph({"Gene": gene}, {PAIRS: edges[PAIRS].iloc[[0, 1, 1]]}),
            r"same edge twice \(by source, target, dataset, context\)",
        ),
    ]


@pytest.mark.parametrize(
    ("build", "problem"),
    [pytest.param(build, problem, id=name) for name, build, problem in refused_tables()],
)
def test_tables_that_break_the_schema_are_refused(build: Callable[[], Graph], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build()


@pytest.mark.parametrize("column", ["source", "target"])
@pytest.mark.parametrize("position", [-1, len(SYMBOLS)])
def test_end_outside_its_table_is_refused(column: str, position: int) -> None:
    with pytest.raises(InputError, match=f"outside the {len(SYMBOLS)} Gene nodes"):
        pairs(**{column: position})


@pytest.mark.parametrize("column", ["p", "q"])
@pytest.mark.parametrize("value", [0.0, -0.1, 1.0001, np.nan, np.inf])
def test_claim_without_a_probability_is_refused(column: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"needs a {column} in \(0, 1\]"):
        pairs(**{column: value})


@pytest.mark.parametrize("value", [np.nextafter(0, 1), 0.5, 1.0])
def test_probabilities_up_to_one_are_taken(value: float) -> None:
    assert pairs(p=value, q=value).edges[PAIRS]["p"][0] == value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_claim_without_a_finite_effect_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="finite effect"):
        pairs(effect=value)


@pytest.mark.parametrize("column", EVIDENCE_TEXT)
@pytest.mark.parametrize("value", ["", None])
def test_claim_without_the_text_of_its_evidence_is_refused(column: str, value: str | None) -> None:
    with pytest.raises(InputError, match=f"needs {column}"):
        pairs(**{column: value})


@pytest.mark.parametrize("value", [None, np.nan, 3])
def test_key_that_is_no_text_is_refused(value: Any) -> None:
    keys = ALPHA.nodes["Gene"]["key"].astype(object).tolist()
    with pytest.raises(InputError, match="key"):
        Graph({"Gene": genes(key=pd.Series([value, *keys[1:]], dtype=object))})


@pytest.mark.parametrize("value", [0.5, np.nan])
@pytest.mark.parametrize("column", ["source", "n_cells"])
def test_whole_number_that_is_none_is_refused(column: str, value: float) -> None:
    with pytest.raises(InputError, match=column):
        pairs(**{column: value})


def test_same_pair_may_be_claimed_in_two_contexts_and_data_sets() -> None:
    frame = ALPHA.edges[PAIRS].iloc[[0, 0, 0]].reset_index(drop=True)
    frame["context"] = ["all", "alpha:S1", "all"]
    frame["dataset"] = ["alpha", "alpha", "beta"]
    assert len(Graph({"Gene": ALPHA.nodes["Gene"]}, {PAIRS: frame}).edges[PAIRS]) == 3


def test_counts_are_rows_per_table() -> None:
    counts = ALPHA.counts()
    assert counts["Cell"] == 8
    assert counts["Gene"] == len(SYMBOLS)
    assert counts["Cell-EXPRESSES-Gene"] == 8 * 4
    assert counts["State-EXPRESSES-Gene"] == 4 * len(SYMBOLS)
    assert len(counts) == len(NODES) + len(edge_tables())


def test_datasets_are_the_keys_of_their_nodes() -> None:
    assert ALPHA.datasets() == ["alpha"]
    assert ALPHA.merge(BETA).datasets() == ["alpha", "beta"]


def test_with_keys_replaces_positions_by_keys() -> None:
    key: EdgeKey = ("Cell", "HAS_CODE", "Code")
    found = ALPHA.with_keys(key)
    for row, positions in zip(
        found.itertuples(index=False), ALPHA.edges[key].itertuples(index=False), strict=True
    ):
        assert row.source == ALPHA.nodes["Cell"]["key"][positions.source]
        assert row.target == ALPHA.nodes["Code"]["key"][positions.target]
        assert row[2:] == positions[2:]
    assert ALPHA.edges[key]["source"].dtype == np.int64


@given(st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_hash_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    assert shuffled(ALPHA, np.random.default_rng(seed)).content_hash() == HASH


def changed(value: Any) -> Any:
    """Return another value of the same kind, close to the one given."""
    if isinstance(value, str):
        return f"{value} "
    if isinstance(value, list):
        return [*value[:-1], changed(value[-1])] if value else ["new"]
    if value is None:
        return [0.0]
    if isinstance(value, (int, np.integer)):
        return value + 1
    return 0.0 if np.isnan(value) else 1.0 if np.isinf(value) else np.nextafter(value, np.inf)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_hash_changes_with_any_value(data: st.DataObject) -> None:
    graph = Graph(*copied(ALPHA))
    filled = [key for key in graph.edges if declared_columns(key)]
    label = data.draw(st.sampled_from([*graph.nodes, *filled]))
    table = graph.edges[label] if isinstance(label, tuple) else graph.nodes[label]
    names = declared_columns(label) if isinstance(label, tuple) else list(table)
    column, row = data.draw(st.sampled_from(names)), data.draw(st.integers(0, len(table) - 1))
    # Changed behind the checks: the hash reads what is there.
    values = table[column].tolist()
    values[row] = changed(values[row])
    table[column] = pd.Series(values, dtype=table[column].dtype)
    assert graph.content_hash() != HASH


def test_hash_changes_with_the_ends_of_an_edge() -> None:
    nodes, edges = copied(ALPHA)
    key: EdgeKey = ("State", "PART_OF", "State")
    edges[key]["target"] = [0, 1]
    assert Graph(nodes, edges).content_hash() != HASH


def test_hash_changes_with_a_row_and_with_a_table() -> None:
    nodes, edges = copied(ALPHA)
    key: EdgeKey = ("State", "PART_OF", "State")
    shorter = Graph(nodes, edges | {key: edges[key].iloc[:1]})
    without = Graph(nodes, {other: frame for other, frame in edges.items() if other != key})
    assert len({HASH, shorter.content_hash(), without.content_hash()}) == 3


def test_hash_tells_which_column_holds_a_value() -> None:
    nodes, edges = copied(ALPHA)
    cell = nodes["Cell"]
    turned = Graph({**nodes, "Cell": cell.assign(x=cell["y"], y=cell["x"])}, edges)
    assert turned.content_hash() != HASH


def test_merge_with_itself_changes_nothing() -> None:
    assert ALPHA.merge(ALPHA).content_hash() == HASH
    assert ALPHA.merge(Graph()).content_hash() == HASH
    assert Graph().merge(ALPHA).content_hash() == HASH


def test_merge_is_the_union_by_key_where_the_last_stands() -> None:
    nodes, edges = copied(BETA)
    nodes["Code"]["usage"] = 0.125
    edges[("State", "PART_OF", "State")] = edges[("State", "PART_OF", "State")].iloc[:1]
    beta = Graph(nodes, edges)
    merged = ALPHA.merge(beta)
    for label, frame in merged.nodes.items():
        rows = {row["key"]: row for graph in (ALPHA, beta) for row in records(graph.nodes[label])}
        assert records(frame) == list(rows.values())
    assert set(merged.nodes["Code"]["usage"]) == {0.125}
    for key in merged.edges:
        names = ["source", "target", *edge_type(*key).identity]
        expected = {
            tuple(row[name] for name in names): row
            for graph in (ALPHA, beta)
            for row in records(graph.with_keys(key))
        }
        found = {tuple(row[name] for name in names): row for row in records(merged.with_keys(key))}
        assert found == expected
        assert len(merged.edges[key]) == len(expected)


def test_merge_replaces_an_edge_that_both_hold() -> None:
    nodes, edges = copied(ALPHA)
    edges[PAIRS]["correlation"] = -0.5
    merged = ALPHA.merge(Graph(nodes, edges))
    assert len(merged.edges[PAIRS]) == len(ALPHA.edges[PAIRS])
    assert set(merged.edges[PAIRS]["correlation"]) == {-0.5}
    assert set(Graph(nodes, edges).merge(ALPHA).edges[PAIRS]["correlation"]) != {-0.5}


def test_merge_keeps_the_claims_of_both_data_sets_on_the_same_nodes() -> None:
    merged = ALPHA.merge(BETA)
    key: EdgeKey = ("CellType", "MARKED_BY", "Gene")
    assert len(merged.nodes["CellType"]) == len(ALPHA.nodes["CellType"])
    assert len(merged.edges[key]) == len(ALPHA.edges[key]) + len(BETA.edges[key])


def test_merge_takes_tables_that_one_graph_lacks() -> None:
    genes_alone = Graph({"Gene": ALPHA.nodes["Gene"]})
    assert genes_alone.merge(BETA).content_hash() == BETA.merge(genes_alone).content_hash()
    assert genes_alone.merge(BETA).counts() == BETA.counts()


def test_merge_order_does_not_matter_where_graphs_agree() -> None:
    assert ALPHA.merge(BETA).content_hash() == BETA.merge(ALPHA).content_hash()


def test_without_takes_back_a_merge() -> None:
    merged = ALPHA.merge(BETA)
    assert merged.without("beta").content_hash() == HASH
    assert merged.without("alpha").content_hash() == BETA.content_hash()
    assert merged.datasets() == ["alpha", "beta"]


def test_without_leaves_nothing_of_the_data_set() -> None:
    left = ALPHA.merge(BETA).without("beta")
    for frame in [*left.nodes.values(), *(left.with_keys(key) for key in left.edges)]:
        for column in frame.columns.intersection(["dataset", "key", "source", "target"]):
            assert not frame[column].str.contains("beta").any()


def test_without_drops_shared_nodes_that_only_it_used() -> None:
    nodes, edges = copied(BETA)
    extra = nodes["Gene"].iloc[[0]].assign(key="symbol:ONLY", symbol="ONLY")
    nodes["Gene"] = pd.concat([nodes["Gene"], extra], ignore_index=True)
    measures: EdgeKey = ("Dataset", "MEASURES", "Gene")
    row = pd.DataFrame({"source": [0], "target": [len(nodes["Gene"]) - 1]})
    edges[measures] = pd.concat([edges[measures], row], ignore_index=True)
    merged = ALPHA.merge(Graph(nodes, edges))
    assert "symbol:ONLY" in set(merged.nodes["Gene"]["key"])
    assert merged.without("beta").content_hash() == HASH
    assert "symbol:ONLY" in set(merged.without("alpha").nodes["Gene"]["key"])


def test_without_the_last_data_set_nothing_is_left() -> None:
    assert ALPHA.without("alpha").counts() == {}


def test_without_a_data_set_that_is_not_there_changes_nothing() -> None:
    assert ALPHA.without("gamma").content_hash() == HASH


def test_parquet_gives_the_same_graph_back(tmp_path: Path) -> None:
    ALPHA.to_parquet(tmp_path / "new" / "graph")
    back = Graph.from_parquet(tmp_path / "new" / "graph")
    assert back.content_hash() == HASH
    for label, frame in back.nodes.items():
        assert records(frame) == records(ALPHA.nodes[label])
        assert frame.dtypes.tolist() == ALPHA.nodes[label].dtypes.tolist()
    for key, frame in back.edges.items():
        assert records(frame) == records(ALPHA.edges[key])
    assert isinstance(back.nodes["Code"]["vector"][0], list)
    assert back.nodes["Gene"]["embedding"][0] is None


def test_parquet_keeps_tables_without_rows_and_lists_that_are_all_unknown(tmp_path: Path) -> None:
    nodes = {"Gene": genes(embedding=None), "Cell": ALPHA.nodes["Cell"].iloc[:0]}
    graph = Graph(nodes, {PAIRS: ALPHA.edges[PAIRS].iloc[:0]})
    graph.to_parquet(tmp_path)
    back = Graph.from_parquet(tmp_path)
    assert back.counts() == graph.counts()
    assert back.content_hash() == graph.content_hash()
    assert back.nodes["Cell"].dtypes.tolist() == ALPHA.nodes["Cell"].dtypes.tolist()


def test_equal_graphs_give_equal_bytes(tmp_path: Path) -> None:
    nodes, edges = copied(toy_graph("alpha", n_cells=8))
    again = Graph(
        {label: nodes[label].iloc[:, ::-1] for label in reversed(nodes)},
        {key: edges[key] for key in reversed(edges)},
    )
    ALPHA.to_parquet(tmp_path / "a")
    again.to_parquet(tmp_path / "b")
    Graph.from_parquet(tmp_path / "a").to_parquet(tmp_path / "c")
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc"
    ]
    assert len(written[0]) == len(NODES) + len(edge_tables())
    assert written[0] == written[1] == written[2]


def test_networkx_holds_every_node_and_edge_with_its_properties() -> None:
    graph = ALPHA.to_networkx()
    counts = ALPHA.counts()
    assert graph.number_of_nodes() == sum(counts[label] for label in ALPHA.nodes)
    assert graph.number_of_edges() == sum(counts["-".join(key)] for key in ALPHA.edges)
    for label, frame in ALPHA.nodes.items():
        for row in records(frame):
            assert graph.nodes[(label, row["key"])] == {"kind": label} | row
    for key in ALPHA.edges:
        for row in records(ALPHA.with_keys(key)):
            source, target = (key[0], row.pop("source")), (key[2], row.pop("target"))
            assert {"kind": key[1]} | row in graph.get_edge_data(source, target).values()


def test_networkx_keeps_parallel_edges() -> None:
    merged = ALPHA.merge(BETA)
    key: EdgeKey = ("CellType", "MARKED_BY", "Gene")
    first = merged.with_keys(key).iloc[0]
    found = merged.to_networkx().get_edge_data((key[0], first["source"]), (key[2], first["target"]))
    assert {row["dataset"] for row in found.values()} == {"alpha", "beta"}


def test_pyg_has_the_shapes_and_numbers_of_the_tables() -> None:
    import torch

    torch.set_num_threads(1)
    data = ALPHA.to_pyg()
    assert set(data.node_types) == set(ALPHA.nodes)
    assert set(data.edge_types) == set(ALPHA.edges)
    data.validate()
    for label, frame in ALPHA.nodes.items():
        store = data[label]
        assert store.key == frame["key"].tolist()
        assert store.num_nodes == len(frame)
        assert store.x.shape == (len(frame), len(store.columns))
        assert store.x.dtype == torch.float32
        for position, column in enumerate(store.columns):
            expected = frame[column].to_numpy(np.float32)
            np.testing.assert_array_equal(store.x[:, position].numpy(), expected)
    for key, frame in ALPHA.edges.items():
        store = data[key]
        assert store.edge_index.dtype == torch.int64
        assert store.edge_index.tolist() == [frame["source"].tolist(), frame["target"].tolist()]
        numbers = [item.name for item in edge_type(*key).properties if item.kind in NUMBERS]
        assert store.columns == numbers
        assert store.edge_attr.shape == (len(frame), len(numbers))
        for position, column in enumerate(numbers):
            expected = frame[column].to_numpy(np.float32)
            np.testing.assert_array_equal(store.edge_attr[:, position].numpy(), expected)


def test_records_are_plain_and_leave_unknown_values_out() -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", ""],
            "whole": np.array([1, 2]),
            "number": [0.5, np.nan],
            "list": [None, [1.0, 2.0]],
            "endless": [np.inf, 0.0],
        }
    )
    found = records(frame)
    assert found == [
        {"text": "a", "whole": 1, "number": 0.5, "endless": np.inf},
        {"text": "", "whole": 2, "list": [1.0, 2.0], "endless": 0.0},
    ]
    assert [type(value) for value in found[0].values()] == [str, int, float, float]
    assert records(frame.iloc[:0]) == []


def test_metadata_edges_join_cells_with_their_values() -> None:
    for label in METADATA.values():
        frame = ALPHA.with_keys(("Cell", METADATA_EDGES[label], label))
        assert set(frame["source"]) == set(ALPHA.nodes["Cell"]["key"])
