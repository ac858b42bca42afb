import numpy as np
import pytest
import scipy.sparse as sp

from scypher.interpret.attention_null import (
    GroupMeans,
    attention_test,
    degree_corrected_lift,
    shuffle,
)
from scypher.interpret.permutations import against, alike, permuted_sums, shuffles


def toy(seed=0, n_cells=240, n_genes=90):
    """Attention with three groups, of which gene 0 is carried, and gene 1 weighed, more in one."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(-1, 3, n_cells)
    carried = rng.random((n_cells, n_genes)) < rng.uniform(0.1, 0.9, n_genes)
    carried[groups == 0, 0] = True
    weight = rng.lognormal(0, 0.4, (n_cells, n_genes))
    weight[groups == 1, 1] *= 3
    return sp.csr_matrix(np.where(carried, weight, 0).astype(np.float32)), groups


def test_every_permutation_counts_as_in_a_plain_loop():
    attention, groups = toy()
    n, draws = 3, 150
    strata = np.random.default_rng(1).integers(0, 2, len(groups))
    found = attention_test(
        attention, groups, n, strata=strata, rng=np.random.default_rng(5), n_permutations=draws
    )
    label = np.where(groups < 0, n, groups)
    labels = shuffles(label, strata, np.random.default_rng(5), n=draws)
    dense = attention.toarray().astype(float)
    size = np.array([(label == group).sum() for group in range(n)])[:, None]
    means = np.array([dense[label == group].mean(0) for group in range(n)])
    epsilon = np.quantile(means[means > 0], 0.05)

    def score(own):
        inside = np.array([dense[own == group].sum(0) for group in range(n)])
        cells = np.array([(dense[own == group] > 0).sum(0) for group in range(n)])
        rest = (dense.sum(0) - inside) / (len(own) - size)
        return np.log2((inside / size + epsilon) / (rest + epsilon)) * cells / size

    null = np.array([score(labels[:, draw]) for draw in range(draws)])
    centre, spread = null.mean(0), null.std(0)
    np.testing.assert_allclose(found.score, score(label), rtol=1e-9, atol=1e-12)
    z = (score(label) - centre) / spread
    np.testing.assert_allclose(found.z, z, atol=1e-4)
    drawn = np.abs((null - centre) / spread)  # one pool: fewer than 100 genes
    for group in range(n):
        reached = [(drawn[:, group] >= abs(seen)).sum() for seen in z[group]]
        exact = (np.array(reached) + 1) / (drawn[:, group].size + 1)
        # steps of 0.01 may only make p larger
        np.testing.assert_allclose(found.p[group], exact, atol=0.012)
        assert (found.p[group] >= exact - 1e-6).all()


def test_permuted_sums_equal_a_loop():
    attention, groups = toy()
    label = np.where(groups < 0, 3, groups)
    labels = shuffles(label, np.zeros(len(label), int), np.random.default_rng(0), n=7)
    sums, cells = permuted_sums(attention.tocsc(), labels, 3)
    dense = attention.toarray().astype(float)
    for draw in range(7):
        for group in range(3):
            own = dense[labels[:, draw] == group]
            np.testing.assert_allclose(sums[:, draw, group], own.sum(0))
            np.testing.assert_array_equal(cells[:, draw, group], (own > 0).sum(0))


def test_shuffles_are_uniform_and_stay_within_strata():
    strata = np.array([7, 3, 7, 3, 7])
    label = np.array([0, 1, 2, 3, 4])
    drawn = shuffles(label, strata, np.random.default_rng(0), n=30_000)
    for cell, allowed in enumerate([(0, 2, 4), (1, 3), (0, 2, 4), (1, 3), (0, 2, 4)]):
        share = np.bincount(drawn[cell], minlength=5) / drawn.shape[1]
        np.testing.assert_allclose(share[list(allowed)], 1 / len(allowed), atol=0.015)
        assert share.sum() == pytest.approx(share[list(allowed)].sum())
    # every arrangement of the stratum of three
    code = drawn[0].astype(int) * 9 + drawn[2]
    np.testing.assert_allclose(np.unique(code, return_counts=True)[1] / 30_000, 1 / 6, atol=0.015)
    one = shuffle(label, strata, np.random.default_rng(3))
    np.testing.assert_array_equal(one, shuffles(label, strata, np.random.default_rng(3), n=1)[:, 0])


def test_lift_is_a_product_of_degree_and_weight():
    attention, groups = toy()
    found = degree_corrected_lift(attention, groups, 3)
    dense = attention.toarray().astype(float)
    means = GroupMeans.of(attention, np.where(groups < 0, 3, groups), 3)
    for group in range(3):
        inside, rest = dense[groups == group], dense[groups != group]
        for gene in range(dense.shape[1]):
            a, b = inside[:, gene], rest[:, gene]
            enough = (a > 0).sum() >= 3 and (b > 0).sum() >= 3
            weight = a[a > 0].mean() / b[b > 0].mean() if enough else 1.0
            assert found[group, gene] == pytest.approx(weight)
            if enough:
                degree = (a > 0).mean() / (b > 0).mean()
                assert a.mean() / b.mean() == pytest.approx(degree * weight)
    # carried more is no heavier weight; weighed more is
    assert found[0, 0] < 1.3 < means.lift(means.inside)[0, 0]
    assert found[1, 1] > 2


def test_pooled_p_of_a_null_gene_is_uniform():
    rng = np.random.default_rng(0)
    null = rng.normal(size=(150, 1, 400)).astype(np.float32) * rng.uniform(0.1, 9, (150, 1, 1))
    seen = null[:, :, 0].T.astype(float)
    z, p = against(null, seen)
    assert abs(z).max() < 5
    grid = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose([(p <= at).mean() for at in grid], grid, atol=0.12)
    flat, sure = against(np.ones((4, 1, 9), np.float32), np.full((1, 4), 5.0))
    assert (flat == 0).all()
    assert (sure == 1).all()


def test_pools_are_large_and_keep_equal_genes_together():
    present = np.sort(np.random.default_rng(0).integers(3, 60, 1000))
    pools = alike(present)
    assert [pool.start for pool in pools] == [0, *(pool.stop for pool in pools[:-1])]
    assert pools[-1].stop == len(present)
    assert all(pool.stop - pool.start >= 100 for pool in pools)
    assert all(present[pool.stop - 1] < present[pool.stop] for pool in pools[:-1])
    assert alike(np.array([3, 3, 4])) == [slice(0, 3)]
    assert alike(np.array([], dtype=int)) == []
