"""Codebooks fitted to any embedding, and the codes of its cells."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import homogeneity_score
from torch.nn import functional

from scypher.encoders.codes import (
    CODEBOOK_WEIGHT,
    SOFT_TEMPERATURE,
    SPREAD_WEIGHT,
    Codes,
    CodesConfig,
    assign_codes,
    code_health,
    code_terms,
    fit_codes,
    initialise_projection,
    perplexity,
    temperature,
    train_codes,
)
from scypher.encoders.scd import Discretised, SoftConditionalDiscretisation

SHORT = CodesConfig(n_bits=5, steps=60, batch=128)


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


def clusters(n_groups: int, each: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_groups, width)) * 4
    group = np.repeat(np.arange(n_groups), each)
    return (centres[group] + rng.normal(0, 0.3, (len(group), width))).astype(np.float32), group


@pytest.fixture(scope="module")
def planted() -> tuple[Codes, np.ndarray]:
    """Codes of six far groups of 100 cells."""
    cells, group = clusters(6, 100, 20)
    config = CodesConfig(n_bits=6, steps=300, batch=256)
    return fit_codes(cells, seed=0, progress=silent, config=config), group


def test_planted_groups_get_codes_of_their_own(planted: tuple[Codes, np.ndarray]) -> None:
    codes, group = planted
    # No code mixes groups, and every group has more than chance would leave it.
    assert homogeneity_score(group, codes.code) > 0.999
    assert len(np.unique(codes.code)) >= 6


def test_codes_keep_the_contract(planted: tuple[Codes, np.ndarray]) -> None:
    codes, group = planted
    assert codes.codebook.shape == (64, 20)
    assert codes.codebook.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(codes.codebook, axis=1), 1, rtol=1e-5)
    assert codes.bits == [format(index, "06b") for index in range(64)]
    for item in (codes.code, codes.second):
        assert item.shape == group.shape
        assert item.min() >= 0
        assert item.max() < 64
    assert (codes.code != codes.second).all()
    assert ((codes.probability > 0) & (codes.probability <= 1 + 1e-6)).all()
    assert ((codes.entropy >= -1e-6) & (codes.entropy <= np.log(64) + 1e-4)).all()
    used = len(np.unique(codes.code))
    assert codes.health.startswith(f"{used} of 64 codes in use, perplexity ")


def test_the_same_seed_gives_the_same_bits_and_no_other_state_counts() -> None:
    cells, _ = clusters(3, 60, 12)
    said: list[tuple[str, int, int]] = []
    torch.manual_seed(1)
    first = fit_codes(cells, seed=5, progress=lambda *step: said.append(step), config=SHORT)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = fit_codes(cells, seed=5, progress=silent, config=SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    for item in dataclasses.fields(Codes):
        one, other = getattr(first, item.name), getattr(again, item.name)
        assert np.array_equal(one, other), item.name
    other = fit_codes(cells, seed=6, progress=silent, config=SHORT)
    assert (other.codebook != first.codebook).any()
    assert said[-1] == ("training the codebook", 60, 60)


@pytest.mark.parametrize("width", [1, 2, 5, 31])
def test_an_embedding_narrower_than_the_code_space_is_fine(width: int) -> None:
    cells, _ = clusters(3, 40, width)
    codes = fit_codes(cells, seed=0, progress=silent, config=SHORT)
    assert codes.codebook.shape[1] == width
    assert np.isfinite(codes.codebook).all()
    assert np.isfinite(codes.entropy).all()


@pytest.mark.parametrize(("n", "n_bits"), [(1, 3), (5, 3), (24, 3), (48, 4), (100, 5), (9000, 10)])
def test_few_cells_get_few_codes(n: int, n_bits: int) -> None:
    cells = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    config = dataclasses.replace(CodesConfig(), steps=2)
    codes = fit_codes(cells, seed=0, progress=silent, config=config)
    assert len(codes.codebook) == 2**n_bits
    assert len(codes.code) == n


def test_cells_that_are_all_alike_share_a_code() -> None:
    cells = np.full((70, 6), 3.0, np.float32)
    codes = fit_codes(cells, seed=0, progress=silent, config=SHORT)
    assert len(set(codes.code)) == 1
    assert np.isfinite(codes.probability).all()


def test_numbers_of_any_kind_are_taken() -> None:
    cells, _ = clusters(3, 40, 6)
    expected = fit_codes(cells, seed=0, progress=silent, config=SHORT)
    for other in (cells.astype(np.float64), np.asfortranarray(cells)):
        found = fit_codes(other, seed=0, progress=silent, config=SHORT)
        np.testing.assert_array_equal(found.code, expected.code)


@pytest.fixture
def layer() -> SoftConditionalDiscretisation:
    torch.manual_seed(0)
    return SoftConditionalDiscretisation(20, 20, n_bits=4, code_width=8, condition_width=12)


def test_codes_agree_with_numpy(layer: SoftConditionalDiscretisation) -> None:
    embedding = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    code, second, probability, entropy = assign_codes(layer, embedding)
    with torch.no_grad():
        z = layer.project(torch.from_numpy(embedding)).numpy().astype(np.float64)
        codebook = layer.codebook().numpy().astype(np.float64)
    cosine = z / np.linalg.norm(z, axis=1, keepdims=True) @ codebook.T
    ranked = np.argsort(-cosine, axis=1)
    np.testing.assert_array_equal(code, ranked[:, 0])
    np.testing.assert_array_equal(second, ranked[:, 1])
    soft = np.exp(2 * cosine / SOFT_TEMPERATURE)
    soft /= soft.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probability, soft[np.arange(50), code], rtol=1e-3)
    np.testing.assert_allclose(entropy, -(soft * np.log(soft)).sum(axis=1), rtol=1e-3)


def test_chunks_of_cells_change_nothing(layer: SoftConditionalDiscretisation) -> None:
    embedding = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    for whole, parts in zip(
        assign_codes(layer, embedding), assign_codes(layer, embedding, chunk=3), strict=True
    ):
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_ties_go_to_the_lowest_index(layer: SoftConditionalDiscretisation) -> None:
    last = layer.condition[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
    embedding = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    code, second, probability, entropy = assign_codes(layer, embedding)
    assert (code == 0).all()
    assert (second == 1).all()
    np.testing.assert_allclose(probability, 1 / 16, rtol=1e-4)
    np.testing.assert_allclose(entropy, np.log(16), rtol=1e-4)


def test_the_projection_is_made_of_principal_axes(layer: SoftConditionalDiscretisation) -> None:
    rng = np.random.default_rng(1)
    cells = (rng.normal(size=(400, 20)) * np.linspace(9, 0.5, 20) + 3).astype(np.float32)
    initialise_projection(layer, cells)
    with torch.no_grad():
        projected = layer.project(torch.from_numpy(cells)).numpy()
    variance, axes = np.linalg.eigh(np.cov(cells.T.astype(np.float64), bias=True))
    variance, axes = variance[::-1][:8], axes[:, ::-1][:, :8]
    expected = (cells - cells.mean(axis=0)) @ axes / variance**0.25
    np.testing.assert_allclose(np.abs(projected), np.abs(expected), atol=5e-3)


def test_training_lowers_the_distance_and_keeps_the_projection(
    layer: SoftConditionalDiscretisation,
) -> None:
    cells, _ = clusters(5, 60, 20)
    cells = (cells - cells.mean(axis=0)) / cells.std()
    initialise_projection(layer, cells)
    given, kept = torch.from_numpy(cells), layer.project.weight.detach().clone()

    def distance() -> float:
        with torch.no_grad():
            return float((layer(given, 1.0, None).quantised - given).square().mean())

    before = distance()
    train_codes(layer, cells, seed=0, progress=silent, config=CodesConfig(steps=200))
    assert distance() < 0.7 * before
    assert torch.equal(layer.project.weight, kept)


def test_temperature_falls_from_one_and_stays_low() -> None:
    assert temperature(0) == 1
    assert temperature(0.3) == pytest.approx(0.05**0.5)
    assert temperature(0.599999) == pytest.approx(0.05, rel=1e-4)
    assert temperature(0.6) == temperature(0.8) == temperature(1) == 0.02
    steps = [temperature(share) for share in np.linspace(0, 1, 101)]
    assert all(later <= earlier for earlier, later in pairwise(steps))


def test_codebook_terms_follow_their_formula(layer: SoftConditionalDiscretisation) -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(25, 20, generator=generator)
    result = layer(cells, 0.4, generator)
    usage = result.probability.detach().numpy().mean(axis=0)
    codebook = layer.codebook().detach().numpy()
    cosine = codebook @ codebook.T
    np.fill_diagonal(cosine, -2)
    closest = layer.similarity(cells, layer.codebook()).max(dim=1).values
    expected = (
        SPREAD_WEIGHT * cosine.max(axis=1).mean()
        + 0.3 * (usage * np.log(usage + 1e-12)).sum()
        + CODEBOOK_WEIGHT * (1 - closest.mean().item())
    )
    assert code_terms(layer, result, 0.3).item() == pytest.approx(expected, rel=1e-4)


def test_even_usage_costs_less_than_a_collapse(layer: SoftConditionalDiscretisation) -> None:
    even = torch.full((8, 16), 1 / 16)
    collapsed = functional.one_hot(torch.zeros(8, dtype=torch.long), 16).float()
    costs = [
        code_terms(
            layer, Discretised(torch.zeros(8), share, torch.zeros(8, 16), torch.ones(8)), 0.3
        )
        for share in (even, collapsed)
    ]
    assert (costs[1] - costs[0]).item() == pytest.approx(0.3 * np.log(16), rel=1e-4)


def test_perplexity_is_the_number_of_codes_used_equally() -> None:
    assert perplexity(np.array([7, 7, 7])) == pytest.approx(1)
    assert perplexity(np.repeat([0, 3, 4, 9], 5)) == pytest.approx(4)
    code = np.random.default_rng(0).choice(6, 300, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    share = [float((code == c).mean()) for c in set(code.tolist())]
    assert perplexity(code) == pytest.approx(np.exp(-sum(p * np.log(p) for p in share)))


def test_health_is_a_sentence() -> None:
    assert code_health(np.repeat([0, 3], 5), 16) == "2 of 16 codes in use, perplexity 2"
