"""Query files: their headers, their answers in both engines, and the commands."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from opener import holding
from toy import CELL_TYPES, toy_graph
from typer.testing import CliRunner

from scypher.encoders.errors import InputError
from scypher.kg.commands import register
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.queries import (
    check_parameters,
    list_queries,
    load_query,
    parse_parameters,
    parse_query,
    run_query,
)
from scypher.kg.schema import METADATA, METADATA_EDGES
from scypher.kg.stores import Store, open_store

MARKERS = [
    *("group", "group_kind", "gene", "symbol", "rank"),
    *("attention_lift", "attention_z", "attention_q"),
    *("auroc", "log2_fold_change", "detected_in", "detected_out", "expression_q"),
    *("donors_agreeing", "n_donors", "verdict"),
]
ALPHA, BETA = toy_graph("alpha"), toy_graph("beta", seed=5, n_cells=10)
BOTH = ALPHA.merge(BETA)
ASKED: dict[str, dict[str, Any]] = {
    "attended_genes": {"cell": "alpha:c1"},
    "cell": {"cell": "alpha:c1"},
    "communication": {"source": "S1", "target": "alpha:S2"},
    "counterfactuals": {"state": "alpha:S1"},
    "gene_path": {"first": "CD79A", "second": "NKG7"},
    "expressed_genes": {"cell": "c1", "dataset": "alpha"},
    "find_gene_sets": {"text": "cell"},
    "find_genes": {"text": "cd"},
    "genes_of_module": {"module": "M1"},
    "marker_baselines": {"group": "S1", "limit": 2},
    "marker_evidence": {"group": "B cells", "gene": "CD79A"},
    "markers": {"group": "alpha:S1"},
    "module_enrichment": {"module": "alpha:M1"},
    "modules_of_gene": {"gene": "CD79A"},
    "similar_codes": {"code": "eeeeeeeeeeee:0"},
    "similar_genes": {"gene": "MS4A1"},
    "similar_states": {"state": "S1"},
    "regulation": {"gene": "CD79A"},
    "shared_markers": {"first": "S1", "second": "S2", "limit": 5},
    "path_genes": {"state": "alpha:S1.1"},
    "shift_enrichment": {"group": "T cells"},
    "shifted_genes": {"group": "S1", "limit": 2},
    "state_attention": {"state": "alpha:S1"},
    "state_composition": {"state": "alpha:S1"},
    "state_enrichment": {"group": "T cells"},
    "state_neighbours": {"state": "S1", "dataset": "alpha"},
    "states_marked_by": {"gene": "CD79A"},
}


WITH_GAPS = {
    *("attended_genes", "counterfactuals", "modules", "regulation", "shifted_genes", "states"),
    "state_abundance",
}
"""Queries whose answers on the toy graph have unknown values."""


@pytest.fixture(scope="module", params=["embedded", "neo4j"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store of both data sets, in either engine."""
    folder = tmp_path_factory.mktemp("queries")
    with holding(BOTH, request, folder / "toy.kg") as store:
        yield store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder."""
    path = tmp_path_factory.mktemp("folder") / "toy.kg"
    with open_store(path, mode="w") as opened:
        opened.write(BOTH)
    return path


def _joined(graph: Graph, key: EdgeKey) -> pd.DataFrame:
    """Return an edge table with the properties of both ends, prefixed ``a_`` and ``b_``."""
    frame = graph.with_keys(key)
    for column, label, prefix in (("source", key[0], "a_"), ("target", key[2], "b_")):
        nodes = graph.nodes[label].add_prefix(prefix)
        frame = frame.merge(nodes, left_on=column, right_on=f"{prefix}key")
    return frame


def _same(found: pd.DataFrame, expected: pd.DataFrame, order: list[str], up: Any = True) -> None:
    expected = expected.sort_values(order, ascending=up, kind="stable")
    expected = expected[found.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


class TestAnswers:
    """Both engines against what pandas finds in the tables."""

    def test_all_queries_give_rows_of_the_declared_type(self, store: Store) -> None:
        dtypes = {"integer": "i", "float": "f", "boolean": "b", "string": "O", "strings": "O"}
        for query in list_queries():
            found = run_query(store, query.name, **ASKED.get(query.name, {}))
            assert list(found) == [item.name for item in query.columns], query.name
            assert len(found), query.name
            assert [found[item.name].dtype.kind for item in query.columns] == [
                dtypes[item.type] for item in query.columns
            ], query.name
            complete = not found.drop(columns="weight", errors="ignore").isna().any(axis=None)
            assert complete or query.name in WITH_GAPS, query.name

    def test_empty_answers_keep_their_columns(self, store: Store) -> None:
        for query in list_queries():
            nobody = {item.name: "nobody" for item in query.parameters if item.type == "string"}
            if not nobody:
                continue
            found = run_query(store, query.name, **nobody)
            assert list(found) == [item.name for item in query.columns], query.name
            assert len(found) == 0
            for item in query.columns:
                if item.type == "float":
                    assert found[item.name].dtype == np.float64

    @pytest.mark.parametrize(
        ("group", "kind"),
        [
            ("alpha:S1", "State"),
            ("S1", "State"),
            ("B cells", "CellType"),
            (CELL_TYPES[2], "CellType"),
            ("cell_type:T cells", "CellType"),
        ],
    )
    def test_markers(self, store: Store, group: str, kind: str) -> None:
        found = run_query(store, "markers", group=group, limit=4)
        assert list(found) == MARKERS
        table = _joined(BOTH, (kind, "MARKED_BY", "Gene"))
        named = table["a_name"] if kind == "State" else table["a_label"]
        table = table[((table["a_key"] == group) | (named == group)) & (table["rank"] <= 4)]
        table = table.assign(
            group=table["a_key"] if kind == "State" else table["a_label"],
            group_kind=kind,
            gene=table["b_key"],
            symbol=table["b_symbol"],
        )
        _same(found, table, ["a_key", "dataset", "rank", "gene"])
        one = run_query(store, "markers", group=group, limit=4, dataset="alpha")
        _same(one, table[table["dataset"] == "alpha"], ["rank", "gene"])
        assert one["rank"].tolist() == [1, 2, 3, 4]

    def test_marker_baselines(self, store: Store) -> None:
        found = run_query(store, "marker_baselines", group="alpha:S2", limit=2)
        table = _joined(BOTH, ("State", "MARKED_BY", "Gene"))
        ranks = table[["rank", "attention_rank", "expression_rank"]]
        table = table[(table["a_key"] == "alpha:S2") & ranks.le(2).any(axis=1)]
        table = table.assign(group=table["a_key"], gene=table["b_key"], symbol=table["b_symbol"])
        assert len(found) > 2
        _same(found, table, ["rank"])

    def test_marker_evidence(self, store: Store) -> None:
        found = run_query(store, "marker_evidence", group="alpha:S1", gene="CD79A")
        table = BOTH.with_keys(("State", "MARKED_BY", "Gene"))
        row = table[(table["source"] == "alpha:S1") & (table["target"] == "ENSG00000000000")]
        assert len(found) == 1
        for name in row.columns.drop(["source", "target"]):
            assert found[name].iloc[0] == row[name].iloc[0], name

    def test_states_marked_by(self, store: Store) -> None:
        found = run_query(store, "states_marked_by", gene="ENSG00000000003")
        expected = sum(
            (BOTH.with_keys((kind, "MARKED_BY", "Gene"))["target"] == "ENSG00000000003").sum()
            for kind in ("State", "CellType")
        )
        assert len(found) == expected
        assert found["rank"].is_monotonic_increasing
        assert found["symbol"].eq("LYZ").all()

    def test_shared_markers(self, store: Store) -> None:
        found = run_query(store, "shared_markers", first="alpha:S1", second="alpha:S2", limit=3)
        table = BOTH.with_keys(("State", "MARKED_BY", "Gene"))
        first, second = (table[table["source"] == key] for key in ("alpha:S1", "alpha:S2"))
        both = first.merge(second, on=["target", "dataset"], suffixes=("_first", "_second"))
        both["sum"] = both["rank_first"] + both["rank_second"]
        both = both.sort_values(["sum", "target"]).head(3)
        assert found["gene"].tolist() == both["target"].tolist()
        for name in ("rank_first", "rank_second", "auroc_first", "auroc_second"):
            assert found[name].tolist() == both[name].tolist()

    def test_modules(self, store: Store) -> None:
        table = _joined(BOTH, ("Gene", "MEMBER_OF", "Module"))
        table = table.assign(gene=table["a_key"], module=table["b_key"], symbol=table["a_symbol"])
        found = run_query(store, "genes_of_module", module="M1")
        rows = table[table["b_name"] == "M1"]
        _same(found, rows, ["module", "strength", "gene"], [True, False, True])
        found = run_query(store, "modules_of_gene", gene="CD3E")
        rows = table[table["symbol"] == "CD3E"].sort_values("strength", ascending=False)
        assert found["module"].tolist() == rows["module"].tolist()
        assert found["size"].tolist() == rows["b_size"].tolist()
        found = run_query(store, "modules", dataset="beta")
        assert found["module"].tolist() == ["beta:M1", "beta:M2"]
        assert found["mean_weight"].isna().tolist() == [False, True]

    @pytest.mark.parametrize(
        ("query", "kind", "parameters"),
        [
            ("module_enrichment", "Module", {"module": "alpha:M1"}),
            ("state_enrichment", "State", {"group": "alpha:S1"}),
            ("state_enrichment", "CellType", {"group": "T cells", "dataset": "alpha"}),
            ("shift_enrichment", "State", {"group": "alpha:S2"}),
        ],
    )
    def test_enrichment(
        self, store: Store, query: str, kind: str, parameters: dict[str, str]
    ) -> None:
        found = run_query(store, query, **parameters)
        table = _joined(ALPHA, (kind, "ENRICHED_IN", "GeneSet"))
        group = parameters.get("module", parameters.get("group"))
        mine = table["a_label"] if kind == "CellType" else table["a_key"]
        table = table[mine == group].assign(gene_set=lambda rows: rows["b_name"])
        if kind != "Module":
            table = table[(table["of"] == "markers") == (query == "state_enrichment")]
        table = table.sort_values(["q", "p", "target"])
        for name in ("gene_set", "overlap", "odds_ratio", "p", "q", "genes"):
            assert found[name].tolist() == table[name].tolist(), name

    def test_states(self, store: Store) -> None:
        found = run_query(store, "states", dataset="alpha")
        assert found["state"].tolist() == ["alpha:S1", "alpha:S2", "alpha:S1.1", "alpha:S1.2"]
        assert found["parent"].tolist() == ["", "", "alpha:S1", "alpha:S1"]
        assert found["size"].tolist() == [12, 12, 6, 6]
        assert len(run_query(store, "states")) == 8
        near = run_query(store, "state_neighbours", state="alpha:S2")
        assert near.to_dict("records") == [
            {"state": "alpha:S2", "neighbour": "alpha:S1", "label": "B cells", "connectivity": 1.5}
        ]

    def test_composition_and_attention_of_a_state(self, store: Store) -> None:
        cells = ALPHA.with_keys(("Cell", "IN_STATE", "State")).query("target == 'alpha:S1'")
        rows = []
        for label in METADATA.values():
            edges = _joined(ALPHA, ("Cell", METADATA_EDGES[label], label))
            edges = edges[edges["source"].isin(cells["source"])]
            counted = edges.groupby(["target", "b_label"]).size().rename("n_cells").reset_index()
            rows.append(counted.assign(kind=label))
        table = pd.concat(rows).rename(columns={"b_label": "label"})
        table = table.assign(state="alpha:S1", share=table["n_cells"] / len(cells))
        found = run_query(store, "state_composition", state="alpha:S1")
        _same(found, table, ["kind", "n_cells", "target"], [True, False, True])
        attention = run_query(store, "state_attention", state="alpha:S1")
        assert len(attention) == len(METADATA)
        assert attention["weight"].is_monotonic_decreasing

    def test_shifts_and_abundance(self, store: Store) -> None:
        found = run_query(store, "shifted_genes", group="S1", limit=2, dataset="beta")
        assert found["rank"].tolist() == [1, 2]
        assert found["symbol"].tolist() == ["CD79A", "MS4A1"]
        assert set(found["condition"]) == {"condition 1"}
        of_type = run_query(store, "shifted_genes", group="B cells", dataset="alpha")
        assert of_type["group"].tolist() == ["B cells"] * 3
        table = run_query(store, "state_abundance", dataset="alpha")
        assert table["state"].tolist() == ["alpha:S1"] * 2 + ["alpha:S2"] * 2
        assert table["reference"].tolist() == ["condition 1", "disease 1"] * 2
        assert table["donors_with"].tolist()[:2] == [2, 2]

    def test_counterfactuals(self, store: Store) -> None:
        found = run_query(store, "counterfactuals", state="alpha:S1")
        assert found["symbol"].tolist() == ["CD79A", "MS4A1"]
        assert found["goes_to"].tolist() == ["alpha:S2", ""]

    def test_intermediate_states(self, store: Store) -> None:
        found = run_query(store, "intermediate_states", dataset="alpha")
        (row,) = found.to_dict("records")
        assert (row["state"], row["first"], row["second"]) == (
            "alpha:S1.1",
            "alpha:S1.2",
            "alpha:S2",
        )
        assert (row["soft_first"], row["soft_second"]) == (0.4, 0.3)
        genes = run_query(store, "path_genes", state="S1.1", limit=1)
        assert genes["symbol"].tolist() == ["CD79A", "CD79A"]
        assert set(genes["second"]) == {"alpha:S2", "beta:S2"}

    def test_cells(self, store: Store) -> None:
        found = run_query(store, "cell_map", dataset="alpha")
        cells = ALPHA.nodes["Cell"].sort_values("key")
        assert found["cell"].tolist() == cells["key"].tolist()
        assert found["x"].tolist() == cells["x"].tolist()
        labels = _joined(ALPHA, ("Cell", "ANNOTATED_AS", "CellType")).set_index("source")
        assert found["label"].tolist() == labels["b_label"].loc[cells["key"]].tolist()
        assert set(found["state"]) == {"alpha:S1", "alpha:S2"}
        cell = run_query(store, "cell", cell="alpha:c5")
        assert cell["kind"].tolist() == sorted(METADATA.values())
        assert set(cell["code"]) == {1}
        assert set(cell["substate"]) == {"alpha:S1.2"}

    def test_gene_path(self, store: Store) -> None:
        import networkx as nx

        edges = BOTH.with_keys(("Gene", "CO_REGULATED_WITH", "Gene"))
        network = nx.from_pandas_edgelist(edges)
        keys = BOTH.nodes["Gene"].set_index("symbol")["key"]
        found = run_query(store, "gene_path", first="CD79A", second=keys["GNLY"])
        path = nx.shortest_path(network, keys["CD79A"], keys["GNLY"])
        assert found["gene"].tolist() == path
        best = edges.groupby(["source", "target"])["correlation"].max()
        weights = [best[pair] for pair in pairwise(path)]
        assert found["weight"].tolist()[:-1] == weights
        assert np.isnan(found["weight"].iloc[-1])
        assert run_query(store, "gene_path", first="CD79A", second="IL7R").empty
        assert run_query(store, "gene_path", first="CD79A", second="CD79A").empty

    def test_summary_and_data_sets(self, store: Store) -> None:
        found = run_query(store, "summary")
        assert dict(zip(found["name"], found["n"], strict=True)) == BOTH.counts()
        sets = run_query(store, "datasets")
        table = BOTH.nodes["Dataset"]
        assert sets["dataset"].tolist() == ["alpha", "beta"]
        assert sets["notes"].tolist() == table["notes"].tolist()
        assert sets["complete"].all()
        assert sets["time"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()

    def test_every_row_comes_in_the_same_order_again(self, store: Store) -> None:
        for query in list_queries():
            parameters = ASKED.get(query.name, {})
            pd.testing.assert_frame_equal(
                run_query(store, query.name, **parameters),
                run_query(store, query.name, **parameters),
            )


class TestFiles:
    """Headers and parameters."""

    def test_the_shipped_files_are_complete(self) -> None:
        found = {query.name: query for query in list_queries()}
        assert len(found) >= 18
        assert [item.name for item in found["markers"].columns] == MARKERS
        for query in found.values():
            assert query.question.endswith("?")
            assert query.columns
            assert all(item.doc for item in (*query.parameters, *query.columns))
            assert all(f"${item.name}" in query.text for item in query.parameters)
            assert "ORDER BY" in query.text
            assert load_query(query.name) == query

    def test_a_file_of_the_user(self, tmp_path: Path, folder: Path) -> None:
        file = tmp_path / "mine.cypher"
        file.write_text(
            "// question: How many cells?\n"
            "// param at_least: float = 0.5 — library size\n"
            '// param names: strings = ["c1", "c2"] — barcodes\n'
            "// param all: boolean = false — every cell\n"
            "// column n: integer — cells\n"
            "MATCH (c:Cell) WHERE c.library_size > $at_least AND ($all OR c.barcode IN $names)\n"
            "RETURN count(c) AS n\n"
        )
        query = load_query(file)
        assert query.name == "mine"
        assert query.parameters[1].default == ["c1", "c2"]
        with open_store(folder) as opened:
            assert run_query(opened, file)["n"].tolist() == [4]
            assert run_query(opened, str(file), all=True)["n"].tolist() == [34]
            values = parse_parameters(query, ["all=true", "names=c1, c3", "at_least=1e9"])
            assert values == {"at_least": 1e9, "names": ["c1", "c3"], "all": True}
            assert run_query(opened, file, **values)["n"].tolist() == [0]
            file.write_text("// column m: integer — nothing\nRETURN 1 AS n\n")
            with pytest.raises(InputError, match="does not return the declared columns m"):
                run_query(opened, file)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("// param x — no type\nRETURN 1", "malformed"),
            ("// param x: number — no such type\nRETURN 1", "no type 'number'"),
            ("// param x: integer = ten — no number\nRETURN 1", "no integer"),
            ("// param x: string = ten — no quotes\nRETURN 1", "malformed"),
            ("// column x\nRETURN 1", "malformed"),
            ("// only a comment\n", "no Cypher"),
        ],
    )
    def test_malformed_files(self, text: str, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            parse_query(text, "bad.cypher")

    def test_wrong_parameters(self, tmp_path: Path) -> None:
        markers = load_query("markers")
        for given, problem in (
            ({}, "needs the parameter group"),
            ({"group": "S1", "top": 3}, "no parameter top"),
            ({"group": 1}, "string was expected"),
            ({"group": "S1", "limit": "ten"}, "integer was expected"),
            ({"group": "S1", "limit": True}, "integer was expected"),
            ({"group": "S1", "limit": 2.5}, "integer was expected"),
        ):
            with pytest.raises(InputError, match=problem) as caught:
                check_parameters(markers, given)
            assert "group (string, required), limit (integer, default 10)" in str(caught.value)
        assert check_parameters(markers, {"group": "S1", "limit": np.int64(3)})["limit"] == 3
        for texts, problem in (
            (["group"], "key=value"),
            (["group=S1", "group=S2"], "twice"),
            (["group=S1", "limit=ten"], "no integer"),
            (["group=S1", "top=3"], "no parameter top"),
        ):
            with pytest.raises(InputError, match=problem):
                parse_parameters(markers, texts)
        assert parse_parameters(markers, ["group=a=b"])["group"] == "a=b"
        with pytest.raises(InputError, match=r"no query 'marker'.*markers"):
            load_query("marker")
        with pytest.raises(InputError, match="cannot be read"):
            load_query(tmp_path / "none.cypher")


class TestCommands:
    """The command line."""

    @pytest.fixture
    def app(self) -> typer.Typer:
        """The commands alone."""
        app = typer.Typer()
        register(app)
        return app

    def test_formats(self, app: typer.Typer, folder: Path) -> None:
        asked = ["query", "markers", "--graph", str(folder)]
        asked += ["--param", "group=alpha:S1", "--param", "limit=2"]
        rows = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
        assert [list(row) for row in rows] == [MARKERS, MARKERS]
        assert [row["rank"] for row in rows] == [1, 2]
        lines = CliRunner().invoke(app, [*asked, "--csv"]).stdout.splitlines()
        assert lines[0] == ",".join(MARKERS)
        assert len(lines) == 3
        table = CliRunner().invoke(app, asked).stdout
        assert all(name in table for name in MARKERS)
        assert "supported" in table
        assert CliRunner().invoke(app, [*asked, "--csv", "--json"]).exit_code == 2

    def test_unknown_numbers_are_null_in_json(self, app: typer.Typer, folder: Path) -> None:
        asked = ["query", "modules", "--graph", str(folder), "--json"]
        rows = json.loads(CliRunner().invoke(app, asked).stdout)
        assert [row["mean_weight"] for row in rows] == [0.4, None, 0.4, None]

    def test_list(self, app: typer.Typer) -> None:
        found = json.loads(CliRunner().invoke(app, ["queries", "--json"]).stdout)
        assert [item["name"] for item in found] == [query.name for query in list_queries()]
        markers = next(item for item in found if item["name"] == "markers")
        assert markers["parameters"][1]["default"] == 10
        assert "Which genes mark" in CliRunner().invoke(app, ["queries"]).stdout

    def test_errors_reach_the_caller(self, app: typer.Typer, tmp_path: Path) -> None:
        asked = ["query", "markers", "--graph", str(tmp_path / "none.kg"), "--param", "group=S1"]
        assert isinstance(CliRunner().invoke(app, asked).exception, InputError)
        assert isinstance(
            CliRunner().invoke(app, ["query", "no", *asked[2:]]).exception, InputError
        )
