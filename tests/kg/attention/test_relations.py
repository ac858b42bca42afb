from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attention.toys import GENES, GROUPS, SMALL, batch_of, planted, run
from scipy.sparse import csr_matrix, random_array

from scypher.encoders.errors import InputError
from scypher.kg.attention import Relations, batches, model, training
from scypher.kg.attention.trained import TrainedNetwork

N_CELLS, K = 400, 6


def neighbours(group: np.ndarray[Any, Any], seed: int = 0) -> csr_matrix:
    """Six other cells each, the first of the own group, the rest of any; in random order."""
    rng = np.random.default_rng(seed)
    n_cells = len(group)
    chosen = np.empty((n_cells, K), int)
    for cell in range(n_cells):
        others = np.delete(np.arange(n_cells), cell)
        own = rng.choice(others[group[others] == group[cell]])
        chosen[cell] = [own, *rng.choice(np.delete(others, others == own), K - 1, replace=False)]
    weights = rng.uniform(0.1, 1, chosen.size)
    return csr_matrix((weights, chosen.ravel(), np.arange(0, chosen.size + 1, K)))


def linked(rng: np.random.Generator) -> csr_matrix:
    weights = random_array((GENES, GENES), density=0.05, rng=rng, format="csr")
    weights.data = rng.normal(size=weights.nnz)
    return csr_matrix(weights)


@pytest.fixture(scope="module")
def toy() -> dict[str, Any]:
    return planted()


@pytest.fixture(scope="module")
def relations(toy: dict[str, Any]) -> Relations:
    signals = csr_matrix(np.arange(1.0, 17).reshape(4, 4))
    return Relations(neighbours(toy["codes"]), linked(np.random.default_rng(1)), signals)


def untrained(data: dict[str, Any], relations: Relations, size: int = 32) -> TrainedNetwork:
    graph, _, popularity = batch_of(data, relations)
    config = replace(SMALL, batch_cells=size)
    return TrainedNetwork(graph, model.fresh_network(graph, config, 0), popularity, config)


# what comes back


def test_without_relations_nothing_changes(toy: dict[str, Any]) -> None:
    plain, none, empty = (
        run(toy, relations=given, epochs=1)
        for given in (None, Relations(), Relations(near=csr_matrix((N_CELLS, N_CELLS))))
    )
    np.testing.assert_array_equal(plain.genes.data, none.genes.data)
    np.testing.assert_array_equal(plain.genes.data, empty.genes.data)
    assert plain.near is None
    assert empty.near is not None
    assert empty.near.nnz == 0


def test_attention_to_neighbours_comes_back_as_given(
    toy: dict[str, Any], relations: Relations
) -> None:
    near = relations.near.copy()
    near.data[:] = 0
    near.data[K:] = relations.near.data[K:]  # stored zeros are edges
    result = run(toy, relations=replace(relations, near=near))
    np.testing.assert_array_equal(result.near.indices, near.indices)
    np.testing.assert_array_equal(result.near.indptr, near.indptr)
    np.testing.assert_allclose(result.near.sum(axis=1), K, rtol=1e-5)
    assert (result.near.data > 0).all()
    np.testing.assert_allclose(result.genes.sum(axis=1), 15, rtol=1e-5)


def test_cells_without_neighbours(toy: dict[str, Any], relations: Relations) -> None:
    near = csr_matrix(relations.near[:10], copy=True)
    near.resize(N_CELLS, N_CELLS)
    result = run(toy, relations=Relations(near=near))
    assert result.near.nnz == 10 * K
    assert np.isfinite(result.embedding).all()


def test_neighbours_that_tell_the_code_are_attended() -> None:
    """A third of the cells wear their group in the embedding: only they can tell the others."""
    data = planted()
    rng = np.random.default_rng(2)
    group = data["codes"]
    loud = np.arange(N_CELLS) % 3 == 0
    data["cells"][:, :GROUPS] = 0.1 * data["cells"][:, :GROUPS]
    data["cells"][loud, group[loud]] += 4
    chosen = np.stack(
        [
            rng.permutation(
                np.concatenate(
                    [
                        rng.choice(np.flatnonzero(loud & (group == group[cell])), 2),
                        rng.choice(np.flatnonzero(~loud), 4, replace=False),
                    ]
                )
            )
            for cell in np.flatnonzero(~loud)
        ]
    )
    ends = (np.repeat(np.flatnonzero(~loud), K), chosen.ravel())
    keep = ends[0] != ends[1]
    near = csr_matrix((np.ones(keep.sum()), (ends[0][keep], ends[1][keep])), (N_CELLS, N_CELLS))
    # Without the genes that tell, so that the neighbours must.
    columns = np.where(data["tokens"].indices < GROUPS, GENES - 1, data["tokens"].indices)
    tokens = csr_matrix((data["tokens"].data, columns, data["tokens"].indptr), (N_CELLS, GENES))
    data |= {"tokens": tokens, "metadata": {}}
    config = {"epochs": 12, "patience": 12, "hidden": 16, "heads": 4}
    alone, helped = (run(data, relations=given, **config) for given in (None, Relations(near=near)))
    right = [
        (r.network.code_log_probability().argmax(1) == group)[~loud].mean() for r in (alone, helped)
    ]
    assert right[1] > 0.85
    assert right[1] > right[0] + 0.1
    weight = helped.near.data
    to_loud = loud[helped.near.indices]
    assert weight[to_loud].mean() > 1.2 * weight[~to_loud].mean()


