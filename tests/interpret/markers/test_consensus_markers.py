"""Markers by attention and expression of an encoded file are those of its arrays."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scypher.encoders.errors import InputError
from scypher.interpret import consensus_markers
from scypher.interpret.inputs import log_expression
from scypher.interpret.markers.consensus import rank_markers


@pytest.fixture(scope="module")
def cells():
    """Counts where G0 to G4 mark group a, attention on them, and genes alike without."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 400)
    rate = np.tile(rng.gamma(2.0, 1.0, 80), (400, 1))
    rate[group == 0, :5] *= 4
    counts = rng.poisson(rate).astype(np.float32)
    attention = (counts > 0) * rng.gamma(4.0, 0.25, counts.shape)
    attention[group == 0, :5] *= 3
    found = anndata.AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame(
            {"kind": np.array(["a", "b"])[group], "donor": rng.choice(["x", "y", "z"], 400)},
            index=[f"c{place}" for place in range(400)],
        ),
    )
    found.var_names = [f"G{place}" for place in range(80)]
    found.layers["toy_attention"] = sparse.csr_matrix(attention.astype(np.float32))
    return found


def test_columns_are_those_of_the_arrays(cells) -> None:
    found = consensus_markers(cells, "kind", encoder="toy", donor="donor", key_added="markers")
    pd.testing.assert_frame_equal(cells.uns["markers"], found)
    plain = rank_markers(
        log_expression(cells),
        (cells.obs["kind"] == "b").to_numpy().astype(int),
        2,
        attention=cells.layers["toy_attention"],
        donors=cells.obs["donor"].map({"x": 0, "y": 1, "z": 2}).to_numpy(),
        rng=np.random.default_rng(0),
    )
    named = plain.assign(
        group=np.array(["a", "b"], object)[plain["group"]],
        gene=cells.var_names.to_numpy(object)[plain["gene"]],
    )
    pd.testing.assert_frame_equal(found[plain.columns], named)
    best = found[(found["group"] == "a") & (found["rank"] <= 5)]
    assert set(best["gene"]) == {"G0", "G1", "G2", "G3", "G4"}
    assert (best["verdict"] == "supported").all()
    assert (best["matched_q"] < 0.05).all()
    assert found[["matched_q", "rewired_q"]].gt(0).all(axis=None)


def test_without_attention_it_says_what_to_do(cells) -> None:
    with pytest.raises(InputError, match="expected what the encoder 'cellvq' writes"):
        consensus_markers(cells, "kind")
