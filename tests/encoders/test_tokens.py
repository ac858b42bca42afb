"""The tokeniser, the bound on tokens, and the soft value bins."""

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq.tokens import DEEPEST, TARGET_DEPTH, SoftBins, keep_top, tokenise


def test_tokens_agree_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    dense = np.round(rng.gamma(1, 2, (8, 12)) * (rng.random((8, 12)) < 0.4), 3).astype(np.float32)
    dense[2] = 0
    totals = np.array([0.0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6])
    tokens = tokenise(sparse.csr_matrix(dense), totals)
    length = int((dense > 0).sum(axis=1).max())
    assert tokens.gene.shape == tokens.value.shape == tokens.present.shape == (8, length)
    for row, values in enumerate(dense):
        genes = [gene for gene, value in enumerate(values) if value > 0]
        padding = [0] * (length - len(genes))
        assert tokens.gene[row].tolist() == genes + padding
        assert tokens.value[row].tolist() == [float(values[gene]) for gene in genes] + padding
        assert tokens.present[row].tolist() == [True] * len(genes) + [False] * len(padding)
        assert tokens.length[row].item() == len(genes)
    # Cells deeper than those of training all have the depth of the deepest of these.
    deepest = np.log10(DEEPEST)
    expected = [0, 0, 1, 2, 3, 4, deepest, deepest]
    np.testing.assert_allclose(tokens.depth[:, 0], expected, rtol=1e-6)
    assert (tokens.depth[:, 1] == TARGET_DEPTH).all()
    assert TARGET_DEPTH == 4


def test_a_target_depth_a_cell_can_be_asked_for() -> None:
    tokens = tokenise(sparse.csr_matrix(np.eye(3)), np.ones(3), np.array([1.0, 2.0, 3.0]))
    assert tokens.depth[:, 1].tolist() == [1, 2, 3]


def test_cells_without_tokens_have_one_padded_position() -> None:
    tokens = tokenise(sparse.csr_matrix((2, 5)), np.ones(2))
    assert tokens.gene.shape == (2, 1)
    assert not tokens.present.any()
    assert tokens.length.tolist() == [[0], [0]]


@pytest.mark.parametrize("most", [1, 3, 7])
def test_the_highest_values_are_kept_and_ties_go_to_the_lower_column(most: int) -> None:
    dense = np.random.default_rng(1).integers(0, 4, (30, 15)).astype(np.float32)
    dense[4] = 0
    found = keep_top(sparse.csr_matrix(dense), most)
    expected = np.zeros_like(dense)
    for row, values in enumerate(dense):
        ranked = sorted((gene for gene in range(15) if values[gene]), key=lambda g: (-values[g], g))
        expected[row, ranked[:most]] = values[ranked[:most]]
    np.testing.assert_array_equal(found.toarray(), expected)
    assert np.diff(found.indptr).max() <= most


def test_nothing_is_cut_within_the_bound() -> None:
    matrix = sparse.csr_matrix(np.eye(4))
    assert (keep_top(matrix, 1) != matrix).nnz == 0
    assert keep_top(sparse.csr_matrix((3, 4)), 2).nnz == 0


def test_keeping_the_top_leaves_its_input_alone() -> None:
    matrix = sparse.csr_matrix(np.random.default_rng(2).random((5, 9)))
    before = matrix.copy()
    keep_top(matrix, 2)
    assert (matrix != before).nnz == 0
    assert matrix.nnz == 45


def test_soft_bins_mix_the_bins_with_shares_that_sum_to_one() -> None:
    torch.manual_seed(0)
    bins = SoftBins(8, 8)
    value = torch.rand(5, 7) * 9
    with torch.no_grad():
        bins.bins.copy_(torch.eye(8))
        shares = bins(value)
    assert shares.shape == (5, 7, 8)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(5, 7))
    assert shares.std(dim=(0, 1)).max() > 1e-3


def test_soft_bins_follow_the_formula() -> None:
    torch.manual_seed(1)
    bins = SoftBins(4, 3)
    state = {name: value.detach().numpy() for name, value in bins.state_dict().items()}
    for value in (0.0, 0.7, 6.5):
        u = state["stretch.weight"][:, 0] * value + state["stretch.bias"]
        u = np.where(u > 0, u, 0.1 * u)
        logits = u + state["mix.weight"] @ u + state["mix.bias"]
        shares = np.exp(logits) / np.exp(logits).sum()
        found = bins(torch.tensor(value)).detach().numpy()
        np.testing.assert_allclose(found, shares @ state["bins"], rtol=1e-4, atol=1e-6)
