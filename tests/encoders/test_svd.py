"""The linear encoder that training starts from, against a dense decomposition."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import linalg, sparse

from scypher.encoders.cellvq.svd import CorpusSVD, corpus_svd
from scypher.encoders.training.source import Source
from scypher.encoders.vocabulary import gene_table

N_GENES = 70


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Two files with five strong programs of genes; the first has two batches."""
    folder = tmp_path_factory.mktemp("svd")
    rng = np.random.default_rng(0)
    ids = gene_table().query("gene_class == 'protein_coding'")["ensembl_id"].head(N_GENES)
    loadings = rng.gamma(0.5, 1, (5, N_GENES)) * np.array([6, 4, 3, 2, 1.5])[:, None]
    for name, n, depth in (("one", 260, 1.0), ("two", 90, 2.5)):
        activity = rng.gamma(1, 1, (n, 5))
        own = rng.gamma(2, 0.3, N_GENES)
        counts = rng.poisson((activity @ loadings + own) * depth * 0.3)
        obs = pd.DataFrame(
            {"batch": [f"b{cell // 130}" for cell in range(n)]},
            index=[f"cell{cell}" for cell in range(n)],
        )
        AnnData(
            sparse.csr_matrix(counts.astype(np.float32)),
            obs=obs,
            var=pd.DataFrame(index=ids.to_numpy()),
        ).write_h5ad(folder / f"{name}.h5ad")
    return Source([folder / "one.h5ad", folder / "two.h5ad"], min_sets=1, min_cells=5, held_out=0.2)


@pytest.fixture(scope="module")
def svd(corpus: Source) -> CorpusSVD:
    return corpus_svd(corpus, 4, seed=0, rounds=12)


def dense(source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return values, shares of counts, batch and file of all training cells."""
    values, shares, batch, dataset = [], [], [], []
    for block in source.all_blocks():
        share = block.counts.toarray().astype(np.float64) / block.totals[:, None]
        shares.append(share)
        values.append(np.log1p(share * 1e4))
        batch.append(block.batch)
        dataset.append(block.dataset)
    return (
        np.concatenate(values),
        np.concatenate(shares),
        np.concatenate(batch),
        np.concatenate(dataset),
    )


def exact(source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scale, strengths and right singular vectors of the weighted, centred matrix."""
    values, _, batch, _ = dense(source)
    deviation = values.std(axis=0)
    scale = np.maximum(deviation, np.quantile(deviation, 0.25))
    centred = values / scale
    for number in np.unique(batch):
        rows = batch == number
        centred[rows] -= centred[rows].mean(axis=0)
        centred[rows] *= rows.sum() ** -0.25
    _, strength, right = np.linalg.svd(centred, full_matrices=False)
    return scale, strength, right


def test_it_agrees_with_the_dense_decomposition(corpus: Source, svd: CorpusSVD) -> None:
    assert corpus.n_batches == 3
    scale, strength, right = exact(corpus)
    np.testing.assert_allclose(svd.scale, scale, rtol=1e-4)
    length = np.linalg.norm(svd.loadings, axis=0)
    np.testing.assert_allclose(length, length[0], rtol=1e-4)
    unit = svd.loadings / length
    assert np.rad2deg(linalg.subspace_angles(unit, right[:4].T)).max() < 0.1
    # Each component by itself, so in the order of the singular values.
    assert (strength[:4] / strength[1:5]).min() > 1.02
    np.testing.assert_allclose(np.abs((unit * right[:4].T).sum(axis=0)), 1, atol=1e-3)


def test_the_largest_loading_is_positive(svd: CorpusSVD) -> None:
    assert (svd.loadings[np.abs(svd.loadings).argmax(axis=0), np.arange(4)] > 0).all()


def test_the_embedding_of_the_corpus_is_centred_with_unit_mean_square(
    corpus: Source, svd: CorpusSVD
) -> None:
    values = dense(corpus)[0]
    embedding = values / svd.scale @ svd.loadings - svd.centre
    np.testing.assert_allclose(embedding.mean(axis=0), 0, atol=1e-3)
    assert np.mean(embedding**2) == pytest.approx(1, rel=1e-3)


def test_the_profile_is_the_mean_share_of_the_files(corpus: Source, svd: CorpusSVD) -> None:
    _, shares, _, dataset = dense(corpus)
    expected = np.mean([shares[dataset == number].mean(axis=0) for number in (0, 1)], axis=0)
    np.testing.assert_allclose(svd.profile, expected, rtol=1e-4)
    assert svd.profile.sum() == pytest.approx(1, rel=1e-4)


def test_a_few_rounds_find_the_same_space_from_any_start(corpus: Source, svd: CorpusSVD) -> None:
    said: list[tuple[str, int, int]] = []
    first = corpus_svd(corpus, 4, seed=1, progress=lambda *step: said.append(step))
    again = corpus_svd(corpus, 4, seed=1)
    for name in ("loadings", "scale", "centre", "profile"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_allclose(first.loadings, svd.loadings, atol=5e-3)
    assert [step[1] for step in said] == list(range(1, 9))
    assert {step[2] for step in said} == {8}


def test_all_types_are_single_precision(svd: CorpusSVD) -> None:
    for name in ("loadings", "scale", "centre", "profile"):
        assert getattr(svd, name).dtype == np.float32
    assert svd.loadings.shape == (N_GENES, 4)


def test_as_many_components_as_genes_can_be_asked_for(tmp_path: Path) -> None:
    ids = gene_table().query("gene_class == 'protein_coding'")["ensembl_id"].head(12)
    counts = np.random.default_rng(0).poisson(2, (200, 12)).astype(np.float32)
    AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=ids.to_numpy())).write_h5ad(
        tmp_path / "few.h5ad"
    )
    source = Source([tmp_path / "few.h5ad"], batch=None, held_out=0)
    svd = corpus_svd(source, 12, seed=0)
    assert svd.loadings.shape == (12, 12)
    assert np.isfinite(svd.loadings).all()
