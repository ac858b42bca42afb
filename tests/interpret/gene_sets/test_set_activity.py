import anndata
import decoupler
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from scypher.encoders.errors import InputError
from scypher.interpret.gene_sets import activity as module
from scypher.interpret.gene_sets.activity import gene_set_activity, set_activity
from scypher.interpret.gene_sets.library import GeneSetLibrary, immune_textbook, read_gmt
from scypher.interpret.inputs import log_expression

GENES = [f"g{number}" for number in range(80)]


def random_values(seed=0, n_cells=40):
    rng = np.random.default_rng(seed)
    dense = rng.gamma(1.0, size=(n_cells, len(GENES))) * (rng.random((n_cells, len(GENES))) < 0.4)
    return sparse.csr_matrix(dense.astype(np.float32))


def random_weights(seed=1, n_sets=12):
    rng = np.random.default_rng(seed)
    return {
        f"tf{number}": {
            str(gene): float(rng.choice([-1, 1, 0.5]))
            for gene in rng.choice([*GENES, "far"], rng.integers(5, 30), replace=False)
        }
        for number in range(n_sets)
    }


def net_of(weights):
    rows = [(name, gene, w) for name, genes in weights.items() for gene, w in genes.items()]
    return pd.DataFrame(rows, columns=["source", "target", "weight"])


@pytest.mark.parametrize("method", ["ulm", "mean"])
def test_activity_equals_decoupler(method):
    values, weights = random_values(), random_weights()
    found = set_activity(values, weights, GENES, method=method)
    frame = pd.DataFrame(values.toarray().astype(np.float64), columns=GENES)
    frame.index = [f"cell {row}" for row in range(len(frame))]
    peer = (
        decoupler.mt.ulm(frame, net_of(weights), tmin=5)
        if method == "ulm"
        else decoupler.mt.waggr(frame, net_of(weights), tmin=5, fun="wmean", times=1)
    )[0]
    assert sorted(found) == sorted(peer)
    np.testing.assert_allclose(found, peer[found.columns], rtol=1e-6, atol=1e-6)


def test_slope_is_that_of_a_regression():
    values, weights = random_values(seed=2), random_weights(seed=3)
    found = set_activity(values, weights, GENES)
    for name in found.columns[:4]:
        x = np.array([weights[name].get(gene, 0.0) for gene in GENES])
        for cell in range(5):
            fit = stats.linregress(x, values[[cell]].toarray().ravel().astype(np.float64))
            assert found.loc[cell, name] == pytest.approx(fit.slope / fit.stderr, rel=1e-9)


def test_chunks_and_unsorted_entries_change_nothing(monkeypatch):
    values, weights = random_values(), random_weights()
    whole = set_activity(values, weights, GENES)
    monkeypatch.setattr(module, "_ENTRIES_AT_ONCE", 30)
    turned = values[:, ::-1].tocsr()[:, ::-1]
    pd.testing.assert_frame_equal(set_activity(turned, weights, GENES), whole)


def test_limits_and_flat_cells():
    values = sparse.vstack([random_values(n_cells=2), sparse.csr_matrix((1, 80))]).tocsr()
    values = sparse.vstack([values, sparse.csr_matrix(np.full((1, 80), 0.3))]).tocsr()
    library = GeneSetLibrary(
        "toy",
        "",
        {
            "four": ("", tuple(GENES[:4])),
            "ten": ("", (*GENES[:10], "x")),
            "all": ("", tuple(GENES)),
        },
    )
    found = set_activity(values, library, GENES)
    assert found.columns.tolist() == ["ten", "all"]
    assert (found.loc[[2, 3]] == 0).all(axis=None)
    assert (found["all"] == 0).all()
    mean = set_activity(values, library, GENES, method="mean", max_size=20)
    assert mean["ten"].tolist() == pytest.approx(
        np.asarray(values[:, :10].mean(axis=1)).ravel(), rel=1e-6
    )


def test_verb_writes_a_slot_and_finds_the_cell_types(data_dir, tmp_path):
    cells = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")[::4].copy()
    found = gene_set_activity(cells, immune_textbook(), key_added="activity")
    assert found.index.tolist() == cells.obs_names.tolist()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    kept = anndata.read_h5ad(tmp_path / "cells.h5ad").obsm["activity"]
    np.testing.assert_allclose(kept, found)
    means = found.groupby(cells.obs["cell_type"].astype(str).to_numpy()).mean()
    assert "mono" in means["CLASSICAL_MONOCYTE"].idxmax().lower()
    library = read_gmt(immune_textbook())
    values = log_expression(cells)
    same = set_activity(values, library, cells.var_names.tolist())
    np.testing.assert_array_equal(same, found)


def test_backed_file_gives_the_same(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("scypher.interpret.inputs._CELLS_AT_ONCE", 200)
    cells = anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found = gene_set_activity(backed, immune_textbook())
    pd.testing.assert_frame_equal(found, gene_set_activity(cells, immune_textbook()))
    backed.file.close()


def test_wrong_input_is_refused():
    values, weights = random_values(), random_weights()
    with pytest.raises(InputError, match="79 names for 80 columns"):
        set_activity(values, weights, GENES[1:])
    with pytest.raises(InputError, match="1 are given before"):
        set_activity(values, weights, [*GENES[1:], "g5"])
    with pytest.raises(InputError, match="method 'aucell'"):
        set_activity(values, weights, GENES, method="aucell")
    with pytest.raises(InputError, match="no set has 50 to 80"):
        set_activity(values, weights, GENES, min_size=50)
    with pytest.raises(InputError, match="none are shared"):
        set_activity(values, {"a": {"x": 1.0}}, GENES)
    with pytest.raises(InputError, match="1 weights that are not finite"):
        set_activity(values, {"a": {"g1": np.nan, "g2": 1.0}}, GENES)
    broken = values.copy()
    broken.data[0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        set_activity(broken, weights, GENES)
    cells = anndata.AnnData(values, var=pd.DataFrame(index=GENES))
    one = GeneSetLibrary("one", "", {"s": ("", tuple(GENES[:9]))})
    two = GeneSetLibrary("two", "", dict(one.sets))
    with pytest.raises(InputError, match="the sets s are in several"):
        gene_set_activity(cells, [one, two])
