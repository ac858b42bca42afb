"""Principal components and the user's own embedding as encoders."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA

from scypher.encoders import coded
from scypher.encoders.base import read_slots, write_slots
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.codes import CodesConfig, fit_codes
from scypher.encoders.counts import normalise
from scypher.encoders.errors import InputError
from scypher.encoders.foreign import (
    ObsmEncoder,
    PcaEncoder,
    principal_components,
    variable_genes,
)
from scypher.encoders.registry import get_encoder

Maker = Callable[..., AnnData]


def silent(what: str, done: int, total: int) -> None:
    return None


@pytest.fixture(scope="module")
def cells(make_planted: Maker) -> Cells:
    return prepare(make_planted())


@pytest.fixture(autouse=True)
def quick_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A codebook needs few steps to be there; how good one is, is tested where codes are made."""
    monkeypatch.setattr(coded, "fit_codes", partial(fit_codes, config=CodesConfig(steps=20)))


def with_obsm(make_planted: Maker, value: object) -> Cells:
    adata = make_planted()
    adata.obsm["X_pca"] = np.ones((120, 2))
    adata.obsm["X_own"] = value
    return prepare(adata)


def residual_variance(counts: np.ndarray) -> np.ndarray:
    depth = counts.sum(axis=1)
    result = np.zeros(counts.shape[1])
    for gene in range(counts.shape[1]):
        x = counts[:, gene] * depth.mean() / depth
        m = x.mean()
        residual = (x - m) / np.sqrt(m + m * m / 100) if m else x
        result[gene] = np.var(np.clip(residual, -np.sqrt(len(x)), np.sqrt(len(x))))
    return result


def test_variable_genes_are_those_of_the_formula(cells: Cells) -> None:
    variance = residual_variance(cells.counts.toarray().astype(float))
    detected = (cells.counts.toarray() > 0).sum(axis=0) >= 3
    best = np.argsort(-np.where(detected, variance, -1), kind="stable")[:30]
    assert np.array_equal(variable_genes(cells.counts, cells.totals, 30), np.sort(best))


def test_planted_markers_are_the_most_variable_genes(cells: Cells) -> None:
    assert variable_genes(cells.counts, cells.totals, 30).tolist() == list(range(30))


def test_genes_that_do_not_vary_are_not_chosen() -> None:
    counts = np.full((10, 4), 2.0)
    counts[:, 3] = [1, 3] * 5
    counts[:, 2] = [3, 1] * 5
    found = variable_genes(sparse.csr_matrix(counts), counts.sum(axis=1), 4)
    assert found.tolist() == [2, 3]


def test_components_are_those_of_a_dense_solution(cells: Cells) -> None:
    found = principal_components(cells.counts, cells.totals, n_components=8, n_genes=100)
    values = normalise(cells.counts, cells.totals)[:, found.genes].toarray().astype(float)
    oracle = PCA(8, svd_solver="full").fit(values)
    assert np.allclose(np.abs(found.scores), np.abs(oracle.transform(values)), atol=1e-3)
    assert found.share == pytest.approx(oracle.explained_variance_ratio_.sum())
    assert np.allclose((values - found.mean) @ found.loadings.T, found.scores, atol=1e-4)


def test_the_encoder_gives_scores_loadings_and_no_attention(cells: Cells) -> None:
    features = PcaEncoder(n_components=5, n_genes=40).embed(cells, 0, silent)
    assert features.embedding.shape == (120, 5)
    assert features.embedding.dtype == np.float32
    assert features.attention.nnz == 0
    read = np.abs(features.gene_embedding).sum(axis=1) > 0
    assert features.parameters == {"n_components": 5, "n_genes": 40}
    assert features.dropped_genes == list(cells.genes["name"][~read])
    assert len(features.dropped_genes) == 160
    assert "160 genes were not chosen" in features.notes[0]
    norms = np.linalg.norm(features.gene_embedding, axis=0)
    assert np.allclose(norms, 1, atol=1e-5)


