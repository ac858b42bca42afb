"""The card of networks that were really trained: planted causes, and blood."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from scypher.encoders.cells import prepare
from scypher.encoders.counts import normalise
from scypher.interpret.faithfulness import CardOptions, Explained, faithfulness_card, retrainer
from scypher.interpret.faithfulness.ablation import ablation, cut_each_gene
from scypher.interpret.faithfulness.asked import Edges, sample_cells
from scypher.interpret.faithfulness.planted import plant, recovered
from scypher.interpret.faithfulness.retrain import part_of
from scypher.kg.attention import GraphAttentionConfig, Relations, attend, top_tokens
from scypher.kg.attention.bipartite import Bipartite

FEW = CardOptions(per_state=12, at_most=100, trainings=2, training_cells=100, randomised=1)


@pytest.fixture(scope="module")
def taught():
    rng = np.random.default_rng(0)
    planted = plant(rng, n_cells=1200, n_states=5, n_background=50)
    present, codes = np.unique(planted.code, return_inverse=True)
    found = attend(
        np.zeros((1200, 1), np.float32),
        tokens=planted.tokens,
        gene_features=np.zeros((planted.tokens.shape[1], 1), np.float32),
        codes=codes,
        codebook=rng.normal(size=(len(present), 8)).astype(np.float32),
        metadata={"batch": planted.batch},
        generator=rng,
        config=GraphAttentionConfig(hidden=32, heads=2, epochs=20, patience=20, batch_cells=64),
    )
    return planted, found


def test_ablation_finds_planted_causes(taught):
    planted, found = taught
    explained = planted.explained(found.genes.data)
    rows = sample_cells(planted.state, per_state=15, at_most=100, rng=np.random.default_rng(0))
    edges = Edges.of(explained, rows)
    table = ablation(explained, edges, cut_each_gene(found.network, explained, edges))
    columns = (table[name].to_numpy() for name in ("state", "gene", "drop"))
    there = recovered(planted, *columns)
    assert (there["best_driver"] <= 3).mean() >= 0.8
    assert there["auroc"].mean() > 0.85


def test_card_of_a_trained_network(taught):
    planted, found = taught
    train = retrainer(found.network, config=replace(found.network.config, epochs=2))
    card = faithfulness_card(
        found.network,
        planted.explained(found.genes.data),
        train=train,
        rng=np.random.default_rng(0),
        options=FEW,
    )
    rows = card.frame().set_index("test")
    # Without an embedding the state rests on the genes.
    assert rows.loc["carried_by_genes", "value"] > 0.3
    assert rows["value"].drop("stability_donors").notna().all()


def test_part_of_a_graph_is_the_graph_of_the_part(taught):
    planted, _ = taught
    rng = np.random.default_rng(0)
    n_genes = planted.tokens.shape[1]
    relations = Relations(
        near=sparse.csr_matrix(np.triu(rng.random((1200, 1200)) > 0.99, 1).astype(float)),
        links=sparse.random(n_genes, n_genes, 0.1, format="csr", random_state=0),
        signals=sparse.csr_matrix(np.arange(100.0).reshape(10, 10)),
    )
    codes = planted.code.copy()
    codes[:5] = -1
    given = {
        "cells": rng.normal(size=(1200, 3)).astype(np.float32),
        "tokens": planted.tokens,
        "codes": codes,
        "metadata": {"batch": planted.batch, "donor": rng.integers(-1, 3, 1200)},
    }
    whole_genes = rng.normal(size=(n_genes, 4)).astype(np.float32)
    codebook = rng.normal(size=(10, 4)).astype(np.float32)
    rows = np.sort(rng.choice(1200, 300, replace=False))
    whole = Bipartite.of(**given, gene_features=whole_genes, codebook=codebook, relations=relations)
    found = part_of(whole, rows)
    part = {
        name: {field: values[rows] for field, values in value.items()}
        if name == "metadata"
        else value[rows]
        for name, value in given.items()
    }
    relations = replace(relations, near=relations.near[rows][:, rows])
    expected = Bipartite.of(
        **part, gene_features=whole_genes, codebook=codebook, relations=relations
    )
    for name in ("cells", "centre", "gene_number", "codes", "values", "first"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.gene_features, expected.gene_features, rtol=1e-5)
    np.testing.assert_array_equal(found.codebook, expected.codebook)
    for name in ("near", "links", "signals"):
        one, other = (getattr(graph.relations, name) for graph in (found, expected))
        np.testing.assert_allclose(one.toarray(), other.toarray(), rtol=1e-5)


def test_card_of_real_cells(data_dir):
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    values = normalise(cells.counts, cells.totals)
    dense = values.toarray()
    components = PCA(20, random_state=0).fit_transform(dense).astype(np.float32)
    model = KMeans(12, n_init=1, random_state=0).fit(components)
    tokens = top_tokens(values, n_tokens=64, gene_mean=dense.mean(0), gene_sd=dense.std(0))
    found = attend(
        components,
        tokens=tokens,
        gene_features=np.zeros((tokens.shape[1], 1), np.float32),
        codes=model.labels_,
        codebook=model.cluster_centers_.astype(np.float32),
        metadata={},
        generator=np.random.default_rng(0),
        config=GraphAttentionConfig(hidden=32, heads=2, epochs=3),
    )
    explained = Explained(
        tokens=tokens,
        attention=found.genes.data.astype(np.float64),
        state=model.labels_.astype(np.int64) // 3,
        state_of_code=np.arange(12) // 3,
        mean=dense.mean(0).astype(np.float64),
        detection=(dense > 0).mean(0),
    )
    card = faithfulness_card(
        found.network,
        explained,
        train=retrainer(found.network, config=replace(found.network.config, epochs=1)),
        rng=np.random.default_rng(0),
        options=FEW,
    )
    rows = card.frame().set_index("test")
    assert rows["value"].drop("stability_donors").notna().all()
    assert card.impossible == ["stability_donors"]
    # The embedding holds the code, so that no order of genes can gain what the limit asks.
    if rows.loc["carried_by_genes", "value"] < 0.1:
        assert card.verdict == "associated"
