"""Soft conditional discretisation: codebook, choice of the code, gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scypher.encoders.scd import SoftConditionalDiscretisation, codebook_spread


@pytest.fixture
def layer() -> SoftConditionalDiscretisation:
    torch.manual_seed(0)
    return SoftConditionalDiscretisation(6, 5, n_bits=4, code_width=8, condition_width=12)


@pytest.fixture
def cells() -> Tensor:
    return torch.randn(30, 6, generator=torch.Generator().manual_seed(1))


def test_bits_are_the_digits_of_the_index_most_significant_first(
    layer: SoftConditionalDiscretisation,
) -> None:
    assert layer.bits.shape == (16, 4)
    for index, bits in enumerate(layer.bits.int().tolist()):
        assert "".join(map(str, bits)) == format(index, "04b")


def test_codebook_rows_have_unit_length(layer: SoftConditionalDiscretisation) -> None:
    codebook = layer.codebook()
    assert codebook.shape == (16, 8)
    torch.testing.assert_close(codebook.norm(dim=1), torch.ones(16))


def test_similarity_is_the_cosine(layer: SoftConditionalDiscretisation, cells: Tensor) -> None:
    codebook = layer.codebook()
    found = layer.similarity(cells, codebook)
    expected = torch.nn.functional.cosine_similarity(
        layer.project(cells)[:, None], codebook[None], dim=2
    )
    torch.testing.assert_close(found, expected)


def test_inference_takes_the_most_similar_code_whatever_the_seed(
    layer: SoftConditionalDiscretisation, cells: Tensor
) -> None:
    expected = layer.similarity(cells, layer.codebook()).argmax(dim=1)
    for seed in range(5):
        torch.manual_seed(seed)
        assert torch.equal(layer(cells, 1.0, None).code, expected)


def test_ties_go_to_the_lowest_index(layer: SoftConditionalDiscretisation, cells: Tensor) -> None:
    with torch.no_grad():
        layer.condition[-1].weight.zero_()
    assert (layer.codebook() == layer.codebook()[0]).all()
    for seed in range(5):
        torch.manual_seed(seed)
        assert (layer(cells, 1.0, None).code == 0).all()


def test_training_draws_from_the_soft_assignment(
    layer: SoftConditionalDiscretisation, cells: Tensor
) -> None:
    one = cells[:1].expand(20_000, -1)
    result = layer(one, 1.0, torch.Generator().manual_seed(3))
    share = torch.bincount(result.code, minlength=16) / len(one)
    torch.testing.assert_close(share, result.probability[0].detach(), atol=0.015, rtol=0)
    again = layer(one, 1.0, torch.Generator().manual_seed(3))
    assert torch.equal(result.code, again.code)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.02])
def test_probability_is_a_softmax_of_twice_the_cosine(
    layer: SoftConditionalDiscretisation, cells: Tensor, temperature: float
) -> None:
    similarity = layer.similarity(cells, layer.codebook())
    found = layer(cells, temperature, None).probability
    torch.testing.assert_close(
        found, (2 * similarity / temperature).softmax(dim=1), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("drawn", [False, True])
def test_straight_through_value_is_the_row_of_the_codebook(
    layer: SoftConditionalDiscretisation, cells: Tensor, drawn: bool
) -> None:
    result = layer(cells, 0.5, torch.Generator().manual_seed(0) if drawn else None)
    expected = layer.expand(layer.codebook()[result.code])
    torch.testing.assert_close(result.quantised, expected, atol=1e-5, rtol=1e-4)
    assert result.quantised.shape == (30, 5)


def test_gradient_reaches_condition_net_projection_and_cells(
    layer: SoftConditionalDiscretisation, cells: Tensor
) -> None:
    cells = cells.clone().requires_grad_()
    layer(cells, 0.5, torch.Generator().manual_seed(0)).quantised.pow(2).sum().backward()
    assert cells.grad is not None
    assert cells.grad.abs().sum() > 0
    for name, value in layer.named_parameters():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name


def test_gradient_through_the_logits_is_that_of_temperature_one(
    layer: SoftConditionalDiscretisation, cells: Tensor
) -> None:
    codebook = layer.codebook().detach()
    similarity = layer.similarity(cells, codebook).detach()
    weight = torch.randn(30, 16, generator=torch.Generator().manual_seed(4))
    (layer(cells, 0.2, None).probability * weight).sum().backward()
    found = layer.project.weight.grad
    p = (2 * similarity / 0.2).softmax(dim=1)
    slope = 2 * p * (weight - (p * weight).sum(dim=1, keepdim=True))
    layer.zero_grad()
    (layer.similarity(cells, codebook) * slope).sum().backward()
    torch.testing.assert_close(found, layer.project.weight.grad, atol=1e-5, rtol=1e-3)


def test_closeness_moves_codes_only(layer: SoftConditionalDiscretisation, cells: Tensor) -> None:
    result = layer(cells, 0.5, torch.Generator().manual_seed(0))
    best = layer.similarity(cells, layer.codebook()).max(dim=1).values
    torch.testing.assert_close(result.closeness, best)
    result.closeness.sum().backward()
    assert layer.project.weight.grad is None
    assert layer.condition[0].weight.grad.abs().sum() > 0


def test_codes_do_not_depend_on_the_batch(
    layer: SoftConditionalDiscretisation, cells: Tensor
) -> None:
    whole = layer(cells, 0.5, None)
    for index in range(len(cells)):
        alone = layer(cells[index : index + 1], 0.5, None)
        assert alone.code.item() == whole.code[index].item()
        torch.testing.assert_close(alone.quantised[0], whole.quantised[index])


def test_spread_is_the_mean_of_the_nearest_cosine() -> None:
    rng = np.random.default_rng(0)
    codebook = rng.normal(size=(9, 4))
    codebook /= np.linalg.norm(codebook, axis=1, keepdims=True)
    nearest = [max(float(codebook[i] @ codebook[j]) for j in range(9) if j != i) for i in range(9)]
    found = codebook_spread(torch.from_numpy(codebook)).item()
    assert found == pytest.approx(np.mean(nearest))
    assert codebook_spread(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item() == -1
