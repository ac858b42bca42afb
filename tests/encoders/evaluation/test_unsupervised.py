"""Clusters, codes, integration and reconstruction."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import normalized_mutual_info_score

from scypher.encoders.base import Encoding
from scypher.encoders.cells import prepare
from scypher.encoders.codes import fit_codes
from scypher.encoders.evaluation import integration
from scypher.encoders.evaluation.clustering import cluster
from scypher.encoders.evaluation.code_measures import (
    batch_mixing,
    measure_codes,
    purity,
)
from scypher.encoders.evaluation.communities import neighbour_graph
from scypher.encoders.evaluation.integration import integrate
from scypher.encoders.evaluation.merging import WIDTH, _graph, merge_codes
from scypher.encoders.evaluation.reconstruction import (
    PUBLISHED,
    published,
    reconstruct_expression,
)
from scypher.encoders.evaluation.sets import Labelled
from scypher.encoders.foreign import principal_components
from scypher.encoders.leiden import leiden


def blobs(n: int = 240, groups: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kind = np.arange(n) % groups
    return rng.normal(0, 0.1, (n, groups)) + 3 * np.eye(groups)[kind], kind.astype(str)


def test_leiden_finds_planted_groups() -> None:
    embedding, labels = blobs()
    values = {value.measure: value.value for value in cluster(embedding, labels)}
    assert values["ARI"] == 1
    assert values["NMI"] == pytest.approx(1)
    assert values["Leiden groups"] == 4
    assert values["silhouette"] > 0.9


def test_random_labels_are_at_chance() -> None:
    embedding, labels = blobs()
    shuffled = np.random.default_rng(1).permutation(labels)
    values = {value.measure: value.value for value in cluster(embedding, shuffled)}
    assert abs(values["ARI"]) < 0.05
    assert values["silhouette"] < 0.05


def test_every_seed_has_its_rows() -> None:
    embedding, labels = blobs()
    values = list(cluster(embedding, labels, seeds=(0, 1, 2)))
    assert [value.seed for value in values if value.measure == "ARI"] == [0, 1, 2]
    assert list(cluster(embedding, labels, seeds=(0, 1, 2))) == values


def test_the_neighbour_graph_is_symmetric_without_loops() -> None:
    embedding, _ = blobs(60)
    graph = neighbour_graph(embedding, 5)
    distance = np.linalg.norm(embedding[:, None] - embedding[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    near = np.zeros((60, 60), bool)
    for row, order in enumerate(np.argsort(distance, axis=1)):
        near[row, order[:5]] = True
    assert np.array_equal(graph.toarray() > 0, near | near.T)


def test_a_node_without_an_edge_is_a_community() -> None:
    graph = neighbour_graph(blobs(40, 2)[0], 3).tolil()
    graph[7], graph[:, 7] = 0, 0
    groups = leiden(graph.tocsr())
    assert (groups == groups[7]).sum() == 1


def test_purity_by_hand_and_of_single_cells() -> None:
    groups = np.array([0, 0, 0, 5, 5])
    labels = np.array(["a", "a", "b", "b", "b"])
    assert purity(groups, labels) == 4 / 5
    assert purity(np.arange(5), labels) == 1


def test_batch_mixing_is_the_entropy_within_over_that_overall() -> None:
    rng = np.random.default_rng(0)
    groups, batch = rng.integers(0, 4, 300), rng.integers(0, 3, 300)

    def entropy(values: np.ndarray) -> float:
        share = np.bincount(values) / len(values)
        return float(-(share[share > 0] * np.log(share[share > 0])).sum())

    within = sum((groups == k).mean() * entropy(batch[groups == k]) for k in range(4))
    assert batch_mixing(groups, batch) == pytest.approx(within / entropy(batch))
    assert batch_mixing(batch, batch) == pytest.approx(0, abs=1e-9)
    assert batch_mixing(groups, np.zeros(300)) is None


def planted_codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 200 codes, a codebook of 40 in four bunches, and the bunch of each cell."""
    rng = np.random.default_rng(3)
    codebook = np.eye(4, 6)[np.arange(40) % 4] + rng.normal(0, 0.15, (40, 6))
    codebook /= np.linalg.norm(codebook, axis=1, keepdims=True)
    code = rng.choice(37, 200, p=rng.dirichlet(np.full(37, 0.8)))
    return code, codebook.astype(np.float32), code % 4


def test_codes_merge_into_planted_bunches() -> None:
    code, codebook, bunch = planted_codes()
    assert normalized_mutual_info_score(merge_codes(code, codebook, 4), bunch) == pytest.approx(1)


