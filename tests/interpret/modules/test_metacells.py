import numpy as np
import pytest
import scipy.sparse as sp

from scypher.encoders.errors import InputError
from scypher.interpret.modules.metacells import (
    group_metacells,
    metacell_residuals,
    principal_components,
)


def test_components_equal_those_of_a_full_decomposition():
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 50)) * 3
    dense = np.abs(dense) + 0.01 * rng.random((200, 50))
    found = principal_components(sp.csr_matrix(dense), np.arange(50), n=5, rng=rng)
    centred = dense - dense.mean(0)
    left, value, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :5] * value[:5]
    sign = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * sign, expected, rtol=0.02, atol=0.05 * value[4])
    assert principal_components(sp.csr_matrix(dense[:4]), np.arange(50), rng=rng).shape == (4, 4)


def test_a_metacell_holds_alike_cells_of_one_donor():
    rng = np.random.default_rng(0)
    blob = rng.integers(0, 5, 600)
    points = 20 * np.eye(5)[blob] + rng.standard_normal((600, 5))
    donor = rng.integers(-1, 3, 600)
    label = group_metacells(points, donor, size=10, rng=rng)
    assert np.unique(label).tolist() == list(range(label.max() + 1))
    assert 45 <= label.max() + 1 <= 62
    for one in np.unique(label):
        assert len(np.unique(donor[label == one])) == 1
    alike = [np.bincount(blob[label == one]).max() / (label == one).sum() for one in set(label)]
    assert np.mean(alike) > 0.9


def test_residuals_equal_a_loop():
    rng = np.random.default_rng(0)
    dense = rng.poisson(1.0, (60, 7)).astype(float)
    strata, metacell = rng.integers(0, 4, 60), rng.permutation(60) % 9
    found = metacell_residuals(sp.csr_matrix(dense), metacell, strata)
    for one in range(9):
        cells = np.flatnonzero(metacell == one)
        mean = [dense[strata == strata[cell]].mean(0) for cell in cells]
        expected = (dense[cells] - mean).sum(0) / np.sqrt(len(cells))
        np.testing.assert_allclose(found[one], expected, atol=1e-10)


@pytest.mark.parametrize(
    ("points", "donors"),
    [(np.zeros((5, 2)), np.zeros(4)), (np.full((5, 2), np.nan), None), (np.zeros(5), None)],
)
def test_bad_input_is_refused(points, donors):
    with pytest.raises(InputError, match="finite coordinates"):
        group_metacells(points, donors, rng=np.random.default_rng(0))
