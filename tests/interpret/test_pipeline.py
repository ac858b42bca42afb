"""The main job on real data."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from neo4j_server.server import Server, empty

from scypher.encoders import encode
from scypher.interpret.options import Options
from scypher.interpret.pipeline import build, build_tables
from scypher.kg import Graph, list_queries, run_query
from scypher.kg.stores import Store, open_store

SMALL = "blood_pbmc68k_700"


@pytest.fixture
def neo4j_login(neo4j_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty Neo4j server, with the login in the environment."""
    monkeypatch.setenv("SCYPHER_NEO4J_USER", neo4j_server.user)
    monkeypatch.setenv("SCYPHER_NEO4J_PASSWORD", neo4j_server.password)
    empty(neo4j_server)
    yield neo4j_server.address
    empty(neo4j_server)


def _top(graph: Graph, label: str, limit: int = 10) -> list[str]:
    edges = graph.with_keys(("CellType", "MARKED_BY", "Gene"))
    edges = edges[(edges["source"] == f"cell_type:{label}") & (edges["rank"] <= limit)]
    symbols = graph.nodes["Gene"].set_index("key")["symbol"]
    return [symbols[key] for key in edges.sort_values("rank")["target"]]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("B", {"CD79A", "MS4A1"}),
        ("NK", {"GNLY", "NKG7"}),
        ("CD14+ monocyte", {"LYZ"}),
        ("Platelet", {"PPBP", "PF4"}),
    ],
)
def test_known_markers_are_in_the_top_ten(
    pbmc3k_graph: Graph, label: str, expected: set[str]
) -> None:
    top = _top(pbmc3k_graph, label)
    assert expected <= set(top), top
    if label == "CD14+ monocyte":
        assert {"S100A8", "S100A9"} & set(top), top


def test_every_claim_has_evidence(pbmc3k_graph: Graph) -> None:
    for key in pbmc3k_graph.edges:
        frame = pbmc3k_graph.edges[key]
        for column in ("p", "q", "attention_p", "attention_q", "expression_p"):
            if column in frame and key[1] != "CO_REGULATED_WITH":
                assert frame[column].between(0, 1, inclusive="right").all(), (key, column)
        if "null" in frame:
            assert (frame["null"] != "").all()
            assert (frame["n_cells"] > 0).all()


def test_shuffled_labels_give_no_markers(data_dir: Path) -> None:
    data = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")
    rng = np.random.default_rng(5)
    data.obs["cell_type"] = rng.permutation(data.obs["cell_type"].astype(str).to_numpy())
    graph = build_tables(data, options=Options(faithfulness=False))
    edges = graph.edges[("CellType", "MARKED_BY", "Gene")]
    significant = (edges["expression_q"] < 0.05) | (edges["attention_q"] < 0.05)
    assert len(edges) > 100
    assert significant.mean() <= 0.05
    assert edges[["p", "attention_p"]].to_numpy().min() > 0


