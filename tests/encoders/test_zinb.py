"""The zero-inflated negative binomial against scipy."""

import itertools

import numpy as np
import pytest
import torch
from scipy import special, stats

from scypher.encoders.cellvq.zinb import zinb_nll


def test_equal_to_the_mixture_of_scipy_on_a_grid() -> None:
    grid = itertools.product(
        [0, 1, 2, 7, 50, 1000], [1e-3, 0.5, 3, 400], [0.05, 1, 30], [-8, -1, 0, 2]
    )
    counts, mean, dispersion, logit = np.array(list(grid), dtype=float).T
    dropped = special.expit(logit)
    likelihood = stats.nbinom.logpmf(counts, dispersion, dispersion / (dispersion + mean))
    expected = np.logaddexp(
        np.log1p(-dropped) + likelihood, np.where(counts == 0, np.log(dropped), -np.inf)
    )
    found = zinb_nll(*(torch.from_numpy(item) for item in (counts, mean, dispersion, logit)))
    np.testing.assert_allclose(found.numpy(), -expected, rtol=1e-9, atol=1e-9)


def test_probabilities_sum_to_one() -> None:
    counts = torch.arange(5000, dtype=torch.float64)
    nll = zinb_nll(counts, torch.tensor(20.0), torch.tensor(0.7), torch.tensor(-0.5))
    assert torch.exp(-nll).sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -200.0, 200.0, 1e4])
def test_extreme_logits_stay_finite_with_their_gradient(logit: float) -> None:
    counts = torch.tensor([0.0, 1.0, 300.0])
    mean = torch.tensor([1e-6, 1.0, 1e6], requires_grad=True)
    dispersion = torch.tensor([2.5e-3, 1.0, 400.0], requires_grad=True)
    dropout = torch.full((3,), logit, requires_grad=True)
    nll = zinb_nll(counts, mean, dispersion, dropout)
    nll.sum().backward()
    assert torch.isfinite(nll).all()
    for value in (mean, dispersion, dropout):
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()


def test_gradients_agree_with_finite_differences() -> None:
    counts = torch.tensor([0.0, 0.0, 1.0, 4.0, 60.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    mean, dispersion, logit = (
        torch.randn(5, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    inputs = tuple(item.requires_grad_() for item in (mean.exp(), dispersion.exp(), logit))
    assert torch.autograd.gradcheck(lambda *rest: zinb_nll(counts, *rest), inputs)


def test_parameters_are_broadcast() -> None:
    counts = torch.tensor([[0.0, 3.0], [2.0, 0.0]])
    per_gene = torch.tensor([0.5, 2.0])
    found = zinb_nll(counts, torch.ones(2, 1), per_gene, torch.tensor(-1.0))
    assert found.shape == (2, 2)
    for row, gene in itertools.product(range(2), range(2)):
        alone = zinb_nll(counts[row, gene], torch.tensor(1.0), per_gene[gene], torch.tensor(-1.0))
        assert found[row, gene].item() == pytest.approx(alone.item())
