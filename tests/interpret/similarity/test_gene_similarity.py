"""Neighbours and analogies of genes are those of a loop, beside genes alike."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

import scypher
from scypher.encoders.errors import InputError
from scypher.interpret.similarity.gene_similarity import (
    attended_contexts,
    gene_analogies,
    similar_genes,
)
from scypher.interpret.similarity.nearest import gene_analogy, nearest_genes
from scypher.interpret.statistics import adjust


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def embedding() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(80, 6))
    found[[70, 71]] = 0
    return found


def test_neighbours_of_a_loop(embedding: np.ndarray) -> None:
    # All others are null genes, so that nothing depends on the draw.
    found = similar_genes(
        embedding, np.array([4, 9]), n=5, rng=np.random.default_rng(0), n_null=1000
    )
    present = [gene for gene in range(80) if gene not in (70, 71)]
    p_of_all = []
    for query in (4, 9):
        others = [gene for gene in present if gene != query]
        near = {gene: cosine(embedding[query], embedding[gene]) for gene in others}
        rows = found[found["query"] == query]
        assert rows["gene"].tolist() == sorted(near, key=lambda gene: -near[gene])[:5]
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(rows["similarity"], [near[gene] for gene in rows["gene"]])
        p = {}
        for gene in others:
            null = np.array([cosine(embedding[x], embedding[gene]) for x in others if x != gene])
            p[gene] = (1 + (null >= near[gene]).sum()) / (1 + len(null))
            if gene in rows["gene"].to_numpy():
                row = rows[rows["gene"] == gene].iloc[0]
                assert row["p"] == pytest.approx(p[gene])
                assert row["z"] == pytest.approx((near[gene] - null.mean()) / null.std())
                assert row["n_null"] == 76
        p_of_all += [p[gene] for gene in others]
    q = dict(zip(np.round(p_of_all, 9), adjust(np.array(p_of_all)), strict=True))
    assert [q[value] for value in found["p"].round(9)] == pytest.approx(found["q"].tolist())


def test_few_asked_beforehand_are_adjusted_for_alone(embedding: np.ndarray) -> None:
    given = {"n": 80, "n_null": 1000}
    whole = similar_genes(embedding, np.array([4]), rng=np.random.default_rng(0), **given)
    few = np.array([3, 4, 17, 30, 70])
    found = similar_genes(
        embedding, np.array([4]), rng=np.random.default_rng(0), among=few, **given
    ).set_index("gene")
    assert sorted(found.index) == [3, 17, 30]
    p = whole.set_index("gene")["p"].loc[found.index]
    np.testing.assert_allclose(found["p"], p)
    np.testing.assert_allclose(found["q"], adjust(p.to_numpy()))
    with pytest.raises(InputError, match="no gene to be a neighbour"):
        similar_genes(embedding, np.array([4]), rng=np.random.default_rng(0), among=few[-1:])


def test_genes_at_random_are_no_finding() -> None:
    rng = np.random.default_rng(1)
    found = similar_genes(rng.normal(size=(400, 8)), np.arange(40), n=400, rng=rng, n_null=99)
    assert (found["p"] <= 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert (found["q"] <= 0.05).mean() < 0.01


def test_gene_near_to_all_is_no_finding_and_a_family_is() -> None:
    rng = np.random.default_rng(2)
    embedding = rng.normal(size=(300, 10))
    embedding[:, 0] += 3
    hub = embedding.mean(axis=0)
    embedding[0] = hub
    embedding[1:9] = rng.normal(size=10) * 3 + 0.3 * rng.normal(size=(8, 10))
    found = similar_genes(embedding, np.array([1]), n=299, rng=rng, n_null=200)
    family = found["gene"].isin(range(2, 9))
    assert found["gene"].head(7).isin(range(2, 9)).all()
    assert (found.loc[family, "p"] < 0.05).all()
    assert found.loc[found["gene"] == 0, "p"].item() > 0.05


def test_analogy_completes_a_planted_relation() -> None:
    rng = np.random.default_rng(3)
    embedding = rng.normal(size=(200, 20))
    relation = 1.5 * rng.normal(size=20)
    embedding[[1, 3]] = embedding[[0, 2]] + relation
    found = gene_analogies(embedding, 1, 0, 2, n=200, rng=rng, n_null=199)
    assert not found["gene"].isin([0, 1, 2]).any()
    assert found["gene"].iloc[0] == 3
    assert found["p"].iloc[0] <= 0.02
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    target = unit[1] - unit[0] + unit[2]
    for row in found.head(10).itertuples():
        assert row.similarity == pytest.approx(cosine(target, unit[row.gene]))
    with pytest.raises(InputError, match="three different"):
        gene_analogies(embedding, 1, 1, 2, rng=rng)


def test_context_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(4)
    static = rng.normal(size=(12, 3))
    attention = csr_matrix(random_array((9, 12), density=0.5, rng=rng))
    context, weight = attended_contexts(static, attention)
    dense = attention.toarray()
    share = dense / dense.sum(axis=1, keepdims=True)
    expected = np.zeros((12, 3))
    for gene in range(12):
        above, below = np.zeros(3), 0.0
        for cell in range(9):
            for other in range(12):
                if other != gene:
                    above += share[cell, gene] * share[cell, other] * static[other]
                    below += share[cell, gene] * share[cell, other]
        expected[gene] = above / below
    np.testing.assert_allclose(weight, share.sum(axis=0))
    np.testing.assert_allclose(context, expected - weight @ expected / weight.sum())


def test_genes_without_embedding(embedding: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    found = similar_genes(embedding, np.array([4]), n=80, rng=rng)
    assert not found["gene"].isin([70, 71]).any()
    for query, given in (([70], {}), ([], {}), ([4], {"n": 0}), ([4], {"n_null": 0})):
        with pytest.raises(InputError, match="expected genes with an embedding"):
            similar_genes(embedding, np.array(query, dtype=np.int64), rng=rng, **given)


# encoded cells


@pytest.fixture(scope="module")
def encoded(data_dir: Path) -> anndata.AnnData:
    return scypher.encode(anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad"))


def test_neighbours_by_name(encoded: anndata.AnnData) -> None:
    found = nearest_genes(encoded, "CD3D", n=10, key_added="near_cd3d")
    assert (found["query"] == "CD3D").all()
    static = encoded.varm["cellvq_genes"].astype(float)
    here = list(encoded.var_names).index("CD3D")
    best = list(encoded.var_names).index(found["gene"].iloc[0])
    assert found["similarity"].iloc[0] == pytest.approx(cosine(static[here], static[best]))
    assert {"CD3E", "CD3G", "IL32", "CD2", "LCK"} & set(found["gene"])
    assert encoded.uns["near_cd3d"] is found
    again = nearest_genes(encoded, "CD3D", n=10)
    assert again.equals(found)
    few = nearest_genes(encoded, "CD3D", among=["CD3E", "LYZ"])
    assert few["gene"].tolist() == ["CD3E", "LYZ"]
    assert few["q"].iloc[0] < 0.05 < few["q"].iloc[1]


def test_neighbours_in_a_group(encoded: anndata.AnnData) -> None:
    asked = {"groupby": "cell_type", "group": "CD19+ B", "n": 5}
    found = nearest_genes(encoded, "CD74", **asked)
    assert len(found) == 5
    assert found["similarity"].between(-1, 1).all()
    inside = (encoded.obs["cell_type"] == "CD19+ B").to_numpy()
    context, _ = attended_contexts(
        encoded.varm["cellvq_genes"], encoded.layers["cellvq_attention"][inside]
    )
    names = list(encoded.var_names)
    pair = context[[names.index("CD74"), names.index(found["gene"].iloc[0])]]
    assert found["similarity"].iloc[0] == pytest.approx(cosine(*pair))


def test_analogy_by_name(encoded: anndata.AnnData) -> None:
    found = gene_analogy(encoded, ["CD3D", "CD3E", "CD79A"], n=4)
    assert len(found) == 4
    assert not found["gene"].isin(["CD3D", "CD3E", "CD79A"]).any()


def test_what_cannot_be_asked(encoded: anndata.AnnData) -> None:
    with pytest.raises(InputError, match=r"'CD3X' was given.*did you mean CD3"):
        nearest_genes(encoded, "CD3X")
    with pytest.raises(InputError, match=r"varm\['scd_genes'\].*encode first"):
        nearest_genes(encoded, "CD3D", encoder="scd")
    with pytest.raises(InputError, match="expected both, or none"):
        nearest_genes(encoded, "CD3D", groupby="cell_type")
    with pytest.raises(InputError, match="'B' was given; expected a value"):
        nearest_genes(encoded, "CD3D", groupby="cell_type", group="B")
    with pytest.raises(InputError, match="three different"):
        gene_analogy(encoded, ["CD3D", "CD3D", "CD3E"])
    with pytest.raises(InputError, match="expected three genes"):
        gene_analogy(encoded, "CD3D")