def test_same_seed_gives_the_same_bytes(
    data_dir: Path, small_graph: Graph, small_options: Options, tmp_path: Path
) -> None:
    again = build_tables(data_dir / f"{SMALL}.h5ad", options=small_options)
    small_graph.to_parquet(tmp_path / "a")
    again.to_parquet(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    different = [
        name
        for name in names
        if (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()
    ]
    assert not different


def test_an_encoded_file_is_not_encoded_again(
    data_dir: Path, small_graph: Graph, small_options: Options, tmp_path: Path
) -> None:
    encode(str(data_dir / f"{SMALL}.h5ad")).write_h5ad(tmp_path / f"{SMALL}.h5ad")
    graph = build_tables(tmp_path / f"{SMALL}.h5ad", options=small_options)
    assert "the encoding found in the data was used" in graph.nodes["Dataset"]["notes"].iloc[0]
    for label in ("Code", "State", "Gene"):
        pd.testing.assert_frame_equal(graph.nodes[label], small_graph.nodes[label])


@pytest.mark.parametrize("engine", ["embedded", "neo4j"])
def test_building_twice_changes_nothing(
    data_dir: Path,
    small_options: Options,
    tmp_path: Path,
    engine: str,
    request: pytest.FixtureRequest,
) -> None:
    embedded = engine == "embedded"
    address = str(tmp_path / "a.kg") if embedded else request.getfixturevalue("neo4j_login")
    first = build(data_dir / f"{SMALL}.h5ad", graph=address, options=small_options)
    before = _answers(address)
    second = build(data_dir / f"{SMALL}.h5ad", graph=address, options=small_options)
    assert first.written.changed
    assert not second.written.changed
    assert first.written.counts == second.written.counts
    assert before == _answers(address)


def _answers(address: str) -> dict[str, str]:
    with open_store(address) as store:
        return {name: frame.to_json() for name, frame in _ask_everything(store, SMALL, "CD19+ B")}


def _ask_everything(store: Store, dataset: str, label: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Run every query with arguments that it has an answer for."""
    genes = run_query(store, "markers", group=label, limit=2)["symbol"].tolist()
    pairs = run_query(store, "genes_of_module", module=f"{dataset}:M1")["symbol"].tolist()
    cell = run_query(store, "cell_map", dataset=dataset)["cell"].iloc[0]
    between = run_query(store, "intermediate_states", dataset=dataset)
    sets = run_query(store, "state_enrichment", group=label)["gene_set"].tolist()
    codes = store.query("MATCH (k:Code) RETURN k.key AS code ORDER BY code LIMIT 1")
    choice: dict[str, Any] = {
        "group": label,
        "state": f"{dataset}:S1",
        "source": f"{dataset}:S1",
        "target": f"{dataset}:S2",
        "gene": genes[0],
        "module": f"{dataset}:M1",
        "cell": cell,
        "code": codes["code"].iloc[0],
        "text": genes[0],
        "dataset": dataset,
        "limit": 20,
    }
    for query in list_queries():
        names = [parameter.name for parameter in query.parameters]
        given = {name: choice[name] for name in names if name in choice}
        if query.name == "gene_path":
            given |= {"first": pairs[0], "second": pairs[1]}
        elif "first" in names:
            given |= {"first": "CD8 T", "second": "NK"}
        if query.name == "find_gene_sets" and sets:
            given["text"] = sets[0]
        if query.name == "modules_of_gene":
            given["gene"] = pairs[0]
        if query.name == "path_genes" and len(between):
            given["state"] = between["state"].iloc[0]
        yield query.name, run_query(store, query.name, **given)


def test_both_stores_hold_and_answer_the_same(
    pbmc3k_graph: Graph, tmp_path: Path, neo4j_login: str
) -> None:
    name = "blood_pbmc3k"
    with open_store(tmp_path / "a.kg", mode="w") as embedded:
        embedded.write(pbmc3k_graph)
        counts, answers = embedded.counts(), dict(_ask_everything(embedded, name, "B"))
    with open_store(neo4j_login, mode="w") as server:
        server.write(pbmc3k_graph)
        assert server.counts() == counts == pbmc3k_graph.counts()
        others = dict(_ask_everything(server, name, "B"))
    # All cells of this data set are of one donor and condition: nothing to attend to or compare.
    # No tables of ligands and receptors, or of regulons, were given.
    assert [query for query, frame in answers.items() if frame.empty] == [
        "communication",
        "pair_communication",
        "regulation",
        "regulators",
        "shift_enrichment",
        "shifted_genes",
        "state_abundance",
        "state_attention",
    ]
    for query, frame in answers.items():
        # The time of writing is the only thing that may differ.
        columns = [column for column in frame if column != "time"]
        pd.testing.assert_frame_equal(frame[columns], others[query][columns], obj=query)


@pytest.fixture(scope="module")
def kang_graph(data_dir: Path) -> Graph:
    """Graph of blood cells of eight donors, each with and without interferon beta."""
    gene_sets = (data_dir / "knowledge" / "genesets_hallmark.gmt",)
    options = Options(gene_sets=gene_sets, faithfulness=False)
    return build_tables(data_dir / "blood_kang_ifnb.h5ad", name="kang", options=options)


def test_donors_of_kang_are_counted(kang_graph: Graph) -> None:
    edges = kang_graph.edges[("CellType", "MARKED_BY", "Gene")]
    assert edges["n_donors"].max() == 8
    assert (edges["donors_agreeing"] <= edges["n_donors"]).all()
    assert ("State", "ATTENDS_TO", "Condition") in kang_graph.edges
    assert set(kang_graph.nodes["Condition"]["label"]) >= {"control"}
    labels = set(kang_graph.nodes["State"]["label_outcome"])
    assert labels <= {"label", "ambiguous", "abstain"}


def test_interferon_shifts_its_genes_and_their_set(kang_graph: Graph) -> None:
    shifts = kang_graph.with_keys(("CellType", "SHIFTS", "Gene"))
    symbols = kang_graph.nodes["Gene"].set_index("key")["symbol"]
    shifts = shifts.assign(symbol=symbols.loc[shifts["target"]].to_numpy())
    types = shifts["source"].nunique()
    assert types >= 8
    for gene in ("ISG15", "IFI6", "MX1"):
        found = shifts[(shifts["symbol"] == gene) & (shifts["rank"] <= 25) & (shifts["q"] < 0.05)]
        assert found["source"].nunique() == types, gene
        assert (found["log2_fold_change"] > 1).all()
    assert (shifts[shifts["symbol"] == "ISG15"]["rank"] <= 5).all()
    sets = kang_graph.with_keys(("CellType", "ENRICHED_IN", "GeneSet"))
    risen = sets[sets["of"].str.startswith("genes that rise from control")]
    best = risen.sort_values("odds_ratio", ascending=False).groupby("source").head(1)
    assert best["target"].str.endswith("INTERFERON_ALPHA_RESPONSE").mean() >= 0.9


def test_conditions_that_are_one_batch_are_told_apart_by_paired_donors_only(
    kang_graph: Graph,
) -> None:
    shifts = kang_graph.edges[("CellType", "SHIFTS", "Gene")]
    paired = shifts["n_donors"] > 0
    assert shifts.loc[paired, "null"].str.contains("each condition was one batch").all()
    notes = kang_graph.nodes["Dataset"]["notes"].iloc[0]
    assert "abundance of states by condition: not possible" in notes


def test_attention_within_cells_is_stored_as_associated(data_dir: Path) -> None:
    options = Options(attention="clique")
    graph = build_tables(data_dir / f"{SMALL}.h5ad", options=options)
    marked = graph.edges[("CellType", "MARKED_BY", "Gene")]
    assert set(marked["attention_says"]) == {"associated"}
    assert (marked["attention_q"] < 0.05).any()
    record = json.loads(graph.nodes["Dataset"]["faithfulness"].iloc[0])
    assert record["verdict"] == "associated"
    assert record["training"]["epoch"][0] == 1
    assert sum(record["training"]["kept"]) == 1
    assert "it is only associated" in graph.nodes["Dataset"]["notes"].iloc[0]


def test_signals_and_regulators_come_from_resources(data_dir: Path, small_options: Options) -> None:
    knowledge = data_dir / "knowledge"
    options = replace(
        small_options,
        ligand_receptor=knowledge / "lr_liana_consensus.tsv.gz",
        regulons=(knowledge / "regulons_collectri.tsv.gz",),
    )
    graph = build_tables(data_dir / f"{SMALL}.h5ad", options=options)
    talk = graph.with_keys(("State", "COMMUNICATES_WITH", "State"))
    assert talk["q"].between(0, 0.05, inclusive="neither").all()
    assert not talk.duplicated(["source", "target", "ligand", "receptor"]).any()
    acts = graph.edges[("Gene", "REGULATES", "Gene")]
    symbols = graph.nodes["Gene"]["symbol"].to_numpy()
    known = (symbols[acts["source"]] == "SPI1") & (symbols[acts["target"]] == "MNDA")
    assert acts.loc[known, "sign"].tolist() == [1]
    assert acts.loc[known, "sign_agrees"].tolist() == ["yes"]
    parameters = json.loads(graph.nodes["Dataset"]["parameters"].iloc[0])
    assert list(parameters["regulons"]) == ["regulons_collectri"]
    assert list(parameters["ligand_receptor"]) == ["lr_liana_consensus"]
