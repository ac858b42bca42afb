"""The tokeniser: ragged genes with values, lengths, depths; value bins."""

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq.tokens import DEEPEST, TARGET_DEPTH, place_in_bins, tokenise


def test_tokens_agree_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    dense = np.round(rng.gamma(1, 2, (8, 12)) * (rng.random((8, 12)) < 0.4), 3).astype(np.float32)
    dense[2] = 0
    totals = np.array([0.0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6])
    tokens = tokenise(sparse.csr_matrix(dense), totals)
    assert tokens.indptr.dtype == tokens.gene.dtype == torch.int64
    assert tokens.value.dtype == tokens.length.dtype == tokens.depth.dtype == torch.float32
    for row, values in enumerate(dense):
        genes = [gene for gene, value in enumerate(values) if value > 0]
        own = slice(int(tokens.indptr[row]), int(tokens.indptr[row + 1]))
        assert tokens.gene[own].tolist() == genes
        assert tokens.value[own].tolist() == [float(values[gene]) for gene in genes]
        assert tokens.length[row] == len(genes)
    # Cells deeper than those of training all have the depth of the deepest of these.
    deepest = np.log10(DEEPEST)
    expected = [0, 0, 1, 2, 3, 4, deepest, deepest]
    np.testing.assert_allclose(tokens.depth[:, 0], expected, rtol=1e-6)
    assert (tokens.depth[:, 1] == TARGET_DEPTH).all()
    assert TARGET_DEPTH == 4


def test_a_target_depth_a_cell_can_be_asked_for() -> None:
    depth = np.array([1.0, 2.0, 3.0])
    tokens = tokenise(sparse.csr_matrix(np.eye(3)), np.ones(3), target_depth=depth)
    assert tokens.depth[:, 1].tolist() == [1, 2, 3]


def test_a_sample_of_genes_can_stand_for_more() -> None:
    tokens = tokenise(sparse.csr_matrix(np.eye(3)), np.ones(3), length=np.array([5, 1, 9]))
    assert tokens.length.tolist() == [5, 1, 9]
    assert len(tokens.gene) == 3


def test_cells_without_tokens_have_none() -> None:
    tokens = tokenise(sparse.csr_matrix((2, 5), dtype=np.float32), np.ones(2))
    assert tokens.indptr.tolist() == [0, 0, 0]
    assert len(tokens.gene) == len(tokens.value) == 0
    assert tokens.length.tolist() == [0, 0]


@pytest.mark.parametrize("n_bins", [2, 8, 100])
def test_a_value_lies_between_its_bins(n_bins: int) -> None:
    most = float(np.log1p(1e4))
    value = torch.cat([torch.rand(200, generator=torch.Generator().manual_seed(0)) * most])
    lower, share = place_in_bins(value, n_bins)
    assert lower.min() >= 0
    assert lower.max() <= n_bins - 2
    assert ((share >= 0) & (share <= 1)).all()
    edges = torch.linspace(0, most, n_bins)
    back = edges[lower] * (1 - share) + edges[lower + 1] * share
    torch.testing.assert_close(back, value, atol=1e-3, rtol=0)


def test_values_beyond_the_bins_fall_into_the_outermost() -> None:
    lower, share = place_in_bins(torch.tensor([-3.0, 0.0, 9.2103, 50.0]), 32)
    assert lower.tolist() == [0, 0, 30, 30]
    assert share[:2].tolist() == [0, 0]
    np.testing.assert_allclose(share[2:], 1, atol=1e-3)
