"""Thinning, the temperature schedule, and the terms of the objective."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.objective import (
    CODEBOOK_WEIGHT,
    SPREAD_WEIGHT,
    code_terms,
    make_target,
    reconstruction,
    temperature,
    thin,
)
from scypher.encoders.cellvq.scd import Discretised
from scypher.encoders.cellvq.zinb import zinb_nll


def test_thinning_is_binomial() -> None:
    counts = sparse.csr_matrix(np.full((2, 4000), 20.0, np.float32))
    keep = np.array([0.3, 0.8])
    found = thin(counts, keep, np.random.default_rng(0)).toarray()
    np.testing.assert_allclose(found.mean(axis=1), 20 * keep, atol=0.2)
    np.testing.assert_allclose(found.var(axis=1), 20 * keep * (1 - keep), rtol=0.1)


def test_thinning_leaves_its_input_alone_and_stores_no_zeros() -> None:
    counts = sparse.random(30, 40, 0.3, format="csr", random_state=np.random.default_rng(1))
    counts.data = np.ceil(counts.data * 3).astype(np.float32)
    before = counts.copy()
    thinned = thin(counts, np.linspace(0, 1, 30), np.random.default_rng(2))
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(counts, name), getattr(before, name))
    assert (thinned.data > 0).all()
    assert (thinned.toarray() <= counts.toarray()).all()
    assert thinned[0].nnz == 0
    np.testing.assert_array_equal(thinned[-1].toarray(), counts[-1].toarray())


def test_thinning_repeats_with_the_seed() -> None:
    counts = sparse.csr_matrix(np.full((5, 50), 9.0, np.float32))
    first, again, other = (
        thin(counts, np.full(5, 0.5), np.random.default_rng(seed)).toarray() for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_temperature_falls_from_one_and_stays_low() -> None:
    assert temperature(0) == 1
    assert temperature(0.3) == pytest.approx(0.05**0.5)
    assert temperature(0.599999) == pytest.approx(0.05, rel=1e-4)
    assert temperature(0.6) == temperature(0.8) == temperature(1) == 0.02
    steps = [temperature(share) for share in np.linspace(0, 1, 101)]
    assert all(later <= earlier for earlier, later in pairwise(steps))


def test_zeros_weigh_as_much_as_what_is_expressed(trained: CellVQ) -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(0.2, (6, 60)).astype(np.float32))
    genes = np.arange(5, 45)
    target = make_target(counts, np.full(6, 30.0), genes)
    cell = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    nll = zinb_nll(target.counts, *trained.decode(cell, target.genes, target.totals))
    zeros, positives = [], []
    for row in range(6):
        for column, gene in enumerate(genes):
            group = positives if counts[row, gene] > 0 else zeros
            group.append(nll[row, column].item())
    assert len(zeros) > 3 * len(positives)
    expected = 0.5 * (np.mean(zeros) + np.mean(positives))
    assert reconstruction(trained, cell, target).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("count", [0.0, 3.0])
def test_counts_of_one_kind_give_a_finite_loss(trained: CellVQ, count: float) -> None:
    counts = sparse.csr_matrix(np.full((4, 60), count, np.float32))
    target = make_target(counts, np.full(4, 100.0), np.arange(60))
    assert torch.isfinite(reconstruction(trained, torch.zeros(4, 16), target))


def test_a_target_holds_the_genes_asked_for() -> None:
    counts = sparse.csr_matrix(np.arange(12, dtype=np.float64).reshape(3, 4))
    target = make_target(counts, np.array([6.0, 22, 38]), np.array([1, 3]))
    assert target.genes.tolist() == [1, 3]
    assert target.counts.tolist() == [[1, 3], [5, 7], [9, 11]]
    assert target.totals.tolist() == [[6], [22], [38]]
    assert target.counts.dtype == target.totals.dtype == torch.float32


def test_codebook_terms_follow_their_formula(trained: CellVQ) -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(25, 20, generator=generator)
    result = trained.discretise(cells, 0.4, generator)
    usage = result.probability.detach().numpy().mean(axis=0)
    codebook = trained.discretise.codebook().detach().numpy()
    cosine = codebook @ codebook.T
    np.fill_diagonal(cosine, -2)
    spread = cosine.max(axis=1).mean()
    closest = trained.discretise.similarity(cells, trained.discretise.codebook()).max(dim=1).values
    expected = (
        SPREAD_WEIGHT * spread
        + 0.3 * (usage * np.log(usage + 1e-12)).sum()
        + CODEBOOK_WEIGHT * (1 - closest.mean().item())
    )
    assert code_terms(trained, result, 0.3).item() == pytest.approx(expected, rel=1e-4)


def test_even_usage_costs_less_than_a_collapse(trained: CellVQ) -> None:
    even = torch.full((8, 16), 1 / 16)
    collapsed = torch.nn.functional.one_hot(torch.zeros(8, dtype=torch.long), 16).float()
    costs = [
        code_terms(
            trained,
            Discretised(torch.zeros(8), share, torch.zeros(8, 16), torch.ones(8)),
            0.3,
        )
        for share in (even, collapsed)
    ]
    difference = (costs[1] - costs[0]).item()
    assert difference == pytest.approx(0.3 * np.log(16), rel=1e-4)