# independence of the batch


def test_a_cell_with_relations_does_not_depend_on_its_batch(
    toy: dict[str, Any], relations: Relations
) -> None:
    whole, *others = (untrained(toy, relations, size).read_all() for size in (400, 37, 7))
    for reading in others:
        np.testing.assert_allclose(reading.genes, whole.genes, atol=1e-5)
        np.testing.assert_allclose(reading.cells, whole.cells, atol=1e-5)
        np.testing.assert_allclose(reading.near, whole.near, atol=1e-5)


# leakage


def test_a_neighbour_brings_nothing_but_its_embedding(
    toy: dict[str, Any], relations: Relations
) -> None:
    cell = 11
    near = np.unique(relations.near[[cell]].indices)
    tokens = toy["tokens"].copy()
    codes, donor, cells = toy["codes"].copy(), toy["metadata"]["donor"].copy(), toy["cells"].copy()
    codes[near], donor[near], cells[near] = 0, 0, 0
    for other in near:
        tokens.data[tokens.indptr[other] : tokens.indptr[other + 1]] *= 5
    network = untrained(toy, relations)
    graph = network.graph
    metadata = {"donor": donor, "batch": toy["metadata"]["batch"]}
    changed, _, _ = batch_of({**toy, "codes": codes, "metadata": metadata}, relations)
    states = {}
    for name, seen in {
        "as given": graph,
        "genes, codes, metadata": replace(
            graph, tokens=tokens, codes=changed.codes, values=changed.values
        ),
        "embedding": replace(graph, cells=cells),
    }.items():
        states[name] = replace(network, graph=seen).read()[2][cell]
    np.testing.assert_allclose(states["genes, codes, metadata"], states["as given"], atol=1e-6)
    assert np.abs(states["embedding"] - states["as given"]).max() > 1e-3


