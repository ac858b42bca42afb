"""Modules by every measure of pairs: planted programs are found by each."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from programs import plant

from scypher.encoders.errors import InputError
from scypher.interpret import gene_modules

N_CELLS, N_GENES, SIZE = 1200, 240, 20


@pytest.fixture(scope="module")
def cells():
    """Counts and attention with four programs of 20 genes, and embeddings that say nothing."""
    rng = np.random.default_rng(0)
    activity = rng.gamma(0.6, 1.0, (N_CELLS, 4))
    rate = np.tile(rng.gamma(1.0, 0.8, N_GENES) + 0.3, (N_CELLS, 1))
    plant(rate, activity, SIZE)
    counts = rng.poisson(rate * rng.lognormal(0, 0.3, (N_CELLS, 1))).astype(np.float32)
    weight = (counts > 0) * rng.gamma(4.0, 0.25, counts.shape)
    plant(weight, activity, SIZE)
    found = anndata.AnnData(
        sp.csr_matrix(counts),
        obs=pd.DataFrame(
            {"donor": rng.choice(list("abcd"), N_CELLS)}, index=[f"c{i}" for i in range(N_CELLS)]
        ),
    )
    found.var_names = [f"G{place}" for place in range(N_GENES)]
    found.layers["toy_attention"] = sp.csr_matrix(weight.astype(np.float32))
    found.varm["toy_genes"] = rng.standard_normal((N_GENES, 64))
    return found


@pytest.mark.parametrize("measure", ["correlation", "metacell", "attention", "context"])
def test_every_measure_finds_the_programs(cells, measure) -> None:
    found = gene_modules(cells, measure=measure, encoder="toy", donor="donor")
    modules = [set(rows["position"]) for _, rows in found.membership.groupby("module")]
    scores = []
    for number in range(4):
        program = set(range(number * SIZE, (number + 1) * SIZE))
        scores.append(max(len(program & one) / len(program | one) for one in modules))
    assert np.mean(scores) >= 0.8
    assert (found.modules["null_q"][:4] < 0.05).all()
    assert (found.modules["donor_stability"][:4] > 0.5).all()
    assert found.contexts["halves_agree"][0] > 0.5


def test_what_was_not_encoded_is_said(cells) -> None:
    with pytest.raises(InputError, match=r"no layers\['other_attention'\]"):
        gene_modules(cells, measure="attention", encoder="other")
    part = cells.copy()
    del part.varm["toy_genes"]
    with pytest.raises(InputError, match="expected what the encoder"):
        gene_modules(part, measure="context", encoder="toy")
    with pytest.raises(InputError, match=r"which only orders pairs; .*use context"):
        gene_modules(cells, measure="embedding", encoder="toy")
    with pytest.raises(InputError, match="the measure 'trees' was given; expected one of"):
        gene_modules(cells, measure="trees")
