"""Finite scalar quantisation as an ablation of the codebook."""

import numpy as np
import pytest

from scypher.encoders.fsq import fit_fsq

pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")


def test_planted_groups_share_no_code_and_the_same_seed_gives_the_same_codes() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 60)
    centres = rng.standard_normal((6, 12)) * 6
    cells = (centres[group] + rng.standard_normal((360, 12)) * 0.1).astype(np.float32)
    code = fit_fsq(cells, seed=0, steps=50)
    np.testing.assert_array_equal(code, fit_fsq(cells, seed=0, steps=50))
    assert code.min() >= 0
    assert code.max() < 8**4
    for value in np.unique(code):
        assert len(np.unique(group[code == value])) == 1