def test_the_same_seed_gives_the_same_encoding(cells: Cells) -> None:
    one, other = (PcaEncoder().encode(cells, seed=3) for _ in range(2))
    assert np.array_equal(one.embedding, other.embedding)
    assert np.array_equal(one.code, other.code)
    assert one.weights_hash == other.weights_hash


def test_components_need_two_genes_that_vary(cells: Cells) -> None:
    with pytest.raises(InputError, match="expected at least 2"):
        principal_components(cells.counts[:, :1], cells.totals)


def test_codes_follow_planted_groups_on_real_cells(data_dir: Path) -> None:
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    encoding = get_encoder("pca").encode(cells)
    labels = cells.adata.obs["cell_type"].astype(str).to_numpy()
    majority = pd.DataFrame({"code": encoding.code, "label": labels}).groupby("code")["label"]
    share = majority.agg(lambda x: x.value_counts().iloc[0]).sum() / len(labels)
    assert share > 0.75
    write_slots(cells.adata, "pca", encoding)
    assert np.array_equal(read_slots(cells.adata, "pca").code, encoding.code)


@pytest.mark.parametrize("kind", ["array", "frame", "sparse"])
def test_an_own_embedding_comes_through_as_it_is(make_planted: Maker, kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(120, 7))
    adata = make_planted()
    given = {
        "array": values,
        "frame": pd.DataFrame(values, index=adata.obs_names, columns=list("abcdefg")),
        "sparse": sparse.csr_matrix(values),
    }[kind]
    encoding = get_encoder("obsm:X_own").encode(with_obsm(make_planted, given))
    assert np.array_equal(encoding.embedding, values.astype(np.float32))
    assert encoding.gene_embedding.shape == (200, 1)
    assert encoding.attention.nnz == 0
    assert not encoding.gene_embedding.any()
    assert len(np.unique(encoding.code)) > 1
    assert encoding.parameters["key"] == "X_own"
    assert len(encoding.weights_hash) == 64


def test_another_embedding_has_another_hash(make_planted: Maker) -> None:
    rng = np.random.default_rng(0)
    hashes = {
        ObsmEncoder("X_own")
        .embed(with_obsm(make_planted, rng.normal(size=(120, 3))), 0, silent)
        .weights_hash
        for _ in range(2)
    }
    assert len(hashes) == 2


def test_cells_without_counts_keep_embeddings_in_place(make_planted: Maker) -> None:
    adata = make_planted()
    values = np.random.default_rng(0).normal(size=(120, 3))
    adata.obsm["X_own"] = values
    keep = sparse.diags((np.arange(120) != 4).astype(np.float32))
    adata.X = sparse.csr_matrix(keep @ adata.X)
    features = ObsmEncoder("X_own").embed(prepare(adata), 0, silent)
    assert np.array_equal(features.embedding, np.delete(values, 4, axis=0).astype(np.float32))


def test_a_missing_key_lists_those_that_exist(make_planted: Maker) -> None:
    with pytest.raises(InputError, match="there are: 'X_pca', 'X_own'"):
        get_encoder("obsm:X_gone").encode(with_obsm(make_planted, np.ones((120, 2))))
    with pytest.raises(InputError, match="none at all"):
        get_encoder("obsm:X_gone").encode(prepare(make_planted()))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.where(np.arange(240).reshape(120, 2) == 6, np.nan, 1.0), "NaN .* in 1 of 120 cells"),
        (np.full((120, 2), np.inf), "in 120 of 120 cells"),
        (np.ones((120, 2, 2)), "expected cells x width"),
        (np.full((120, 2), "a"), "no numbers"),
    ],
)
def test_what_is_no_embedding_is_refused(
    make_planted: Maker, value: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        get_encoder("obsm:X_own").encode(with_obsm(make_planted, value))


def test_arguments_are_checked() -> None:
    with pytest.raises(InputError, match="expected pca alone"):
        get_encoder("pca:20")
    with pytest.raises(InputError, match="expected obsm:KEY"):
        get_encoder("obsm")
