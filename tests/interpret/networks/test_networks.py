from typing import get_args

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from programs import log_expression as log
from sklearn.metrics import average_precision_score, roc_auc_score

from scypher.encoders.errors import InputError
from scypher.interpret.inputs import log_expression
from scypher.interpret.modules.associations import Measure, associate
from scypher.interpret.networks.agreement import (
    network_agreement,
    resource_agreement,
    tree_importance,
)
from scypher.interpret.networks.links import gene_network, network_genes, regulatory_network
from scypher.interpret.networks.regulon_agreement import regulon_agreement
from scypher.interpret.networks.regulons import Regulons, read_regulons

NAMES = [f"G{place}" for place in range(60)]


def data(n_cells=500):
    """G0 raises G1 to G5 and lowers G6; everything else is alone."""
    rng = np.random.default_rng(0)
    factor = rng.gamma(2.0, 1.0, n_cells)
    rate = np.full((n_cells, 60), 3.0)
    rate[:, :6] *= factor[:, None]
    rate[:, 6] *= 2 / (0.3 + factor)
    counts = rng.poisson(rate).astype(np.float32)
    return counts


def resource():
    rows = [("G0", f"G{place}", 1) for place in range(1, 6)]
    rows += [("G0", "G6", 1), ("G10", "G11", -1), ("G20", "G1", 0), ("G0", "G0", 1), ("Z", "G1", 1)]
    table = pd.DataFrame(rows, columns=["source", "target", "sign"])
    return Regulons("toy", "1", table.assign(weight=1.0, confidence="", pmids=""))


def test_links_carry_what_the_data_say():
    found = associate("correlation", log(data()), genes=np.arange(60), rng=np.random.default_rng(0))
    table = gene_network(found, resource(), NAMES, n_cells=500).set_index(["source", "target"])
    assert len(table) == 8
    assert (table.loc["G0"]["q"] < 0.05).all()
    assert table.loc[("G0", "G1"), "sign_agrees"] == "yes"
    assert table.loc[("G0", "G6"), "sign_agrees"] == "no"
    assert table.loc[("G20", "G1"), "sign_agrees"] == ""
    assert table.loc[("G10", "G11"), "q"] > 0.05
    dense = log(data()).toarray().astype(float)
    expected = np.corrcoef(dense[:, 0], dense[:, 3])[0, 1]
    assert table.loc[("G0", "G3"), "correlation"] == pytest.approx(expected, abs=1e-5)
    assert table["q"].is_monotonic_increasing


def test_agreement_equals_a_loop_and_stands_beside_degree():
    rng = np.random.default_rng(0)
    score = rng.random((60, 60))
    score[0, 1] = 2
    table = resource_agreement({"random": score}, np.arange(60), resource(), names=NAMES)
    links = {(a, b) for a, b, *_ in resource().table.itertuples(index=False) if a != b}
    sources = sorted({a for a, b in links if a != "Z"})
    targets = sorted({b for a, b in links if a != "Z"})
    pairs = [(a, b) for a in sources for b in targets if a != b]
    truth = [pair in links for pair in pairs]
    value = [score[int(a[1:]), int(b[1:])] for a, b in pairs]
    row = table.iloc[0]
    assert table["method"].tolist() == ["random", "out-degree"]
    assert (row["n_pairs"], row["n_links"]) == (len(pairs), sum(truth))
    assert row["auprc"] == pytest.approx(average_precision_score(truth, value))
    assert row["auprc_ratio"] == pytest.approx(row["auprc"] / np.mean(truth))
    assert row["auroc"] == pytest.approx(roc_auc_score(truth, value))
    best = np.argsort(value)[::-1][: sum(truth)]
    assert row["early_precision"] == pytest.approx(np.mean(np.array(truth)[best]))
    assert table["auprc_ratio"].iloc[1] > 1.5


def test_trees_find_the_factor():
    found = tree_importance(
        log(data()),
        np.arange(60),
        sources=np.array([0, 10, 20, 30]),
        targets=np.array([1, 2, 10]),
        rng=np.random.default_rng(0),
    )
    assert (found[:, [1, 2]].argmax(0) == 0).all()
    np.testing.assert_allclose(found.sum(0)[[1, 2, 10]], 1)
    assert found[10, 10] == 0
    assert found[:, 40].sum() == 0


def test_the_verb_asks_every_context():
    cells = anndata.AnnData(sp.csr_matrix(data()))
    cells.var_names = NAMES
    cells.obs["type"] = np.repeat(["a", "b", "c"], [300, 180, 20])
    table = regulatory_network(cells, resource(), groupby="type", key_added="network")
    assert set(table["context"]) == {"all", "a", "b"}
    assert table.groupby("context")["n_cells"].first().to_dict() == {"all": 500, "a": 300, "b": 180}
    pd.testing.assert_frame_equal(cells.uns["network"], table)


def test_real_methods_side_by_side(data_dir):
    cells = anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    values, names = log_expression(cells), cells.var_names.tolist()
    regulons = read_regulons(data_dir / "knowledge" / "regulons_collectri.tsv.gz")
    rng = np.random.default_rng(0)
    table = network_agreement(
        values,
        regulons,
        names=names,
        rng=rng,
        attention=values,
        gene_vectors=rng.standard_normal((len(names), 8)),
        max_targets=40,
    )
    measures = [*get_args(Measure), "trees", "out-degree"]
    assert table["method"].tolist() == measures
    assert table["auprc"][0] == pytest.approx(table["auprc"][2])
    assert (table["n_targets"] <= 40).all()
    assert table["auroc"].between(0.3, 1).all()
    assert (table["n_links"] > 20).all()


def test_verb_compares_what_the_slots_hold(data_dir):
    cells = anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    path = data_dir / "knowledge" / "regulons_collectri.tsv.gz"
    plain = regulon_agreement(cells, path, max_targets=20, key_added="agreement")
    assert plain["method"].tolist() == ["correlation", "metacell", "trees", "out-degree"]
    pd.testing.assert_frame_equal(cells.uns["agreement"], plain)
    cells.layers["toy_attention"] = log_expression(cells)
    cells.varm["toy_genes"] = np.random.default_rng(0).standard_normal((cells.n_vars, 8))
    table = regulon_agreement(cells, path, encoder="toy", max_targets=20)
    assert table["method"].tolist() == [*get_args(Measure), "trees", "out-degree"]
    with pytest.raises(InputError, match="encode first"):
        regulon_agreement(cells, path, encoder="other")


def test_strangers_are_refused():
    with pytest.raises(InputError, match="same kind of gene names"):
        network_genes(log(data()), resource(), [f"X{place}" for place in range(60)])
    with pytest.raises(InputError, match="square arrays"):
        resource_agreement({"a": np.zeros((3, 3))}, np.arange(60), resource(), names=NAMES)
    with pytest.raises(InputError, match="pairs without a link"):
        resource_agreement({}, np.array([0, 1]), resource(), names=NAMES)
