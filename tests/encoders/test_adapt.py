"""Adapting a model to a data set: own components, projection, codebook."""

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq.adapt import (
    AdaptConfig,
    adapt_codes,
    copy_of,
    fit_own_components,
    initialise_projection,
)
from scypher.encoders.cellvq.inference import embed
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.objective import make_target, reconstruction
from scypher.encoders.cellvq.weights import state_hash
from scypher.encoders.counts import normalise


@pytest.fixture(scope="module")
def counts() -> sparse.csr_matrix:
    """Counts of 90 cells and 60 genes in three groups."""
    rng = np.random.default_rng(0)
    rate = np.full((90, 60), 0.5)
    for group in range(3):
        rate[group::3, group * 10 : group * 10 + 10] = 8
    return sparse.csr_matrix(rng.poisson(rate).astype(np.float32))


@pytest.fixture
def embedded(
    untrained: CellVQ, counts: sparse.csr_matrix
) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Values, totals and embedding of the cells."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    values = normalise(counts, totals)
    return values, totals, embed(untrained, values, totals)[0]


def test_own_components_are_the_leading_ones_of_the_cells(
    untrained: CellVQ, embedded: tuple[sparse.csr_matrix, np.ndarray, np.ndarray]
) -> None:
    values, totals, embedding = embedded
    assert (embedding[:, 16:] == 0).all()
    filled = fit_own_components(untrained, values, embedding, np.random.default_rng(0))
    scaled = values.toarray() / untrained.scale.numpy()
    centred = scaled - scaled.mean(axis=0)
    right = np.linalg.svd(centred, full_matrices=False)[2][:4]
    loadings = untrained.own_loadings.numpy()
    unit = loadings / np.linalg.norm(loadings, axis=0)
    np.testing.assert_allclose(np.abs((unit * right.T).sum(axis=0)), 1, atol=1e-3)
    assert (unit[np.abs(unit).argmax(axis=0), np.arange(4)] > 0).all()
    np.testing.assert_array_equal(filled[:, :16], embedding[:, :16])
    assert filled[:, 16:].var(axis=0).sum() == pytest.approx(
        embedding[:, :16].var(axis=0).sum(), rel=1e-3
    )
    np.testing.assert_allclose(embed(untrained, values, totals)[0], filled, atol=1e-3)


def test_own_components_repeat_and_leave_the_embedding_given_alone(
    untrained: CellVQ, embedded: tuple[sparse.csr_matrix, np.ndarray, np.ndarray]
) -> None:
    values, _, embedding = embedded
    before = embedding.copy()
    first = fit_own_components(copy_of(untrained), values, embedding, np.random.default_rng(0))
    again = fit_own_components(copy_of(untrained), values, embedding, np.random.default_rng(0))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(embedding, before)


def test_the_projection_is_made_of_principal_axes(untrained: CellVQ) -> None:
    rng = np.random.default_rng(1)
    cells = (rng.normal(size=(400, 20)) * np.linspace(9, 0.5, 20) + 3).astype(np.float32)
    initialise_projection(untrained, cells)
    with torch.no_grad():
        projected = untrained.discretise.project(torch.from_numpy(cells)).numpy()
    variance, axes = np.linalg.eigh(np.cov(cells.T.astype(np.float64), bias=True))
    variance, axes = variance[::-1][:8], axes[:, ::-1][:, :8]
    expected = (cells - cells.mean(axis=0)) @ axes / variance**0.25
    np.testing.assert_allclose(np.abs(projected), np.abs(expected), atol=5e-3)


@pytest.mark.parametrize("twice", [False, True])
def test_codes_learn_to_reconstruct_and_the_body_stays(
    untrained: CellVQ,
    counts: sparse.csr_matrix,
    embedded: tuple[sparse.csr_matrix, np.ndarray, np.ndarray],
    twice: bool,
) -> None:
    _, totals, embedding = embedded
    cells = torch.from_numpy(embedding)
    initialise_projection(untrained, embedding)
    target = make_target(counts, totals, np.arange(60))

    def loss(model: CellVQ) -> float:
        with torch.no_grad():
            return reconstruction(
                model, model.discretise(cells, 1.0, None).quantised, target
            ).item()

    models = [copy_of(untrained) for _ in range(1 + twice)]
    said: list[tuple[str, int, int]] = []
    for model in models:
        adapt_codes(
            model,
            cells,
            counts,
            totals,
            config=AdaptConfig(steps=40, batch=32, genes=50, learning_rate=5e-3),
            seed=3,
            progress=lambda *step: said.append(step),
        )
    assert loss(models[0]) < loss(untrained) - 0.05
    assert state_hash(models[0]) == state_hash(models[-1])
    assert said[39][1:] == (40, 40)
    assert not models[0].training
    before, after = untrained.state_dict(), models[0].state_dict()
    for name, value in before.items():
        fitted = name.startswith(("discretise.", "decoder.")) or name == "gene_bias"
        assert fitted or torch.equal(value, after[name]), name


def test_a_copy_shares_nothing(untrained: CellVQ) -> None:
    before = state_hash(untrained)
    other = copy_of(untrained)
    with torch.no_grad():
        for value in other.state_dict().values():
            value.add_(1)
    assert state_hash(untrained) == before
