import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.base import Encoding
from scypher.encoders.cells import Cells
from scypher.kg.attention import GraphAttention
from scypher.kg.build import (
    MIN_DETECTED,
    TOP_ATTENDED,
    TOP_EXPRESSED,
    Parts,
    add_claims,
    build_graph,
    code_key,
    metadata_key,
    to_json,
)
from scypher.kg.evidence import Source, with_evidence
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.metadata import Metadata
from scypher.kg.neighbours import Neighbours
from scypher.kg.states import States

N_CELLS, N_GENES = 60, 100
HASH = "0123456789abcdef" * 4
MITOCHONDRIAL = [2, 3, 97]
PROPERTIES = {
    "content_hash": "c" * 64,
    "encoder": "toy",
    "parameters": "{}",
    "quality": "{}",
    "faithfulness": "{}",
    "notes": "[]",
    "code_version": "0",
}


def csr(dense: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix(dense.astype(np.float32))


def toy_states(codes: np.ndarray) -> States:
    """S1 of codes 0, 1, 2 with S1.1 (0, 1) and S1.2 (2) inside; S2 of codes 4, 5."""
    rows = {0: [0, 2], 1: [0, 2], 2: [0, 3], 4: [1], 5: [1]}
    cell = np.array([(*rows[code], -1)[:2] for code in codes])
    sizes = [int((cell == row).sum()) for row in range(4)]
    table = pd.DataFrame(
        {
            "name": ["S1", "S2", "S1.1", "S1.2"],
            "level": [1, 1, 2, 2],
            "parent": [-1, -1, 0, 0],
            "size": sizes,
            "stability": [0.9, 0.8, 0.7, np.nan],
        }
    )
    joined = np.zeros((4, 4))
    joined[0, 1] = joined[1, 0] = 0.25
    joined[2, 3] = joined[3, 2] = 1.5
    return States(table, cell, rows, sparse.csr_matrix(joined))


def toy_parts(name: str = "toy", seed: int = 0) -> Parts:
    rng = np.random.default_rng(seed)
    # Few values, so that ranks have ties; some genes are in few cells.
    chance = np.sqrt(np.linspace(0.001, 1, N_GENES))
    dense = rng.integers(1, 5, (N_CELLS, N_GENES)) * (rng.random((N_CELLS, N_GENES)) < chance)
    dense[:, 0] = 0
    dense[0, 0] = 3
    codes = np.array([0, 1, 2, 4, 5])[rng.integers(0, 5, N_CELLS)]
    gene_class = np.array(["protein_coding"] * N_GENES, dtype=object)
    gene_class[MITOCHONDRIAL] = "mitochondrial"
    ids = [f"ENSG{number:011d}" if number % 7 else "" for number in range(N_GENES)]
    genes = pd.DataFrame(
        {
            "name": [f"g{number}" for number in range(N_GENES)],
            "key": [text or f"symbol:g{number}" for number, text in enumerate(ids)],
            "ensembl_id": ids,
            "symbol": [f"G{number}" for number in range(N_GENES)],
            "gene_class": gene_class,
            "how": "symbol",
        }
    )
    obs = pd.DataFrame(index=[f"c{number}" for number in range(N_CELLS)])
    cells = Cells(AnnData(csr(dense), obs=obs), csr(dense), genes, [], "toy.h5ad")
    embedding = rng.normal(size=(N_GENES, 3)).astype(np.float32)
    embedding[5] = 0
    encoding = Encoding(
        code=codes,
        second=(codes + 1) % 6,
        probability=rng.random(N_CELLS).astype(np.float32),
        entropy=rng.random(N_CELLS).astype(np.float32),
        embedding=rng.normal(size=(N_CELLS, 4)).astype(np.float32),
        gene_embedding=embedding,
        attention=csr(rng.random(dense.shape) * (rng.random(dense.shape) < 0.2)),
        codebook=rng.normal(size=(6, 3)).astype(np.float32),
        bits=[f"{number:03b}" for number in range(6)],
        weights_hash=HASH,
        parameters={},
    )
    donor = np.append(rng.integers(0, 3, N_CELLS - 4), [-1] * 4)
    label = np.append([-1] * 3, rng.integers(0, 2, N_CELLS - 3))
    metadata = {
        "cell_type": Metadata("cell_type", "cell_type", label, ["B", "T"], ["CL:0000236", ""]),
        "donor": Metadata("donor", "donor", donor, ["1", "2", "3"], [""] * 3),
        "tissue": Metadata("tissue", "tissue", np.zeros(N_CELLS, int), ["blood"], [""]),
    }
    attention = GraphAttention(
        genes=csr(3 * rng.random(dense.shape) * (rng.random(dense.shape) < 0.2)),
        metadata={
            field: np.where(metadata[field].values >= 0, rng.random(N_CELLS), np.nan).astype(
                np.float32
            )
            for field in ("cell_type", "donor")
        },
        embedding=rng.normal(size=(N_CELLS, 4)).astype(np.float32),
        history=pd.DataFrame(),
    )
    neighbours = Neighbours(sparse.csr_matrix((N_CELLS, N_CELLS)), rng.normal(size=(N_CELLS, 2)))
    return Parts(
        name,
        cells,
        encoding,
        metadata,
        toy_states(codes),
        neighbours,
        attention,
        properties=PROPERTIES,
    )


@pytest.fixture(scope="module")
def parts() -> Parts:
    return toy_parts()


@pytest.fixture(scope="module")
def graph(parts: Parts) -> Graph:
    return build_graph(parts)


def expression(parts: Parts) -> np.ndarray:
    """Return log1p of counts per 10,000, dense."""
    dense = parts.cells.counts.toarray().astype(np.float64)
    return np.asarray(np.log1p(dense * 1e4 / dense.sum(axis=1, keepdims=True)))


def by_ends(frame: pd.DataFrame) -> dict[tuple[int, int], Any]:
    """Return the rows of an edge table by their ends."""
    return {(row.source, row.target): row for row in frame.itertuples(index=False)}


def in_state(parts: Parts, state: int) -> np.ndarray:
    return np.asarray((parts.states.cell == state).any(axis=1))


def test_tables_are_those_that_the_parts_fill(graph: Graph) -> None:
    shared = {"Code", "Gene", "CellType", "Donor", "Tissue"}
    assert set(graph.nodes) == {"Dataset", "Cell", "State"} | shared
    assert set(graph.edges) == {
        ("Dataset", "MEASURES", "Gene"),
        ("Cell", "HAS_CODE", "Code"),
        ("Cell", "IN_STATE", "State"),
        ("Code", "IN_STATE", "State"),
        ("State", "PART_OF", "State"),
        ("State", "CONNECTED_TO", "State"),
        ("Cell", "EXPRESSES", "Gene"),
        ("State", "EXPRESSES", "Gene"),
        ("Cell", "ATTENDS_TO", "Gene"),
        ("Cell", "ANNOTATED_AS", "CellType"),
        ("Cell", "FROM_DONOR", "Donor"),
        ("Cell", "FROM_TISSUE", "Tissue"),
    }


def test_dataset_says_what_was_read(graph: Graph) -> None:
    row = graph.nodes["Dataset"].iloc[0].to_dict()
    assert row == PROPERTIES | {
        "key": "toy",
        "source": "toy.h5ad",
        "encoder_hash": HASH,
        "n_cells": N_CELLS,
        "n_genes": N_GENES,
        "excluded_donors": [],
        "stale": "",
    }
    assert graph.edges[("Dataset", "MEASURES", "Gene")]["target"].tolist() == list(range(N_GENES))


def test_cells_have_their_sums_shares_and_places(parts: Parts, graph: Graph) -> None:
    found, dense = graph.nodes["Cell"], parts.cells.counts.toarray()
    for number in range(N_CELLS):
        row, counts = found.iloc[number], dense[number]
        assert (row["key"], row["barcode"]) == (f"toy:c{number}", f"c{number}")
        assert row["dataset"] == "toy"
        assert row["library_size"] == counts.sum()
        assert row["n_genes"] == (counts > 0).sum()
        share = sum(counts[gene] for gene in MITOCHONDRIAL) / counts.sum()
        assert row["mitochondrial"] == pytest.approx(share)
    assert 0 < found["mitochondrial"].max() <= 1
    np.testing.assert_array_equal(found[["x", "y"]], parts.neighbours.layout)


def test_cells_of_data_without_mitochondrial_genes_have_a_share_of_zero(parts: Parts) -> None:
    genes = parts.cells.genes.assign(gene_class="protein_coding")
    plain = build_graph(replace(parts, cells=replace(parts.cells, genes=genes)))
    assert set(plain.nodes["Cell"]["mitochondrial"]) == {0.0}


def test_codes_in_use_have_keys_from_the_weights(parts: Parts, graph: Graph) -> None:
    codes, encoding = graph.nodes["Code"], parts.encoding
    assert codes["index"].tolist() == [0, 1, 2, 4, 5]
    assert codes["key"].tolist() == [f"0123456789ab:{index}" for index in (0, 1, 2, 4, 5)]
    assert codes["bits"].tolist() == ["000", "001", "010", "100", "101"]
    for row in codes.itertuples():
        np.testing.assert_allclose(row.vector, encoding.codebook[row.index], atol=1e-5)
        assert row.usage == pytest.approx(np.mean(encoding.code == row.index))
    assert codes["usage"].sum() == pytest.approx(1)


def test_cells_have_the_code_that_the_encoder_gave(parts: Parts, graph: Graph) -> None:
    found = graph.edges[("Cell", "HAS_CODE", "Code")]
    assert found["source"].tolist() == list(range(N_CELLS))
    index = graph.nodes["Code"]["index"].to_numpy()[found["target"]]
    np.testing.assert_array_equal(index, parts.encoding.code)
    np.testing.assert_array_equal(found["second"], parts.encoding.second)
    np.testing.assert_array_equal(found["probability"], parts.encoding.probability)
    np.testing.assert_array_equal(found["entropy"], parts.encoding.entropy)


def test_genes_keep_their_order_and_unread_ones_have_no_embedding(
    parts: Parts, graph: Graph
) -> None:
    found = graph.nodes["Gene"]
    for column in ("key", "symbol", "ensembl_id", "gene_class"):
        assert found[column].tolist() == parts.cells.genes[column].tolist()
    assert [number for number, vector in enumerate(found["embedding"]) if vector is None] == [5]
    np.testing.assert_allclose(found["embedding"][7], parts.encoding.gene_embedding[7], atol=1e-5)


def test_states_count_their_donors_and_name_their_commonest_label(
    parts: Parts, graph: Graph
) -> None:
    found = graph.nodes["State"]
    assert found["key"].tolist() == ["toy:S1", "toy:S2", "toy:S1.1", "toy:S1.2"]
    assert found["level"].tolist() == [1, 1, 2, 2]
    label, donor = parts.metadata["cell_type"], parts.metadata["donor"]
    for state in range(4):
        row, inside = found.iloc[state], in_state(parts, state)
        assert row["size"] == inside.sum()
        assert row["n_donors"] == len(set(donor.values[inside]) - {-1})
        counts = [int((label.values[inside] == value).sum()) for value in range(2)]
        assert row["label"] == label.labels[int(np.argmax(counts))]
        # Cells without a label count in the size.
        assert row["label_share"] == pytest.approx(max(counts) / inside.sum())


def test_a_state_points_to_the_mean_of_its_cells(parts: Parts, graph: Graph) -> None:
    for state, found in enumerate(graph.nodes["State"]["embedding"]):
        mean = parts.encoding.embedding[in_state(parts, state)].mean(axis=0)
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
    nowhere = replace(parts.encoding, embedding=np.zeros_like(parts.encoding.embedding))
    assert build_graph(replace(parts, encoding=nowhere)).nodes["State"]["embedding"].isna().all()


def test_states_without_labels_and_donors_say_so(parts: Parts) -> None:
    found = build_graph(replace(parts, metadata={})).nodes["State"]
    assert set(found["label"]) == {""}
    assert set(found["label_share"]) == {0.0}
    assert set(found["n_donors"]) == {0}
    assert set(found["label_outcome"]) == {"not tested"}
    assert found["label_set"].tolist() == [[]] * 4


def test_states_carry_their_stability_and_conformal_labels(parts: Parts) -> None:
    labels = pd.DataFrame(
        {
            "label_set": [["T", "B"], ["B"], ["B"], []],
            "confidence": [0.4, 0.9, 0.8, 0.0],
            "outcome": ["ambiguous", "label", "label", "abstain"],
        }
    )
    found = build_graph(replace(parts, labels=labels)).nodes["State"]
    assert found["label_set"].tolist() == [["B", "T"], ["B"], ["B"], []]
    assert found["label_confidence"].tolist() == [0.4, 0.9, 0.8, 0.0]
    assert found["label_outcome"].tolist() == ["ambiguous", "label", "label", "abstain"]
    assert found["stability"].tolist()[:3] == [0.9, 0.8, 0.7]


def test_state_whose_cells_have_no_label_has_none(parts: Parts) -> None:
    label = parts.metadata["cell_type"]
    values = np.where(in_state(parts, 1), -1, label.values)
    metadata = parts.metadata | {"cell_type": replace(label, values=values)}
    found = build_graph(replace(parts, metadata=metadata)).nodes["State"]
    assert (found["label"][1], found["label_share"][1]) == ("", 0.0)
    assert found["label"][0] in label.labels


def test_membership_holds_both_levels(parts: Parts, graph: Graph) -> None:
    cells = graph.edges[("Cell", "IN_STATE", "State")]
    expected = {
        (cell, int(state))
        for cell in range(N_CELLS)
        for state in parts.states.cell[cell]
        if state >= 0
    }
    assert set(by_ends(cells)) == expected
    codes = graph.edges[("Code", "IN_STATE", "State")]
    assert set(by_ends(codes)) == {(0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 3), (3, 1), (4, 1)}
    assert set(by_ends(graph.edges[("State", "PART_OF", "State")])) == {(2, 0), (3, 0)}


def test_connections_are_stored_once_from_the_lower_key(graph: Graph) -> None:
    found = graph.with_keys(("State", "CONNECTED_TO", "State"))
    assert found.sort_values("source").to_numpy().tolist() == [
        ["toy:S1", "toy:S2", 0.25, ""],
        ["toy:S1.1", "toy:S1.2", 1.5, ""],
    ]


def test_top_expressed_genes_of_each_cell(parts: Parts, graph: Graph) -> None:
    found, dense = graph.edges[("Cell", "EXPRESSES", "Gene")], expression(parts)
    rows = by_ends(found)
    truncated = 0
    for cell in range(N_CELLS):
        ranked = sorted(np.flatnonzero(dense[cell]), key=lambda gene: (-dense[cell, gene], gene))
        truncated += len(ranked) > TOP_EXPRESSED
        top = ranked[:TOP_EXPRESSED]
        assert {gene for source, gene in rows if source == cell} == set(top)
        for rank, gene in enumerate(top, start=1):
            row = rows[(cell, gene)]
            assert row.rank == rank
            assert row.value == pytest.approx(dense[cell, gene], rel=1e-5)
    # Cells on both sides of the bound.
    assert truncated > 0
    assert found.groupby("source").size().max() == TOP_EXPRESSED


def test_cell_of_few_genes_keeps_them_all(parts: Parts) -> None:
    dense = parts.cells.counts.toarray()
    dense[4, 3:] = 0
    dense[4, :3] = [0, 1, 5]
    cells = replace(parts.cells, counts=csr(dense))
    found = build_graph(replace(parts, cells=cells)).edges[("Cell", "EXPRESSES", "Gene")]
    rows = found[found["source"] == 4]
    assert dict(zip(rows["target"], rows["rank"], strict=True)) == {1: 2, 2: 1}


def test_expression_of_states(parts: Parts, graph: Graph) -> None:
    rows = by_ends(graph.edges[("State", "EXPRESSES", "Gene")])
    dense = expression(parts)
    kept = 0
    for state in range(4):
        inside = in_state(parts, state)
        for gene in range(N_GENES):
            detected = (dense[inside, gene] > 0).mean()
            assert ((state, gene) in rows) == (detected >= MIN_DETECTED)
            if (state, gene) in rows:
                kept += 1
                row = rows[(state, gene)]
                assert row.mean == pytest.approx(dense[inside, gene].mean(), rel=1e-5)
                assert row.detected == pytest.approx(detected)
                assert row.n == inside.sum()
    assert kept == len(rows) < 4 * N_GENES


def test_top_attended_genes_of_each_cell(parts: Parts, graph: Graph) -> None:
    rows = by_ends(graph.edges[("Cell", "ATTENDS_TO", "Gene")])
    encoder, network = parts.encoding.attention.toarray(), parts.attention.genes.toarray()
    larger = np.maximum(encoder, network)
    for cell in range(N_CELLS):
        ranked = sorted(np.flatnonzero(larger[cell]), key=lambda gene: (-larger[cell, gene], gene))
        top = ranked[:TOP_ATTENDED]
        assert len(ranked) > TOP_ATTENDED == len(top)
        assert {gene for source, gene in rows if source == cell} == set(top)
        for gene in top:
            row = rows[(cell, gene)]
            for given, dense in ((row.encoder, encoder), (row.graph, network)):
                # What one of both does not attend to is unknown there, not 0.
                value = dense[cell, gene] if dense[cell, gene] > 0 else np.nan
                assert given == pytest.approx(value, nan_ok=True)
    frame = graph.edges[("Cell", "ATTENDS_TO", "Gene")]
    unknown = frame[["encoder", "graph"]].isna()
    assert unknown.any().all()
    assert not unknown.all(axis=1).any()


def test_cells_that_attend_to_nothing_have_no_such_edge(parts: Parts) -> None:
    none = sparse.csr_matrix((N_CELLS, N_GENES), dtype=np.float32)
    silent = replace(
        parts,
        encoding=replace(parts.encoding, attention=none),
        attention=replace(parts.attention, genes=none),
    )
    assert ("Cell", "ATTENDS_TO", "Gene") not in build_graph(silent).edges


def test_metadata_of_cells_leaves_unknown_values_out(parts: Parts, graph: Graph) -> None:
    for field, key in {
        "cell_type": ("Cell", "ANNOTATED_AS", "CellType"),
        "donor": ("Cell", "FROM_DONOR", "Donor"),
        "tissue": ("Cell", "FROM_TISSUE", "Tissue"),
    }.items():
        values = parts.metadata[field].values
        expected = {(cell, value) for cell, value in enumerate(values) if value >= 0}
        assert set(by_ends(graph.edges[key])) == expected


def test_metadata_keys_are_ontology_terms_else_names(graph: Graph) -> None:
    assert graph.nodes["CellType"].to_dict("list") == {
        "key": ["CL:0000236", "cell_type:T"],
        "label": ["B", "T"],
        "ontology_id": ["CL:0000236", ""],
    }
    assert graph.nodes["Donor"]["key"].tolist() == ["donor:toy:1", "donor:toy:2", "donor:toy:3"]
    assert graph.nodes["Tissue"]["key"].tolist() == ["tissue:blood"]


def test_data_sets_share_genes_codes_and_cell_types_but_no_donors(graph: Graph) -> None:
    other = build_graph(toy_parts("other", seed=1))
    merged = graph.merge(other)
    for label in ("Gene", "Code", "CellType", "Tissue"):
        assert len(merged.nodes[label]) == len(graph.nodes[label])
    for label in ("Donor", "Cell", "State"):
        assert len(merged.nodes[label]) == 2 * len(graph.nodes[label])


@pytest.mark.parametrize("field", ["donor", "batch"])
def test_donors_and_batches_are_never_shared(field: str) -> None:
    assert metadata_key(field, "a", "1", "") == f"{field}:a:1"
    assert metadata_key(field, "a", "1", "X:1") != metadata_key(field, "b", "1", "X:1")


def test_keys_of_other_metadata_do_not_name_the_data_set() -> None:
    assert metadata_key("disease", "a", "lupus", "") == "disease:lupus"
    assert metadata_key("disease", "a", "lupus", "MONDO:0007915") == "MONDO:0007915"
    assert code_key(HASH, 17) == "0123456789ab:17"


def test_same_parts_give_the_same_graph(graph: Graph) -> None:
    assert build_graph(toy_parts()).content_hash() == graph.content_hash()


def test_claims_are_added_beside_what_is_there(graph: Graph) -> None:
    key: EdgeKey = ("Gene", "CO_REGULATED_WITH", "Gene")
    columns = ["correlation", "correlation_z", "correlation_q", "attention", "attention_z"]
    frame = pd.DataFrame({"source": [0], "target": [1], "context": "all"}).assign(
        **dict.fromkeys([*columns, "attention_q"], 0.5)
    )
    claims = with_evidence(
        frame,
        Source("toy", "c" * 64, HASH),
        effect=np.array([0.5]),
        p=np.array([0.01]),
        q=np.array([0.02]),
        n_cells=N_CELLS,
        n_donors=3,
        null="none",
        method="toy",
    )
    before = graph.content_hash()
    empty = frame.iloc[:0]
    found = add_claims(
        graph, {"Module": empty}, {key: claims, ("Gene", "MEMBER_OF", "Module"): empty}
    )
    assert graph.content_hash() == before
    assert set(found.edges) == {*graph.edges, key}
    assert set(found.nodes) == set(graph.nodes)
    assert found.edges[key]["q"].tolist() == [0.02]


def test_json_is_the_same_for_equal_values() -> None:
    assert to_json({"b": 1, "a": ["é"]}) == to_json({"a": ["é"], "b": 1}) == '{"a": ["é"], "b": 1}'
    assert json.loads(to_json({"x": None})) == {"x": None}
