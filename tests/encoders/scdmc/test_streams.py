"""The two streams against loops written from their definition."""

import numpy as np
import pytest
from scipy import sparse

from scypher.encoders.scdmc.config import CLS, EOS, PAD
from scypher.encoders.scdmc.streams import epe_stream, gene_medians, rank_stream, scale

TOKEN = np.arange(12) + 4


@pytest.fixture
def counts(rng: np.random.Generator) -> np.ndarray:
    """Counts with ties, an empty cell and a full one."""
    counts = rng.poisson(1.0, (9, 12)).astype(np.float32)
    counts[3] = 0
    counts[4] = 2
    return counts


def expected_streams(
    counts: np.ndarray, totals: np.ndarray, medians: np.ndarray, most: int
) -> tuple[list[list[int]], list[list[int]], list[list[float]]]:
    ranks, columns, values = [], [], []
    for cell, total in zip(counts, totals, strict=True):
        x = {g: float(n / total * 1e4 / medians[g]) for g, n in enumerate(cell) if n > 0}
        by_rank = sorted(x, key=lambda g: (-np.float32(x[g]), g))[: most - 2]
        by_column = sorted(by_rank)
        ranks.append([CLS, *(int(TOKEN[g]) for g in by_rank), EOS])
        columns.append([CLS, *(int(TOKEN[g]) for g in by_column), EOS])
        values.append([1.0, *(float(np.log1p(x[g])) for g in by_column), 1.0])
    return ranks, columns, values


@pytest.mark.parametrize("most", [2048, 6, 3])
def test_streams_are_those_of_a_loop(
    counts: np.ndarray, rng: np.random.Generator, most: int
) -> None:
    totals = counts.sum(axis=1) + 3
    medians = rng.choice([0.5, 1.0, 2.0], 12)
    scaled = scale(sparse.csr_matrix(counts), totals, medians)
    rank = rank_stream(scaled, TOKEN, most)
    epe, value = epe_stream(scaled, TOKEN, most)
    ranks, columns, values = expected_streams(counts, totals, medians, most)
    assert rank.shape == epe.shape == value.shape == (9, max(map(len, ranks)))
    assert rank.dtype == epe.dtype == np.int64
    assert value.dtype == np.float32
    for cell, (by_rank, by_column, found) in enumerate(zip(ranks, columns, values, strict=True)):
        n = len(by_rank)
        assert rank[cell].tolist() == by_rank + [PAD] * (rank.shape[1] - n)
        assert epe[cell].tolist() == by_column + [PAD] * (rank.shape[1] - n)
        np.testing.assert_allclose(value[cell, :n], found, rtol=1e-5)
        assert (value[cell, n:] == 0).all()


def test_ties_go_to_the_lower_gene() -> None:
    scaled = scale(sparse.csr_matrix(np.full((1, 12), 3.0)), np.array([36.0]), np.ones(12))
    assert rank_stream(scaled, TOKEN, 6).tolist() == [[CLS, 4, 5, 6, 7, EOS]]


def test_the_highest_values_are_kept_not_the_first_columns() -> None:
    scaled = scale(sparse.csr_matrix([[1.0, 1.0, 9.0, 8.0]]), np.array([19.0]), np.ones(4))
    assert epe_stream(scaled, TOKEN, 4)[0].tolist() == [[CLS, 6, 7, EOS]]


def test_stored_zeros_are_no_genes_and_the_input_stays() -> None:
    counts = sparse.csr_matrix(np.array([[1.0, 5.0, 2.0]]))
    counts.data[1] = 0
    scaled = scale(counts, np.array([3.0]), np.ones(3))
    assert scaled.indices.tolist() == [0, 2]
    assert counts.indices.tolist() == [0, 1, 2]
    assert counts.data.tolist() == [1.0, 0.0, 2.0]


def test_medians_are_those_of_numpy(counts: np.ndarray) -> None:
    counts[:, 5] = 0
    totals = counts.sum(axis=1) + 1
    found = gene_medians(sparse.csr_matrix(counts), totals)
    x = counts / totals[:, None] * 1e4
    for gene in range(12):
        wanted = np.median(x[x[:, gene] > 0, gene]) if gene != 5 else 1.0
        assert found[gene] == pytest.approx(wanted, rel=1e-6)
