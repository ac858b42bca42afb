"""Adapting a model to a data set: own components, then the codebook."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq import adapt as module
from scypher.encoders.cellvq.adapt import adapt, fit_own_components
from scypher.encoders.cellvq.inference import read_cells
from scypher.encoders.cellvq.model import OWN_MOST, CellVQ
from scypher.encoders.cellvq.tokens import tokenise
from scypher.encoders.checkpoint import tensors_hash
from scypher.encoders.counts import normalise

Embedded = tuple[sparse.csr_matrix, np.ndarray, np.ndarray]


@pytest.fixture
def embedded(untrained: CellVQ) -> Embedded:
    """Values, totals and embedding of 90 cells of 60 genes in three groups."""
    rng = np.random.default_rng(0)
    rate = np.full((90, 60), 0.5)
    for group in range(3):
        rate[group::3, group * 10 : group * 10 + 10] = 8
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
    totals = np.asarray(counts.sum(axis=1)).ravel()
    values = normalise(counts, totals)
    return values, totals, read_cells(untrained, values, totals)[0]


def fit(model: CellVQ, embedded: Embedded, seed: int = 0) -> np.ndarray:
    return fit_own_components(model, embedded[0], embedded[2], np.random.default_rng(seed))


def test_own_components_are_the_leading_ones_of_the_cells(
    untrained: CellVQ, embedded: Embedded
) -> None:
    values, totals, embedding = embedded
    filled = fit(untrained, embedded)
    dense = values.toarray().astype(np.float64)
    deviation = dense.std(axis=0)
    scaled = np.minimum(dense / np.maximum(deviation, np.quantile(deviation, 0.25)), OWN_MOST)
    right = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)[2][:4]
    loadings = untrained.own_loadings.numpy()
    unit = loadings / np.linalg.norm(loadings, axis=0)
    np.testing.assert_allclose(np.abs((unit * right.T).sum(axis=0)), 1, atol=1e-3)
    assert (unit[np.abs(unit).argmax(axis=0), np.arange(4)] > 0).all()
    np.testing.assert_array_equal(filled[:, :16], embedding)
    variance = embedding.var(axis=0).sum()
    assert filled[:, 16:].var(axis=0).sum() == pytest.approx(variance, rel=1e-3)
    np.testing.assert_allclose(filled[:, 16:].mean(axis=0), 0, atol=1e-3)
    with torch.no_grad():
        own = untrained.own(tokenise(values, totals)).numpy()
    np.testing.assert_allclose(own, filled[:, 16:], atol=1e-3)


def test_own_components_tell_planted_groups_apart(untrained: CellVQ, embedded: Embedded) -> None:
    own = fit(untrained, embedded)[:, 16:18]
    group = np.arange(90) % 3
    centres = np.stack([own[group == number].mean(axis=0) for number in range(3)])
    nearest = ((own[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.97


def test_fewer_cells_than_components_leave_the_rest_empty(
    untrained: CellVQ, embedded: Embedded
) -> None:
    few = embedded[0][:4], embedded[1][:4], embedded[2][:4]
    filled = fit(untrained, few)
    assert filled.shape == (4, 20)
    assert (filled[:, 19] == 0).all()
    assert np.isfinite(filled).all()


def test_cells_that_are_all_alike_give_finite_components(untrained: CellVQ) -> None:
    values = sparse.csr_matrix(np.full((60, 60), 2.0, np.float32))
    embedding = read_cells(untrained, values, np.full(60, 120.0))[0]
    filled = fit(untrained, (values, np.full(60, 120.0), embedding))
    assert np.isfinite(filled).all()
    for name in ("own_loadings", "own_centre", "own_scale"):
        assert torch.isfinite(getattr(untrained, name)).all()


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADAPTING", dataclasses.replace(module.ADAPTING, steps=30))


@pytest.mark.usefixtures("few_steps")
def test_adapting_repeats_with_its_seed_and_leaves_everything_else_alone(
    untrained: CellVQ, embedded: Embedded
) -> None:
    values, _, embedding = embedded
    before, given = tensors_hash(untrained.state_dict()), embedding.copy()
    said: list[tuple[str, int, int]] = []

    def run(seed: int) -> tuple[CellVQ, np.ndarray]:
        return adapt(
            untrained, values, embedding, seed=seed, progress=lambda *step: said.append(step)
        )

    (first, whole), (again, same), (other, _) = run(3), run(3), run(4)
    assert whole.tobytes() == same.tobytes()
    hashes = [tensors_hash(model.state_dict()) for model in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert tensors_hash(untrained.state_dict()) == before
    np.testing.assert_array_equal(embedding, given)
    assert said[29] == ("training the codebook", 30, 30)
    assert not first.training
    kept = untrained.state_dict()
    for name, value in first.state_dict().items():
        fitted = name.startswith(("discretise.", "own_"))
        assert fitted or torch.equal(value, kept[name]), name


def test_codes_learn_to_give_the_embedding_back(untrained: CellVQ, embedded: Embedded) -> None:
    values, totals, embedding = embedded
    with torch.no_grad():
        # The embedding of a corpus has unit mean square.
        untrained.centre.copy_(torch.from_numpy(embedding.mean(axis=0)) + untrained.centre)
        size = float(np.sqrt(np.mean((embedding - embedding.mean(axis=0)) ** 2)))
        untrained.loadings /= size
        untrained.centre /= size
    embedding = read_cells(untrained, values, totals)[0]
    fitted, whole = adapt(untrained, values, embedding, seed=0, progress=lambda *step: None)
    cells = torch.from_numpy(whole)
    start, end = (
        float((model.discretise(cells, 1.0, None).quantised - cells).square().mean().detach())
        for model in (untrained, fitted)
    )
    assert end < 0.85 * start
