"""The low-rank gene-gene prior."""

import torch

from scypher.encoders.cellvq.prior import GenePrior


def moved() -> GenePrior:
    torch.manual_seed(0)
    prior = GenePrior(12, 3)
    with torch.no_grad():
        prior.taken.normal_()
    return prior


def test_it_starts_at_zero_and_can_learn_from_there() -> None:
    torch.manual_seed(0)
    prior = GenePrior(12, 3)
    positions = torch.randn(12, 5)
    assert (prior(positions) == 0).all()
    assert (prior.weights(torch.arange(12)) == 0).all()
    (prior(positions) * torch.randn(12, 5)).sum().backward()
    assert prior.taken.grad is not None
    assert prior.taken.grad.abs().sum() > 0


def test_weights_are_the_product_of_both_tables() -> None:
    prior = moved()
    whole = prior.taken.detach() @ prior.given.detach().T
    torch.testing.assert_close(prior.weights(torch.arange(12)), whole)
    genes = torch.tensor([7, 2, 7])
    found = prior.weights(genes)
    for i, row in enumerate(genes):
        for j, column in enumerate(genes):
            expected = sum(prior.taken[row, r] * prior.given[column, r] for r in range(3))
            torch.testing.assert_close(found[i, j], expected)


def test_a_gene_takes_over_what_the_weights_say() -> None:
    prior = moved()
    positions = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        prior(positions), prior.weights(torch.arange(12)) @ positions, atol=1e-5, rtol=1e-4
    )
