import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize_scalar

from scypher.interpret.intermediate.profiles import (
    Profiles,
    fit_mixtures,
    own_genes,
    scale_counts,
    state_profiles,
)


def exact(mean, size=100):
    """Return profiles without sampling noise."""
    mean = np.asarray(mean, dtype=float)
    many = np.full(len(mean), float(size))
    return Profiles(many, many, mean, np.zeros_like(mean), np.ones_like(mean))


def profiles_of(toy):
    totals = np.asarray(toy.counts.sum(axis=1)).ravel()
    scaled = scale_counts(toy.counts, totals)
    return state_profiles(scaled, totals, toy.labels, 4), scaled


def test_moments_equal_numpy(make_toy):
    toy = make_toy("transition")
    found, scaled = profiles_of(toy)
    dense = scaled.toarray()
    assert dense.sum(axis=1) == pytest.approx(np.full(len(dense), 1e4), rel=1e-5)
    for state in range(4):
        inside = toy.labels == state
        np.testing.assert_allclose(found.mean[state], dense[inside].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            found.variance[state], dense[inside].var(axis=0, ddof=1), rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(found.detected[state], (dense[inside] > 0).mean(axis=0))
        library = toy.counts[np.flatnonzero(inside)].sum() / inside.sum()
        assert found.library[state] == pytest.approx(library, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_mixture_equals_a_numerical_search(seed):
    mean = np.random.default_rng(seed).gamma(1.0, 5.0, (4, 30))
    fit = fit_mixtures(exact(mean), 3, np.array([[0, 1], [1, 2]]), np.arange(30))
    scale = mean.mean(axis=0)
    for i, (a, b) in enumerate([(0, 1), (1, 2)]):

        def loss(w, a=a, b=b):
            return (((mean[3] - w * mean[a] - (1 - w) * mean[b]) ** 2) / scale).sum()

        best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
        assert fit.weight[i] == pytest.approx(best.x, abs=1e-5)
        assert fit.residual[i] == pytest.approx(best.fun, rel=1e-6)
        assert fit.r2[i] == pytest.approx(1 - best.fun / min(loss(0.0), loss(1.0)), abs=1e-6)


def test_r2_says_how_a_state_lies_between_two():
    pair, genes = np.array([[0, 1]]), np.arange(2)
    height = {"on the line": 0.0, "right angle": 1.0, "equilateral": np.sqrt(3)}
    expected = {"on the line": 1.0, "right angle": 0.5, "equilateral": 0.25}
    for name, up in height.items():
        mean = np.array([[9.0, 9.0], [11.0, 9.0], [10.0, 9.0 + up], [10.0, 13.0 - up]])
        # a fourth state makes the mean over states equal in both genes: no gene weighs more
        mean[3] = 4 * np.array([10.0, 10.0]) - mean[:3].sum(axis=0)
        fit = fit_mixtures(exact(mean), 2, pair, genes)
        assert fit.r2[0] == pytest.approx(expected[name]), name
        assert fit.weight[0] == pytest.approx(0.5)


def test_sampling_noise_is_taken_off():
    rng = np.random.default_rng(0)
    rate = np.stack([rng.gamma(1, 3, 400), rng.gamma(1, 3, 400)])
    rate = np.vstack([rate, 0.3 * rate[0] + 0.7 * rate[1]])
    labels = np.repeat([0, 1, 2], 40)
    counts = sp.csr_matrix(rng.poisson(rate[labels] / 10).astype(float))
    found = state_profiles(counts, np.ones(120), labels, 3)
    fit = fit_mixtures(found, 2, np.array([[0, 1]]), np.arange(400))
    told_nothing = Profiles(**{**vars(found), "variance": np.zeros_like(found.variance)})
    with_noise = fit_mixtures(told_nothing, 2, np.array([[0, 1]]), np.arange(400))
    assert with_noise.r2[0] < 0.7 < 0.9 < fit.r2[0]
    assert fit.weight[0] == pytest.approx(0.3, abs=0.1)


def test_own_genes_are_those_planted_and_doublets_have_none(make_toy):
    own = set(range(100, 112))
    toy = make_toy("transition")
    found, scaled = profiles_of(toy)
    genes = own_genes(found, 3, scaled=scaled, member=toy.labels, donors=None)
    assert len(own & set(genes)) >= 10
    assert len(set(genes) - own) <= 1
    for kind in ("doublet", "graded"):
        toy = make_toy(kind)
        found, scaled = profiles_of(toy)
        assert len(own_genes(found, 3, scaled=scaled, member=toy.labels, donors=None)) <= 1


def test_genes_of_a_third_state_are_not_own():
    mean = np.full((4, 20), 5.0)
    mean[2:, :10] = 50
    noise = exact(mean)
    noise.variance[:] = 4
    genes = {"scaled": sp.csr_matrix((0, 20)), "member": np.zeros(0, int), "donors": None}
    assert own_genes(noise, 3, **genes).tolist() == []
    noise.mean[2, :10] = 5
    assert own_genes(noise, 3, **genes).tolist() == list(range(10))


def test_a_gene_of_one_donor_is_not_own(make_toy):
    toy = make_toy("transition")
    found, scaled = profiles_of(toy)
    rng = np.random.default_rng(0)
    donors = rng.integers(0, 3, len(toy.labels))
    kept = own_genes(found, 3, scaled=scaled, member=toy.labels, donors=donors)
    assert len(set(kept) & set(range(100, 112))) >= 10
    counts = toy.counts.tolil()
    counts[np.flatnonzero((toy.labels == 3) & (donors == 0)), 150] = 60
    toy = toy._replace(counts=counts.tocsr())
    found, scaled = profiles_of(toy)
    given = {"scaled": scaled, "member": toy.labels}
    assert 150 in own_genes(found, 3, donors=None, **given)
    assert 150 not in own_genes(found, 3, donors=donors, **given)
