"""Columns of a model, the bound on tokens, chunks of like length."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from scypher.encoders.reading import chunks_by_length, keep_top, to_columns


def counts(seed: int, n: int = 9, m: int = 7) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix(rng.poisson(0.8, (n, m)).astype(np.float32))


def test_columns_agree_with_a_loop_and_shared_ones_are_summed() -> None:
    given = counts(0)
    column = np.array([4, -1, 0, 4, 2, -1, 9])
    expected = np.zeros((9, 11))
    for row in range(9):
        for gene, place in enumerate(column):
            if place >= 0:
                expected[row, place] += given[row, gene]
    found = to_columns(given, column, 11)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices
    assert found.dtype == np.float32


def test_no_known_gene_gives_an_empty_matrix() -> None:
    found = to_columns(counts(1), np.full(7, -1), 5)
    assert found.shape == (9, 5)
    assert found.nnz == 0


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


@pytest.mark.parametrize("most", [1, 50, 400, 10**9])
def test_chunks_cover_every_row_once_within_the_bound(most: int) -> None:
    lengths = np.random.default_rng(3).integers(0, 60, 200)
    chunks = list(chunks_by_length(lengths, most))
    np.testing.assert_array_equal(np.sort(np.concatenate(chunks)), np.arange(200))
    for chunk in chunks:
        padded = len(chunk) * max(lengths[chunk].max(), 1)
        assert len(chunk) == 1 or padded <= most
    # Chunks are as long as the bound lets them be: the first row of the next one would not fit.
    for chunk, following in itertools.pairwise(chunks):
        assert (len(chunk) + 1) * max(lengths[following[0]], 1) > most


def test_chunks_hold_rows_of_like_length() -> None:
    lengths = np.random.default_rng(4).integers(1, 1000, 500)
    padded = sum(len(c) * lengths[c].max() for c in chunks_by_length(lengths, 20_000))
    assert padded < 1.15 * lengths.sum()


def test_no_rows_give_no_chunks() -> None:
    assert list(chunks_by_length(np.zeros(0, int), 10)) == []
