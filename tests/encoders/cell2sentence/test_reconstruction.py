"""From ranks back to expression: lines, measures, and the published protocol on real data."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from scypher.encoders.cell2sentence.reconstruction import (
    Agreement,
    agreement,
    fit_ranks,
    protocol_filter,
    reconstruct,
    score_reconstruction,
    values_at,
)
from scypher.encoders.cell2sentence.sentences import log_values, sentences_of
from scypher.encoders.cell2sentence.variable import variable_genes_of
from scypher.encoders.cells import read_h5ad
from scypher.encoders.errors import InputError


def toy(n_cells: int = 60, n_genes: int = 1500, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.4, 4.0, n_genes) * rng.uniform(0.5, 2, n_cells)[:, None]
    return sparse.csr_matrix(rng.poisson(rate), dtype=np.float32)


def pairs(
    values: sparse.csr_matrix, ranks: sparse.csr_matrix
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log10(1 + rank), value, gene of every word, cell by cell."""
    found = [
        (np.log10(1 + rank), values[row, gene], gene)
        for row in range(ranks.shape[0])
        for gene, rank in zip(ranks[row].indices, ranks[row].data, strict=True)
    ]
    x, y, gene = (np.array(item) for item in zip(*found, strict=True))
    return x, y, gene


def test_the_line_and_the_measures_equal_scikit_learn_and_scipy() -> None:
    counts = toy(20)
    values, ranks = log_values(counts), sentences_of(counts, [f"G{i}" for i in range(1500)]).ranks
    x, y, _ = pairs(values, ranks)
    used = x < 3
    assert 0 < used.sum() < len(x) or ranks.data.max() < 999
    oracle = LinearRegression().fit(x[used, None], y[used])
    fit = fit_ranks(values, ranks, np.random.default_rng(0))
    np.testing.assert_allclose(fit.slope, oracle.coef_[0], rtol=1e-9)
    np.testing.assert_allclose(fit.intercept, oracle.intercept_, rtol=1e-9)
    assert (fit.n_cells, fit.n_pairs) == (20, used.sum())
    guess = oracle.predict(x[:, None])
    found = agreement(values, reconstruct(ranks, fit))
    np.testing.assert_allclose(
        found[:3],
        [r2_score(y, guess), stats.pearsonr(y, guess)[0], stats.spearmanr(y, guess)[0]],
        rtol=1e-9,
    )
    assert found.n_pairs == len(y)


def test_pairs_beyond_the_bound_are_judged_and_not_fitted() -> None:
    n = 1500
    ranks = sparse.csr_matrix(np.arange(1, n + 1, dtype=np.int32)[None, :])
    x = np.log10(1.0 + np.arange(1, n + 1))
    y = np.where(x < 3, 5 - x, 9.0)
    fit = fit_ranks(sparse.csr_matrix(y[None, :]), ranks, np.random.default_rng(0))
    assert fit.n_pairs == 998
    np.testing.assert_allclose([fit.slope[0], fit.intercept[0]], [-1, 5], rtol=1e-9)
    found = agreement(sparse.csr_matrix(y[None, :]), reconstruct(ranks, fit))
    assert found.n_pairs == n
    np.testing.assert_allclose(found.r2, r2_score(y, 5 - x), rtol=1e-9)


def test_an_exact_line_is_found_exactly() -> None:
    ranks = sentences_of(toy(30), [f"G{i}" for i in range(1500)]).ranks
    values = ranks.astype(np.float64)
    values.data = 4 - 0.7 * np.log10(1 + values.data)
    fit = fit_ranks(values, ranks, np.random.default_rng(0))
    np.testing.assert_allclose(fit.slope, -0.7, rtol=1e-9)
    found = agreement(values, reconstruct(ranks, fit))
    np.testing.assert_allclose(found[:3], 1, rtol=1e-9)


