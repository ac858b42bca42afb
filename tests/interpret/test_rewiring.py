import numpy as np
import pytest
import scipy.sparse as sp

from scypher.interpret.rewiring import rewire, rewiring_test
from scypher.interpret.statistics import adjust


def graph(seed=0, n_cells=80, n_genes=40):
    rng = np.random.default_rng(seed)
    carried = rng.random((n_cells, n_genes)) < rng.uniform(0.05, 0.8, n_genes)
    carried[0] = True
    return sp.csr_matrix(np.where(carried, rng.lognormal(0, 0.5, carried.shape), 0)), rng


def test_degrees_and_weights_are_kept():
    matrix, rng = graph()
    strata = rng.integers(0, 3, matrix.shape[0])
    drawn = rewire(matrix, strata, rng)
    assert len(np.unique(drawn.indices + 1000 * np.repeat(range(80), np.diff(drawn.indptr)))) == (
        matrix.nnz
    )
    old, new = matrix.toarray(), drawn.toarray()
    assert ((old > 0) != (new > 0)).mean() > 0.1
    np.testing.assert_array_equal((old > 0).sum(1), (new > 0).sum(1))
    for stratum in range(3):
        own = strata == stratum
        np.testing.assert_array_equal((old[own] > 0).sum(0), (new[own] > 0).sum(0))
    np.testing.assert_allclose(np.sort(old, axis=1), np.sort(new, axis=1))


def test_edges_are_as_often_as_in_all_graphs_of_these_degrees():
    # three cells, four genes: few enough graphs to count how often each edge is there
    matrix = sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]], dtype=float))
    rng = np.random.default_rng(0)
    here = np.mean(
        [rewire(matrix, np.zeros(3, int), rng).toarray() > 0 for _ in range(3000)], axis=0
    )
    seen, degrees = [], (matrix > 0).toarray()
    for number in range(2**12):
        table = np.array([(number >> i) & 1 for i in range(12)]).reshape(3, 4)
        if (table.sum(0) == degrees.sum(0)).all() and (table.sum(1) == degrees.sum(1)).all():
            seen.append(table)
    np.testing.assert_allclose(here, np.mean(seen, axis=0), atol=0.04)


def test_planted_gene_stands_out_and_hubs_do_not():
    rng = np.random.default_rng(1)
    n_cells, n_genes = 300, 160
    groups = rng.integers(0, 3, n_cells)
    carried = rng.random((n_cells, n_genes)) < np.linspace(0.1, 0.9, n_genes)
    carried[:, 5] = rng.random(n_cells) < np.where(groups == 1, 0.8, 0.05)
    weight = rng.lognormal(0, 0.3, carried.shape)
    found = rewiring_test(
        sp.csr_matrix(np.where(carried, weight, 0)),
        groups,
        3,
        strata=np.zeros(n_cells, int),
        rng=rng,
    )
    q = adjust(found.p)
    assert found.z[1].argmax() == 5
    assert q[1, 5] < 0.05
    assert (q[:, 80:] < 0.05).mean() < 0.05
    assert ((found.p > 0) & (found.p <= 1)).all()


def test_donors_that_differ_are_no_lift():
    rng = np.random.default_rng(2)
    n_cells, n_genes = 400, 120
    donors = np.repeat([0, 1], n_cells // 2)
    groups = (rng.random(n_cells) < np.where(donors == 0, 0.8, 0.2)).astype(int)
    rate = np.full((n_cells, n_genes), 0.3)
    rate[donors == 0, :20] = 0.9
    carried = rng.random(rate.shape) < rate
    matrix = sp.csr_matrix(np.where(carried, rng.lognormal(0, 0.3, rate.shape), 0))
    share = {}
    for name, strata in (("ignored", np.zeros(n_cells, int)), ("kept", donors)):
        found = rewiring_test(matrix, groups, 2, strata=strata, rng=np.random.default_rng(0))
        share[name] = (adjust(found.p)[0, :20] < 0.05).mean()
    assert share["ignored"] > 0.9
    assert share["kept"] <= 0.05


@pytest.mark.parametrize("n_cells", [1, 30])
def test_nothing_to_compare_gives_no_claim(n_cells):
    matrix, rng = graph(n_cells=n_cells)
    groups = np.zeros(n_cells, int)
    found = rewiring_test(matrix, groups, 2, strata=groups, rng=rng, n_rewirings=3)
    assert not found.tested.any()
    assert (found.p == 1).all()


def test_same_seed_same_result():
    matrix, rng = graph()
    groups = rng.integers(0, 2, matrix.shape[0])
    strata = np.zeros(len(groups), int)
    a, b = (
        rewiring_test(matrix, groups, 2, strata=strata, rng=np.random.default_rng(4), n_rewirings=5)
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.p, b.p)
