import numpy as np
import pytest
import scipy.sparse as sp
from programs import log_expression, plant

from scypher.encoders.errors import InputError
from scypher.interpret.modules.associations import associate
from scypher.interpret.modules.pair_correlation import correlation_matrix
from scypher.interpret.modules.strata import depth_strata
from scypher.interpret.modules.stratified_null import (
    add_draws,
    by_stratum,
    correlate,
    like_expressed,
    no_draws,
    pair_test,
)

N_CELLS, N_GENES = 1200, 320


def counts(seed=0, n_programs=4, size=20):
    """Counts with programs, donors and depth, and the strata of cells."""
    rng = np.random.default_rng(seed)
    rate = np.tile(rng.gamma(1.0, 0.5, N_GENES) + 0.05, (N_CELLS, 1))
    activity = rng.gamma(0.6, 1.0, (N_CELLS, n_programs))
    plant(rate, activity, size)
    donor = rng.integers(0, 4, N_CELLS)
    rate *= rng.lognormal(0, 0.4, (4, N_GENES))[donor]
    found = rng.poisson(rate * rng.lognormal(0, 0.4, (N_CELLS, 1))).astype(float)
    return log_expression(found), depth_strata(found.sum(1), donor), donor


def shuffled(values, strata, seed=0):
    """The values of each gene permuted within strata."""
    rng = np.random.default_rng(seed)
    dense = values.toarray()
    for stratum in np.unique(strata):
        cells = np.flatnonzero(strata == stratum)
        dense[cells] = rng.permuted(dense[cells], axis=0)
    return sp.csr_matrix(dense)


def upper(square):
    return square[np.triu_indices(len(square), k=1)]


@pytest.mark.parametrize("measure", ["correlation", "metacell", "attention", "context"])
def test_shuffled_data_give_uniform_p(measure):
    values, strata, donor = counts()
    below = []
    for seed in range(3):
        found = associate(
            measure,
            shuffled(values, strata, seed),
            genes=np.arange(N_GENES),
            strata=strata,
            donors=donor,
            rng=np.random.default_rng(seed),
            gene_vectors=np.random.default_rng(9).standard_normal((N_GENES, 32)),
            n_permutations=4,
        )
        p = upper(found.p)
        below.append([(p <= level).mean() for level in (0.5, 0.05, 0.005)])
        assert p.min() > 0
        assert np.nanstd(upper(found.z)) == pytest.approx(1, abs=0.08)
    np.testing.assert_allclose(np.mean(below, axis=0), [0.5, 0.05, 0.005], rtol=0.15)


