"""Classifiers on an embedding."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from scypher.encoders.evaluation.annotation import (
    folds_of,
    probe_baselines,
    probe_embedding,
    score,
)
from scypher.encoders.evaluation.baselines import BASELINES, training_components, variable_values
from scypher.encoders.evaluation.mlp import _model, mlp
from scypher.encoders.evaluation.probes import (
    linear_probe,
    linear_svm,
    nearest_neighbours,
    standardise,
)
from scypher.encoders.evaluation.sets import Labelled

Function = Callable[..., np.ndarray]


def blobs(seed: int, n: int = 300, gap: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    values = rng.normal(size=(n, 6)) + gap * np.eye(3, 6)[kind]
    return values.astype(np.float32), np.array(["a", "b", "c"], dtype=object)[kind]


@pytest.mark.parametrize("probe", [linear_probe, linear_svm, nearest_neighbours])
def test_probes_find_planted_types(probe: Function) -> None:
    train, labels = blobs(0)
    test, truth = blobs(1)
    assert (probe(train, labels, test) == truth).mean() > 0.97


def test_probes_are_at_chance_on_random_labels() -> None:
    train, _ = blobs(0)
    test, _ = blobs(1)
    rng = np.random.default_rng(2)
    labels, truth = (rng.choice(np.array(["a", "b"], dtype=object), 300) for _ in range(2))
    for probe in (linear_probe, linear_svm, nearest_neighbours):
        assert 0.38 < (probe(train, labels, test) == truth).mean() < 0.62


def test_the_linear_probe_is_that_of_the_protocol() -> None:
    train, labels = blobs(0, gap=1.0)
    test, _ = blobs(1, gap=1.0)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    expected = oracle.fit(train.astype(float), labels).predict(test.astype(float))
    assert (linear_probe(train.astype(float), labels, test.astype(float)) == expected).all()


@pytest.mark.parametrize("n", [30, 300])
def test_the_svm_is_one_optimum_by_both_ways(n: int) -> None:
    train, labels = blobs(0, n, gap=1.0)
    test, _ = blobs(1, gap=1.0)
    oracle = make_pipeline(
        StandardScaler(), LinearSVC(C=0.01, dual=n == 300, max_iter=100_000, tol=1e-8)
    )
    expected = oracle.fit(train.astype(float), labels).predict(test.astype(float))
    assert (linear_svm(train, labels, test) == expected).mean() > 0.99


def test_standardise_uses_training_cells_only() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 2, (50, 4)), rng.normal(9, 5, (20, 4))
    train[:, 3] = 7
    scaler = StandardScaler().fit(train)
    for ours, theirs in zip(standardise(train, test), (train, test), strict=True):
        assert np.allclose(ours, scaler.transform(theirs))


def test_the_perceptron_finds_planted_types_and_follows_its_seed() -> None:
    train, labels = blobs(0)
    test, truth = blobs(1, gap=2.0)
    first = mlp(train, labels, test, seed=0, epochs=12)
    assert (first == truth).mean() > 0.8
    assert (mlp(train, labels, test, seed=0, epochs=12) == first).all()
    assert (mlp(train, labels, test, seed=1, epochs=12) != first).any()


def test_the_perceptron_judges_cells_one_by_one() -> None:
    train, labels = blobs(0)
    test, _ = blobs(1, gap=1.0)
    together = mlp(train, labels, test, seed=0, epochs=3)
    assert (mlp(train, labels, test[:5], seed=0, epochs=3) == together[:5]).all()


def test_the_perceptron_has_the_layers_of_the_protocol() -> None:
    layers = [type(layer).__name__ for layer in _model(20, 4)]
    block = ["Linear", "BatchNorm1d", "GELU", "Dropout"]
    assert layers == [*block, *block, "Linear"]
    widths = [layer.out_features for layer in _model(20, 4) if hasattr(layer, "out_features")]
    assert widths == [512, 256, 4]


@pytest.mark.parametrize("n", [285, 286])
def test_a_last_batch_of_one_cell_is_no_error(n: int) -> None:
    train, labels = blobs(0, n)  # 256 or 257 cells are left to train on
    assert len(mlp(train, labels, train[:7], seed=0, epochs=1)) == 7


def test_score_is_that_of_sklearn_over_the_types_given() -> None:
    truth = np.array(["a", "a", "b", "b", "b"], dtype=object)
    predicted = np.array(["a", "z", "b", "b", "a"], dtype=object)
    found = score(truth, predicted, np.array(["a", "b"], dtype=object))
    assert found["accuracy"] == accuracy_score(truth, predicted)
    # By hand: a has 1 of 2 with one false alarm, b has 2 of 3 with none.
    assert found["macro F1"] == pytest.approx((0.5 + 0.8) / 2)
    assert found["macro F1"] == pytest.approx(
        f1_score(truth, predicted, labels=["a", "b"], average="macro")
    )


def test_a_perfect_embedding_has_f1_one(planted: Labelled) -> None:
    embedding = np.eye(3)[np.arange(240) % 3]
    values = list(probe_embedding(planted, embedding, "intra"))
    assert {value.probe for value in values} == {"linear probe", "kNN"}
    assert len(values) == 5 * 2 * 2
    batches = np.where(planted.batch == "b1", "one", "rest").astype(object)
    data = Labelled("x", planted.cells, planted.labels, batches, most=1)
    values += probe_embedding(data, embedding, "inter", mlp_seeds=(0, 1))
    assert sum(value.probe == "MLP" for value in values) == 2 * 2
    assert {value.fold for value in values if value.split == "inter"} == {"one"}
    assert all(value.value == 1 for value in values)


def test_random_labels_are_at_chance(planted: Labelled) -> None:
    rng = np.random.default_rng(0)
    shuffled = Labelled("x", planted.cells, rng.permutation(planted.labels), planted.batch)
    values = probe_embedding(shuffled, np.eye(3)[np.arange(240) % 3], "intra")
    f1 = [item.value for item in values if item.measure == "macro F1"]
    assert 0.1 < np.mean(f1) < 0.5


def test_baselines_find_planted_types_from_counts(planted: Labelled) -> None:
    found = probe_baselines(planted, "inter")
    assert set(found) == set(BASELINES)
    for values in found.values():
        assert len(values) == 6
        assert np.mean([value.value for value in values]) > 0.97


def test_baselines_learn_genes_and_components_from_training_cells_only(planted: Labelled) -> None:
    fold = folds_of(planted, "inter")[0]
    changed = planted.cells.counts.copy().tolil()
    changed[fold.test[0]] = 50
    other = type(planted.cells)(
        planted.cells.adata, changed.tocsr().astype(np.float32), planted.cells.genes, [], "x"
    )
    for make in (variable_values, training_components):
        before, after = make(planted.cells, fold), make(other, fold)
        assert np.array_equal(before[0], after[0])
        assert np.allclose(before[1][1:], after[1][1:], atol=1e-5)
        assert not np.allclose(before[1][0], after[1][0])


def test_components_of_test_cells_are_the_projection(planted: Labelled) -> None:
    from sklearn.decomposition import PCA

    fold = folds_of(planted, "intra")[0]
    train, test = variable_values(planted.cells, fold)
    ours = training_components(planted.cells, fold)
    oracle = PCA(50, svd_solver="full").fit(train.astype(float))
    for scores, values in zip(ours, (train, test), strict=True):
        expected = oracle.transform(values)
        assert np.allclose(np.abs(scores[:, :10]), np.abs(expected[:, :10]), atol=1e-3)


def test_cells_without_a_label_are_in_no_fold(planted: Labelled) -> None:
    for split in ("intra", "inter"):
        for fold in folds_of(planted, split):
            assert min(fold.train.min(), fold.test.min()) >= 10


def test_folds_that_cannot_be_used_leave_a_row_with_a_note(planted: Labelled) -> None:
    batch = np.where(planted.labels == "T", "only T", "rest").astype(object)
    data = Labelled("x", planted.cells, planted.labels, batch)
    values = list(probe_embedding(data, np.eye(3)[np.arange(240) % 3], "inter"))
    assert len(values) == 2
    assert all(np.isnan(value.value) and "skipped" in value.note for value in values)
    assert probe_baselines(data, "inter") == {name: [] for name in BASELINES}
