"""The corpus read from files, its normalisation, and its SVD."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.cellvq.corpus import corpus_svd, read_corpus
from scypher.encoders.counts import normalise
from scypher.encoders.vocabulary import gene_table


def write(path: Path, counts: np.ndarray, names: list[str], ids: list[str]) -> None:
    obs = pd.DataFrame(
        {"batch": np.where(np.arange(len(counts)) % 2, "b", "a")},
        index=[f"cell{number}" for number in range(len(counts))],
    )
    var = pd.DataFrame({"ensembl_id": ids}, index=names)
    AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var).write_h5ad(path)


@pytest.fixture
def genes() -> pd.DataFrame:
    table = gene_table()
    return table[(table["gene_class"] == "protein_coding") & (table["symbol"] != "")].head(8)


@pytest.fixture
def folder(tmp_path: Path, genes: pd.DataFrame) -> Path:
    """Two data sets that share five of eight genes, in another order; one cell is empty."""
    rng = np.random.default_rng(0)
    ids, names = genes["ensembl_id"].tolist(), genes["symbol"].tolist()
    first = rng.poisson(2, (20, 6))
    first[4] = 0
    first[:, 5] = 0
    first[:2, 5] = 1
    write(tmp_path / "one.h5ad", first, names[:6], ids[:6])
    second = rng.poisson(2, (15, 8))
    order = [7, 6, 5, 4, 3, 2, 1]
    columns = [*second[:, order].T, second[:, 0]]
    write(
        tmp_path / "two.h5ad",
        np.stack(columns, axis=1),
        [*(names[gene] for gene in order), "no gene"],
        [*(f"{ids[gene]}.4" for gene in order), ""],
    )
    return tmp_path


def test_the_corpus_holds_the_genes_that_enough_sets_and_cells_have(
    folder: Path, genes: pd.DataFrame
) -> None:
    import anndata

    corpus = read_corpus(folder, min_sets=2, min_cells=10)
    one, two = (anndata.read_h5ad(folder / f"{name}.h5ad") for name in ("one", "two"))
    ids = genes["ensembl_id"].tolist()
    # Gene 0 is unnamed in the second set, 5 is seen in two cells of the first, 6 and 7 not at all.
    assert corpus.genes == sorted(ids[1:5])
    assert corpus.names == ["one", "two"]
    filled = np.delete(np.arange(20), 4)
    expected = np.vstack(
        [
            one.X.toarray()[filled][:, [ids.index(gene) for gene in corpus.genes]],
            two.X.toarray()[:, [7 - ids.index(gene) for gene in corpus.genes]],
        ]
    )
    np.testing.assert_array_equal(corpus.counts.toarray(), expected)
    totals = [*one.X.toarray().sum(axis=1)[filled], *two.X.toarray().sum(axis=1)]
    np.testing.assert_array_equal(corpus.totals, totals)
    assert corpus.dataset.tolist() == [0] * 19 + [1] * 15
    parity = [*(filled % 2), *(2 + np.arange(15) % 2)]
    assert corpus.batch.tolist() == parity


def test_too_few_cells_leave_a_gene_out(folder: Path, genes: pd.DataFrame) -> None:
    some = read_corpus(folder, min_sets=1, min_cells=20).genes
    assert genes["ensembl_id"].iloc[5] not in some
    assert read_corpus(folder, min_sets=3, min_cells=1).genes == []


def test_normalised_values_are_log1p_of_counts_per_ten_thousand() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.7, (9, 14)).astype(np.float32)
    counts[3] = 0
    totals = counts.sum(axis=1) + 5
    found = normalise(sparse.csr_matrix(counts), totals)
    np.testing.assert_allclose(found.toarray(), np.log1p(counts / totals[:, None] * 1e4), rtol=1e-6)
    assert found.dtype == np.float32
    assert found.nnz == np.count_nonzero(counts)


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray]:
    """Values of 300 cells with five strong directions, in three batches that are shifted."""
    rng = np.random.default_rng(1)
    strength = np.array([9, 7, 5, 4, 3])
    values = rng.normal(size=(300, 5)) * strength @ rng.normal(size=(5, 40)) / 6
    values += rng.normal(0, 0.2, values.shape)
    batch = np.repeat([0, 1, 2], [200, 60, 40])
    values += rng.normal(0, 3, (3, 40))[batch]
    return np.where(rng.random(values.shape) < 0.5, np.abs(values), 0), batch


def dense_svd(values: np.ndarray, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and right singular vectors of the weighted, batch-centred matrix."""
    deviation = values.std(axis=0)
    scale = np.maximum(deviation, np.quantile(deviation, 0.25))
    scaled = values / scale
    centred = np.empty_like(scaled)
    for number in np.unique(batch):
        rows = batch == number
        centred[rows] = (scaled[rows] - scaled[rows].mean(axis=0)) * rows.sum() ** -0.25
    return scale, np.linalg.svd(centred, full_matrices=False)[2]


def test_svd_agrees_with_the_dense_one(planted: tuple[np.ndarray, np.ndarray]) -> None:
    values, batch = planted
    svd = corpus_svd(sparse.csr_matrix(values), batch, 4, np.random.default_rng(0))
    scale, right = dense_svd(values, batch)
    np.testing.assert_allclose(svd.scale, scale, rtol=1e-4)
    assert svd.loadings.shape == (40, 4)
    length = np.linalg.norm(svd.loadings, axis=0)
    np.testing.assert_allclose(length, length[0], rtol=1e-4)
    unit = svd.loadings / length
    np.testing.assert_allclose(unit @ unit.T, right[:4].T @ right[:4], atol=2e-4)
    # In order of strength, each with its largest loading positive.
    np.testing.assert_allclose(np.abs((unit * right[:4].T).sum(axis=0)), 1, atol=1e-3)
    assert (unit[np.abs(unit).argmax(axis=0), np.arange(4)] > 0).all()


def test_the_embedding_is_centred_with_unit_mean_square(
    planted: tuple[np.ndarray, np.ndarray],
) -> None:
    values, batch = planted
    svd = corpus_svd(sparse.csr_matrix(values), batch, 4, np.random.default_rng(0))
    embedding = values / svd.scale @ svd.loadings - svd.centre
    np.testing.assert_allclose(embedding.mean(axis=0), 0, atol=1e-4)
    assert np.mean(embedding**2) == pytest.approx(1, rel=1e-4)


def test_a_gene_that_never_varies_keeps_a_finite_scale() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(1, 1, (80, 20))
    values[:, 0] = 0
    svd = corpus_svd(sparse.csr_matrix(values), np.arange(80) % 2, 3, rng)
    assert (svd.scale > 0).all()
    assert np.isfinite(svd.loadings).all()
    assert np.abs(svd.loadings[0]).max() < 1e-6