def test_lines_per_gene_equal_a_loop_and_rare_genes_keep_the_common_line() -> None:
    counts = toy(25)
    values, ranks = log_values(counts), sentences_of(counts, [f"G{i}" for i in range(1500)]).ranks
    rng = np.random.default_rng(0)
    common, own = fit_ranks(values, ranks, rng), fit_ranks(values, ranks, rng, per_gene=True)
    x, y, gene = pairs(values, ranks)
    used = x < 3
    n_own = 0
    for index in range(0, 1500, 37):
        mine = used & (gene == index)
        if mine.sum() >= 3 and np.ptp(x[mine]) > 0:
            slope, intercept = np.polyfit(x[mine], y[mine], 1)
            np.testing.assert_allclose(own.slope[index], slope, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(own.intercept[index], intercept, rtol=1e-6)
            n_own += 1
        else:
            assert own.slope[index] == common.slope[index]
            assert own.intercept[index] == common.intercept[index]
    assert 0 < n_own < 41


def test_at_most_1024_cells_are_fitted_and_the_seed_draws_them() -> None:
    counts = toy(1100, 40)
    values, ranks = log_values(counts), sentences_of(counts, [f"G{i}" for i in range(40)]).ranks
    fits = [fit_ranks(values, ranks, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert fits[0].n_cells == 1024
    assert fits[0].slope[0] == fits[1].slope[0] != fits[2].slope[0]


def test_reconstruction_keeps_the_places_of_the_words() -> None:
    counts = toy(10)
    names = [f"G{i}" for i in range(1500)]
    values, ranks = log_values(counts), sentences_of(counts, names, most=50).ranks
    back = reconstruct(ranks, fit_ranks(values, ranks, np.random.default_rng(0)))
    assert back.shape == ranks.shape
    assert np.array_equal(back.indices, ranks.indices)
    np.testing.assert_array_equal(
        values_at(values, ranks).toarray(), np.where(ranks.toarray() > 0, values.toarray(), 0)
    )


def test_what_does_not_belong_together_is_refused() -> None:
    counts = toy(10)
    values, ranks = log_values(counts), sentences_of(counts, [f"G{i}" for i in range(1500)]).ranks
    with pytest.raises(InputError, match=r"ranks of shape \(9, 1500\) and values of shape \(10"):
        fit_ranks(values, ranks[:9], np.random.default_rng(0))
    other = sentences_of(toy(10, seed=1), [f"G{i}" for i in range(1500)]).ranks
    with pytest.raises(InputError, match="every rank needs its value"):
        fit_ranks(values, other, np.random.default_rng(0))


def test_what_determines_no_line_is_refused() -> None:
    one = sparse.csr_matrix(np.array([[0, 3.0], [2.0, 0]]))
    ranks = sparse.csr_matrix(np.array([[0, 1], [1, 0]], np.int32))
    with pytest.raises(InputError, match="2 words of 2 cells have less than two distinct ranks"):
        fit_ranks(one, ranks, np.random.default_rng(0))
    with pytest.raises(InputError, match="do not vary"):
        agreement(one, sparse.csr_matrix(np.array([[0, 1.0], [1.0, 0]])))


def test_the_filter_counts_genes_then_cells() -> None:
    counts = sparse.csr_matrix(np.array([[1, 1, 0, 5], [1, 0, 0, 0], [1, 1, 1, 0], [2, 2, 0, 0]]))
    cells, genes = protocol_filter(counts, least_genes=2, least_cells=2)
    assert cells.tolist() == [True, False, True, True]
    assert genes.tolist() == [True, True, False, False]


def protocol(path: Path, genes: int | None = None, **options: float | str) -> Agreement:
    adata = read_h5ad(path)
    if "species" in adata.obs:
        adata = adata[adata.obs["species"] == "human"].copy()
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    cells, kept = protocol_filter(counts)
    counts = sparse.csr_matrix(counts[cells][:, kept])
    names = [str(name) for name in adata.var_names[kept]]
    chosen = None if genes is None else variable_genes_of(counts, names, genes)
    rng = np.random.default_rng(0)
    return score_reconstruction(counts, names, rng, genes=chosen, **options)[1]  # type: ignore[arg-type]  # options of two kinds


@pytest.mark.parametrize("name", ["blood_pbmc3k", "blood_kang_ifnb", "pancreas_baron_human_mouse"])
def test_full_sentences_of_umi_counts_reach_the_published_figure(data_dir: Path, name: str) -> None:
    found = protocol(data_dir / f"{name}.h5ad")
    assert found.r2 >= 0.80
    assert found.spearman > 0.8


def test_full_length_reads_fall_short_with_the_median_and_less_with_10000(data_dir: Path) -> None:
    """Their logarithms are no line of the rank: a target of millions bends it most."""
    path = data_dir / "pancreas_three_studies.h5ad"
    median, fixed = protocol(path), protocol(path, target=1e4)
    assert median.r2 < 0.80 < fixed.r2
    assert median.spearman == pytest.approx(fixed.spearman, abs=0.01)