@pytest.mark.parametrize("measure", ["correlation", "metacell"])
def test_programs_are_associated(measure):
    values, strata, donor = counts()
    found = associate(
        measure,
        values,
        genes=np.arange(N_GENES),
        strata=strata,
        donors=donor,
        rng=np.random.default_rng(0),
        n_permutations=4,
    )
    program = np.where(np.arange(N_GENES) < 80, np.arange(N_GENES) // 20, -1)
    same = (program[:, None] == program) & (program >= 0)
    assert (upper(found.p)[upper(same)] < 0.001).mean() > 0.8
    assert found.measure == measure
    assert found.null
    np.testing.assert_array_equal(found.p, found.p.T)
    np.testing.assert_allclose(found.weight, found.weight.T, atol=1e-6)


def test_metacells_show_more_correlation_of_sparse_genes():
    values, strata, donor = counts()
    arguments = {"genes": np.arange(N_GENES), "strata": strata, "donors": donor}
    mean = {}
    for measure in ("correlation", "metacell"):
        found = associate(measure, values, rng=np.random.default_rng(0), **arguments)
        mean[measure] = upper(found.weight[:20, :20]).mean()
    assert mean["metacell"] > 1.3 * mean["correlation"]


def test_cosine_is_tested_among_genes_of_like_expression():
    values, _, _ = counts()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((N_GENES, 16))
    vectors[10] = vectors[3] * 2
    vectors[5] = np.nan
    genes = np.arange(0, 200)
    found = associate("embedding", values, genes=genes, gene_vectors=vectors, rng=rng)
    scaled = vectors[:200] / np.linalg.norm(vectors[:200], axis=1, keepdims=True)
    expected = scaled @ scaled.T
    known = np.isfinite(expected)
    np.testing.assert_allclose(found.weight[known], expected[known], atol=1e-5)
    assert found.weight[3, 10] == pytest.approx(1, abs=1e-5)
    assert found.p[3, 10] < 0.001
    assert np.isnan(found.z[5]).all()
    assert (found.p[5] == 1).all()
    # an oracle: place of a pair among all pairs of its two bins
    expressing = np.bincount(values[:, genes].indices, minlength=200)
    bins = like_expressed(expressing, np.delete(genes, 5))
    a, b = bins[0], bins[1]
    block = expected[np.ix_(a, b)]
    z = np.abs(block - block.mean()) / block.std()
    for row, column in ((0, 0), (3, 7), (10, 2)):
        reached = (np.floor(z / 0.02) >= np.floor(z[row, column] / 0.02)).sum()
        expected_p = (reached + 1) / (z.size + 1)
        assert found.p[a[row], b[column]] == pytest.approx(expected_p, rel=0.05)


def test_pooled_p_equals_a_loop_over_draws():
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((9, 9))
    count = no_draws(2)
    add_draws(drawn, [4, 5], count)
    within = np.abs(drawn[:4, :4][np.triu_indices(4, k=1)])
    expected = np.bincount((within / 0.02).astype(int), minlength=count.shape[1])
    np.testing.assert_array_equal(count[0], expected)
    assert count.sum(axis=1).tolist() == [6, 20, 10]


def test_z_is_the_same_whatever_the_subset_of_genes():
    values, strata, _ = counts()
    columns, size = by_stratum(values, strata, np.arange(30))
    few = correlate(columns, size)
    test = pair_test(
        values, strata, np.arange(N_GENES), rng=np.random.default_rng(0), n_permutations=1
    )
    np.testing.assert_allclose(few[1], test.z[:30, :30], rtol=1e-3, atol=1e-3)


def test_many_genes_draw_the_null_from_some():
    values, strata, _ = counts()
    wide = sp.hstack([shuffled(values, strata, seed) for seed in range(6)], format="csr")
    test = pair_test(
        wide, strata, np.arange(wide.shape[1]), rng=np.random.default_rng(0), n_permutations=2
    )
    p = upper(test.p)
    for level in (0.5, 0.05, 0.005):
        assert (p <= level).mean() == pytest.approx(level, rel=0.15)


def test_correlation_equals_numpy():
    values, _, _ = counts()
    dense = values.toarray().astype(float)
    genes = np.array([4, 0, 9, 100])
    np.testing.assert_allclose(
        correlation_matrix(values, genes), np.corrcoef(dense[:, genes], rowvar=False), atol=1e-6
    )
    still = sp.csr_matrix(np.column_stack([np.full(9, 2.0), np.arange(9.0)]))
    np.testing.assert_array_equal(correlation_matrix(still, np.arange(2)), np.eye(2))
    everything = correlation_matrix(
        sp.hstack([values, values], format="csr"), np.arange(2 * N_GENES)
    )
    np.testing.assert_allclose(
        everything[:N_GENES, N_GENES:], np.corrcoef(dense, rowvar=False), atol=1e-4
    )


def test_strata_hold_ten_cells_of_one_donor():
    rng = np.random.default_rng(0)
    donor = np.repeat([0, 1, 2], [400, 35, 7])
    totals = rng.permutation(442)
    strata = depth_strata(totals, donor)
    assert len(np.unique(strata[donor == 0])) == 10
    assert len(np.unique(strata[donor == 1])) == 3
    assert len(np.unique(strata[donor == 2])) == 1
    for stratum in np.unique(strata):
        inside = strata == stratum
        assert len(np.unique(donor[inside])) == 1
        rest = (strata > stratum) & (donor == donor[inside][0])
        assert totals[inside].max() < totals[rest].min(initial=10_000)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"measure": "spearman"}, "one of correlation"),
        ({"strata": np.zeros(3)}, "one stratum and one donor"),
        ({"donors": np.zeros(3)}, "one stratum and one donor"),
        ({"genes": np.array([1, 1])}, "each gene once"),
        ({"genes": np.array([1, 9999])}, "each gene once"),
        ({"measure": "metacell", "genes": np.arange(9)}, "at least 40"),
        ({"measure": "embedding"}, "one vector for each gene"),
        ({"measure": "embedding", "gene_vectors": np.zeros((3, 2))}, "one vector for each gene"),
    ],
)
def test_bad_input_is_refused(change, match):
    values, strata, _ = counts()
    arguments = {"measure": "correlation", "genes": np.arange(50), "strata": strata} | change
    with pytest.raises(InputError, match=match):
        associate(arguments.pop("measure"), values, rng=np.random.default_rng(0), **arguments)
