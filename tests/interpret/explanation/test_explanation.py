"""All that a graph knows of a cell or a state is what its tables hold."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run
from toy import toy_graph

from scypher.encoders.errors import InputError
from scypher.interpret.explanation.explain import explain_cell, explain_state
from scypher.kg import Graph
from scypher.kg.queries import list_queries, run_query
from scypher.kg.stores import Store, open_store


@pytest.fixture(scope="module")
def folder(small_graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explained") / "small.kg"
    with open_store(path, mode="w") as store:
        store.write(small_graph)
    return path


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    with open_store(folder) as opened:
        yield opened


def table(graph: Graph, source: str, kind: str, target: str) -> pd.DataFrame:
    """An edge table with the keys of both ends, found by a join of its own."""
    edges = graph.edges[(source, kind, target)].copy()
    for end, label in (("source", source), ("target", target)):
        edges[f"{end}_key"] = graph.nodes[label]["key"].to_numpy()[edges[end].to_numpy()]
    return edges


def test_state_holds_what_the_tables_hold(store: Store, small_graph: Graph) -> None:
    key = str(small_graph.nodes["State"]["key"].iloc[0])
    found = explain_state(store, key, n_genes=5)
    marked = table(small_graph, "State", "MARKED_BY", "Gene")
    mine = marked[marked["source_key"] == key].sort_values("rank").head(5)
    assert found.frames["markers"]["gene"].tolist() == mine["target_key"].tolist()
    assert found.frames["evidence"]["gene"].tolist() == mine["target_key"].tolist()
    np.testing.assert_allclose(found.frames["evidence"]["q"], mine["q"])
    cells = table(small_graph, "Cell", "IN_STATE", "State")
    assert found.frames["state"]["size"].tolist() == [int((cells["target_key"] == key).sum())]
    linked = table(small_graph, "State", "CONNECTED_TO", "State")
    near = {
        *linked.loc[linked["source_key"] == key, "target_key"],
        *linked.loc[linked["target_key"] == key, "source_key"],
    }
    assert set(found.frames["neighbours"]["neighbour"]) == near
    flips = table(small_graph, "State", "FLIPS_WITHOUT", "Gene")
    assert set(found.frames["flips"]["gene"]) == set(
        flips.loc[flips["source_key"] == key, "target_key"]
    )
    member = table(small_graph, "Gene", "MEMBER_OF", "Module")
    held = set(
        member.loc[member["target_key"].isin(found.frames["modules"]["module"]), "source_key"]
    )
    assert set(found.frames["modules"]["gene"]) <= held & set(mine["target_key"])
    sets = table(small_graph, "State", "ENRICHED_IN", "GeneSet")
    sets = sets[(sets["source_key"] == key) & (sets["of"] == "markers")]
    assert len(found.frames["gene_sets"]) == len(sets)


def test_cell_holds_what_the_tables_hold(store: Store, small_graph: Graph) -> None:
    cell = small_graph.nodes["Cell"].iloc[3]
    by_key = explain_cell(store, str(cell["key"]), n_genes=7)
    by_barcode = explain_cell(store, str(cell["barcode"]), n_genes=7)
    assert str(by_key) == str(by_barcode)
    attended = table(small_graph, "Cell", "ATTENDS_TO", "Gene")
    mine = attended[attended["source_key"] == cell["key"]].nlargest(7, "encoder")
    np.testing.assert_allclose(by_key.frames["attended"]["value"], mine["encoder"], rtol=1e-6)
    by_graph = attended[attended["source_key"] == cell["key"]].nlargest(7, "graph")
    np.testing.assert_allclose(by_key.frames["graph_attended"]["value"], by_graph["graph"])
    expressed = table(small_graph, "Cell", "EXPRESSES", "Gene")
    top = expressed[expressed["source_key"] == cell["key"]].sort_values("rank").head(7)
    assert by_key.frames["expressed"]["gene"].tolist() == top["target_key"].tolist()
    states = table(small_graph, "Cell", "IN_STATE", "State")
    state = by_key.frames["cell"]["state"].iloc[0]
    assert state in set(states.loc[states["source_key"] == cell["key"], "target_key"])
    marked = table(small_graph, "State", "MARKED_BY", "Gene")
    marks = set(marked.loc[marked["source_key"] == state, "target_key"])
    tops = ("attended", "graph_attended", "expressed")
    genes = {gene for name in tops for gene in by_key.frames[name]["gene"]}
    assert set(by_key.frames["markers"]["gene"]) == marks & genes


def test_every_claim_is_found_again_by_its_query(store: Store, small_graph: Graph) -> None:
    names = {query.name for query in list_queries()}
    cell = str(small_graph.nodes["Cell"]["key"].iloc[0])
    for found in (explain_state(store, "S1"), explain_cell(store, cell)):
        assert len(found.claims) > 5
        for row in found.claims.itertuples():
            parameters = json.loads(row.parameters)
            assert row.query in names
            assert len(run_query(store, row.query, **parameters)), row


def test_text_names_evidence_and_queries(store: Store, folder: Path) -> None:
    found = explain_state(store, "S1", n_genes=3)
    text = str(found)
    assert text == found.to_markdown() == str(explain_state(folder, "S1", n_genes=3))
    assert text.startswith("# State blood_pbmc68k_700:S1\n")
    for part in ("## Markers", "Null: ", "expression q ", "cells", "## Edges behind it"):
        assert part in text
    marker = found.frames["evidence"].iloc[0]
    assert f"- {marker['symbol']}: " in text
    assert f"`marker_evidence` with group='blood_pbmc68k_700:S1', gene='{marker['gene']}'" in text


def test_command_prints_the_same_text(
    folder: Path, small_graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = str(small_graph.nodes["Cell"]["key"].iloc[0])
    for given, text in (
        (("--state", "S1", "--genes", "3"), explain_state(folder, "S1", n_genes=3)),
        (("--cell", cell), explain_cell(folder, cell)),
    ):
        assert run(capsys, "explain", "--graph", folder, *given)[:2] == (0, str(text))
    for given, told in (((), "neither --cell nor"), (("--cell", "a", "--state", "b"), "both")):
        code, out, said = run(capsys, "explain", "--graph", folder, *given)
        assert (code, out) == (2, "")
        assert told in said


def test_signals_of_a_state_are_told(tmp_path: Path) -> None:
    graph = toy_graph()
    with open_store(tmp_path / "toy.kg", mode="w") as store:
        store.write(graph)
        found = explain_state(store, "alpha:S1")
    talks = table(graph, "State", "COMMUNICATES_WITH", "State")
    mine = talks[(talks["source_key"] == "alpha:S1") | (talks["target_key"] == "alpha:S1")]
    assert sorted(found.frames["signals"]["ligand"]) == sorted(mine["ligand"])
    told = found.claims[found.claims["section"] == "Ligands and receptors"]
    assert len(told) == (mine["verdict"] == "supported").sum() > 0


def test_nothing_of_that_name(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such state.*expected.*blood_pbmc68k_700:S1"):
        explain_state(store, "S99")
    with pytest.raises(InputError, match=r"'none' was given and no cell.*expected the key"):
        explain_cell(store, "none")
    with pytest.raises(InputError, match="no such state"):
        explain_state(store, "S1", dataset="other")
    with pytest.raises(InputError):
        explain_state(tmp_path / "nowhere.kg", "S1")


def test_name_of_two_data_sets(small_graph: Graph, tmp_path: Path) -> None:
    graph = toy_graph()
    name = str(graph.nodes["State"]["name"].iloc[0])
    other = toy_graph(dataset="other")
    with open_store(tmp_path / "two.kg", mode="w") as store:
        store.write(graph)
        store.write(other)
        with pytest.raises(InputError, match=r"2 states have that name.*give a key"):
            explain_state(store, name)
        key = str(other.nodes["State"]["key"].iloc[0])
        assert explain_state(store, key).key == key
        assert explain_state(store, name, dataset="other").key == key
        barcode = str(graph.nodes["Cell"]["barcode"].iloc[0])
        with pytest.raises(InputError, match="2 cells have that barcode"):
            explain_cell(store, barcode)
        assert explain_cell(store, barcode, dataset="other").frames["cell"]["dataset"][0] == "other"