def test_no_target_of_a_step_is_among_its_relations(
    toy: dict[str, Any], relations: Relations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch sees of its relations is the same whatever is hidden from it."""
    seen: list[tuple[Any, Any, batches.Step]] = []
    original = batches.hide

    def recorded(graph: Any, rows: Any, known: Any, **rest: Any) -> batches.Step:
        step = original(graph, rows, known, **rest)
        seen.append((graph, rows, step))
        return step

    monkeypatch.setattr(training, "hide", recorded)
    run(toy, relations=relations, epochs=1)
    for graph, rows, step in seen:
        message = step.messages
        ends = message.near_edges.numpy()
        expected = relations.near[rows]
        np.testing.assert_array_equal(np.bincount(ends[1], minlength=len(rows)), K)
        features = graph.features(expected.indices)
        np.testing.assert_array_equal(message.near_cells.numpy()[ends[0]], features)
        assert not set(message.code_edges[1].tolist()) & set(np.flatnonzero(step.codes >= 0))
        assert len(step.hidden)


# genes and codes


def test_links_refine_the_gene_that_draws_on_another(toy: dict[str, Any]) -> None:
    weights = csr_matrix(([1.0, -2.0], ([7, 9], [30, 31])), shape=(GENES, GENES))
    network = untrained(toy, Relations(links=weights))
    before = network.sources().genes
    with torch.no_grad():
        # A normed state does not see a shift: turn one entry alone.
        network.network.gene_own.weight[network.graph.gene_number[30], 0] += 1
    moved = np.abs(network.sources().genes - before).max(axis=1)
    assert set(np.flatnonzero(moved > 1e-6)) == {7, 30}


def test_the_sign_of_a_link_counts(toy: dict[str, Any]) -> None:
    # With one link a gene attends to it alone: two, so that their weights decide.
    ends = ([7, 7], [30, 31])
    states = [
        untrained(toy, Relations(links=csr_matrix((weights, ends), shape=(GENES, GENES))))
        .sources()
        .genes[7]
        for weights in ([1.0, -2.0], [-1.0, 2.0], [10.0, -20.0])
    ]
    assert np.abs(states[0] - states[1]).max() > 1e-4
    np.testing.assert_allclose(states[0], states[2], atol=1e-6)


def test_links_with_genes_of_no_cell_are_passed_over(toy: dict[str, Any]) -> None:
    tokens = toy["tokens"].tocoo()
    kept = (tokens.col != 20) & (tokens.col != 21)
    tokens = csr_matrix(
        (tokens.data[kept], (tokens.row[kept], tokens.col[kept])), shape=tokens.shape
    )
    links = csr_matrix(([1.0, 1.0, 0.5], ([20, 30, 31], [30, 21, 32])), shape=(GENES, GENES))
    graph, _, _ = batch_of({**toy, "tokens": tokens}, Relations(links=links))
    found = graph.relations.links.tocoo()
    names = np.flatnonzero(graph.gene_number >= 0)
    assert (names[found.row].tolist(), names[found.col].tolist()) == ([31], [32])
    assert found.data.tolist() == [1]
    assert run({**toy, "tokens": tokens}, relations=Relations(links=links), epochs=1)


def test_signals_refine_the_code_that_receives(toy: dict[str, Any]) -> None:
    codes = np.where(toy["codes"] == 0, 2, toy["codes"])  # code 0 occurs in no cell
    scores = csr_matrix(([3.0, 1.0, 2.0], ([1, 1, 0], [2, 3, 3])), shape=(4, 4))
    network = untrained({**toy, "codes": codes}, Relations(signals=scores))
    np.testing.assert_array_equal(network.graph.present_codes, [1, 2, 3])
    assert network.graph.relations.signals.nnz == 2
    before = network.sources().codes
    with torch.no_grad():
        network.network.codebook[2, 0] += 1
    moved = np.abs(network.sources().codes - before).max(axis=1)
    assert (moved > 1e-6).tolist() == [True, False, True]


def test_what_is_asked_of_a_network_knows_its_relations(
    toy: dict[str, Any], relations: Relations
) -> None:
    result = run(toy, relations=relations)
    network = result.network
    rows = np.array([3, 50])
    given = network.code_log_probability(rows=rows)
    np.testing.assert_allclose(np.exp(given).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(network.read()[2], result.embedding, atol=1e-6)
    assert network.attributions(rows, steps=2).shape == (30,)
    assert not np.allclose(network.randomised(1).code_log_probability(rows=rows), given)


# input


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"near": csr_matrix((3, 3))}, "near of shape"),
        ({"near": csr_matrix(np.eye(N_CELLS))}, "joins 400 cells to themselves"),
        ({"links": np.zeros((GENES, GENES))}, "links is a ndarray"),
        ({"links": csr_matrix((GENES, 3))}, "links of shape"),
        ({"signals": csr_matrix(np.full((4, 4), np.nan))}, "signals holds NaN"),
    ],
)
def test_wrong_relations_are_refused(
    toy: dict[str, Any], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run(toy, relations=Relations(**given))


# real data


def test_neighbours_of_blood_cells(data_dir: Path) -> None:
    import anndata
    from sklearn.decomposition import TruncatedSVD
    from sklearn.neighbors import kneighbors_graph

    from scypher.kg.attention import top_tokens

    counts = csr_matrix(anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad").X, dtype=np.float32)
    values = counts.multiply(1e4 / counts.sum(axis=1).reshape(-1, 1)).tocsr().log1p()
    dense = values.toarray()
    cells = TruncatedSVD(16, random_state=0).fit_transform(values).astype(np.float32)
    data = {
        "cells": cells,
        "tokens": top_tokens(values, n_tokens=64, gene_mean=dense.mean(0), gene_sd=dense.std(0)),
        "gene_features": np.zeros((values.shape[1], 4), np.float32),
        "codes": (cells[:, 1:4] > 0).astype(int) @ np.array([1, 2, 4]),
        "codebook": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32),
        "metadata": {},
    }
    near = csr_matrix(kneighbors_graph(cells, 15))
    result = run(data, relations=Relations(near=near), epochs=4, hidden=32)
    kept = result.history[result.history["kept"]].iloc[0]
    assert kept["auroc"] > kept["auroc_popularity"] + 0.05
    np.testing.assert_allclose(result.near.sum(axis=1), 15, rtol=1e-4)