@pytest.mark.parametrize("n_groups", [1, 2, 3, 4])
def test_codes_merge_into_as_many_groups_as_wanted(n_groups: int) -> None:
    code, codebook, _ = planted_codes()
    groups = merge_codes(code, codebook, n_groups)
    assert len(np.unique(groups)) == n_groups
    for one in np.unique(code):
        assert len(np.unique(groups[code == one])) == 1


def test_a_graph_of_codes_stands_for_that_of_its_cells() -> None:
    code, codebook, _ = planted_codes()
    used, of_cell, size = np.unique(code, return_inverse=True, return_counts=True)
    graph = _graph(codebook[used].astype(float), size.astype(float)).toarray()
    of_cells = np.zeros((200, 200))
    for i in range(200):
        for j in range(200):
            distance = np.square(codebook[code[i]].astype(float) - codebook[code[j]]).sum()
            of_cells[i, j] = np.exp(-distance / WIDTH)
    member = np.eye(len(used))[of_cell]
    assert np.allclose(member.T @ of_cells @ member, graph)
    for resolution in (0.5, 1.0, 1.3):
        merged = leiden(csr_matrix(graph), resolution=resolution)[of_cell]
        single = leiden(csr_matrix(of_cells), resolution=resolution)
        assert normalized_mutual_info_score(merged, single) == pytest.approx(1)


def test_fewer_codes_than_groups_stay_as_they_are() -> None:
    code = np.array([3, 3, 1, 0])
    assert merge_codes(code, np.eye(4), 9).tolist() == [2, 2, 1, 0]


def test_the_codes_of_a_perfect_embedding_are_pure(planted: Labelled, perfect: Encoding) -> None:
    values = measure_codes(perfect, planted.labels, planted.batch, 3)
    found = {value.measure: value.value for value in values}
    known = planted.known
    assert found["purity"] == 1
    assert found["NMI of merged codes"] == pytest.approx(1)
    assert found["active codes"] == len(np.unique(perfect.code))
    assert 1 < found["perplexity"] <= found["active codes"]
    assert found["NMI of codes"] == pytest.approx(
        normalized_mutual_info_score(planted.labels[known], perfect.code[known])
    )
    assert 0 < found["batch mixing"] <= 1
    one = {value.measure for value in measure_codes(perfect, planted.labels, None, 3)}
    assert one == set(found) - {"batch mixing"}


@pytest.mark.skipif(
    importlib.util.find_spec("scib_metrics") is None, reason="scib-metrics is not installed"
)
def test_integration_tells_mixed_from_separate_batches() -> None:
    embedding, labels = blobs(200, 2)
    batch = np.array(["b1", "b2"])[np.random.default_rng(2).integers(0, 2, 200)]
    mixed = {value.measure: value.value for value in integrate(embedding, labels, batch)}
    assert set(mixed) == {*integration.LABEL_MEASURES, *integration.BATCH_MEASURES}
    assert all(0 <= value <= 1 for value in mixed.values())
    apart = embedding + 30 * (batch == "b1")[:, None]
    moved = {value.measure: value.value for value in integrate(apart, labels, batch)}
    for measure in ("iLISI", "kBET"):
        assert mixed[measure] > moved[measure] + 0.3
    alone = {value.measure for value in integrate(embedding, labels, None)}
    assert alone == set(integration.LABEL_MEASURES)


def test_integration_without_the_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integration, "find_spec", lambda name: None)
    (value,) = integrate(*blobs(), None)
    assert np.isnan(value.value)
    assert "scib-metrics is not installed" in value.note


def test_reconstruction_has_both_kinds_of_sentences_beside_what_is_published(
    data_dir: Path,
) -> None:
    found = reconstruct_expression(prepare(data_dir / "blood_pbmc68k_700.h5ad"))
    assert set(found) == set(PUBLISHED)
    for words, values in found.items():
        beside = {value.measure: value.value for value in published(words)}
        assert [value.measure for value in values] == list(beside)
        assert not any(np.isnan(value.value) for value in values) or values[0].note


def test_the_codes_of_components_nearly_reach_leiden_on_real_cells(data_dir: Path) -> None:
    cells = prepare(data_dir / "celllines_sc_mixology.h5ad")
    labels = cells.adata.obs["cell_type"].astype(str).to_numpy()
    scores = principal_components(cells.counts, cells.totals).scores
    codes = fit_codes(scores, seed=0, progress=lambda what, done, total: None)
    groups = leiden(neighbour_graph(scores))
    merged = merge_codes(codes.code, codes.codebook, len(np.unique(groups)))
    beside = normalized_mutual_info_score(labels, groups)
    assert normalized_mutual_info_score(labels, merged) > 0.9 * beside
