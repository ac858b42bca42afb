import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from scypher.interpret.intermediate.membership import (
    mean_membership,
    membership_test,
    path_coordinate,
    soft_membership,
)


def random_cells(seed, n=60, n_states=3):
    rng = np.random.default_rng(seed)
    graph = sp.random(n, n, 0.1, random_state=seed)
    graph = sp.csr_matrix(graph + graph.T)
    return graph, rng.integers(0, n_states, n), rng.integers(0, 2, n)


def test_soft_membership_equals_a_loop():
    graph, member, _ = random_cells(0)
    member[:5] = -1
    shares = soft_membership(graph, member, 3).toarray()
    dense = graph.toarray()
    for cell in range(len(member)):
        for state in range(3):
            expected = 0.0
            for near in np.flatnonzero(dense[cell]):
                step = dense[cell, near] / dense[cell].sum()
                expected += step * dense[near, member == state].sum() / dense[near].sum()
            assert shares[cell, state] == pytest.approx(expected)
    mean = mean_membership(soft_membership(graph, member, 3), member)
    assert mean[1, 2] == pytest.approx(shares[member == 1, 2].mean())


def test_permutation_p_equals_scipy():
    graph, member, _ = random_cells(1, n=150)
    shares = soft_membership(graph, member, 3)
    triples = np.array([[2, 0, 1], [0, 1, 2]])
    given = {"strata": np.zeros(150), "n_permutations": 4000}
    p = membership_test(shares, member, triples, rng=np.random.default_rng(5), **given)
    dense = shares.toarray()
    for found, (m, a, b) in zip(p, triples, strict=True):
        oracle = [
            stats.permutation_test(
                (dense[member == m, far], dense[member == near, far]),
                lambda x, y: x.mean() - y.mean(),
                permutation_type="independent",
                vectorized=False,
                n_resamples=1000,
                alternative="greater",
                rng=np.random.default_rng(0),
            ).pvalue
            for near, far in ((a, b), (b, a))
        ]
        assert found == pytest.approx(max(oracle), abs=0.05)


def test_labels_are_permuted_within_donors():
    # all cells of m are of donor 0, which leans: within donors there is no difference
    member = np.repeat([0, 1, 2], [40, 40, 20])
    strata = np.repeat([0, 1, 0, 1, 0], [20, 20, 20, 20, 20])
    lean = np.where(strata == 0, 0.4, 0.1)[:, None]
    shares = sp.csr_matrix(np.hstack([lean, lean, 1 - 2 * lean]))
    triples = np.array([[2, 0, 1]])
    given = {"rng": np.random.default_rng(0), "n_permutations": 99}
    assert membership_test(shares, member, triples, strata=0 * strata, **given)[0] == 0.01
    assert membership_test(shares, member, triples, strata=strata, **given)[0] == 1


def test_p_is_calibrated_where_labels_say_nothing():
    values = []
    for seed in range(60):
        graph, member, strata = random_cells(seed, n=200)
        shares = soft_membership(graph, member, 3)
        # labels that have no part in the memberships; either end has the same cells by design
        asked = np.random.default_rng(1000 + seed).integers(0, 2, 200)
        rng = np.random.default_rng(seed)
        triple = np.array([[1, 0, 0]])
        given = {"strata": strata, "rng": rng, "n_permutations": 99}
        values += membership_test(shares, asked, triple, **given).tolist()
    assert min(values) >= 1 / 100
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_the_state_between_leans_to_both_ends_and_no_other_does(make_toy):
    toy = make_toy("graded")
    shares = soft_membership(toy.graph, toy.labels, 4)
    triples = np.array([[3, 0, 1], [2, 0, 1], [0, 1, 2]])
    given = {"strata": np.zeros(len(toy.labels)), "n_permutations": 199}
    p = membership_test(shares, toy.labels, triples, rng=np.random.default_rng(0), **given)
    assert p[0] == 1 / 200
    assert min(p[1], p[2]) > 0.05


def test_the_coordinate_runs_from_one_end_to_the_other(make_toy):
    toy = make_toy("graded")
    shares = soft_membership(toy.graph, toy.labels, 4)
    place = path_coordinate(shares, (0, 1), np.arange(len(toy.labels)))
    means = [place[toy.labels == state].mean() for state in (0, 3, 1)]
    assert means[0] < -0.8 < means[1] < 0.8 < means[2]
    assert np.abs(place).max() <= 1
    dense = shares.toarray()
    assert place == pytest.approx(dense[:, 1] - dense[:, 0])
