"""TF-IDF of cell sentences: weights, axes, and what it tells of cells and genes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import cross_val_score

from scypher.encoders import registry
from scypher.encoders.cell2sentence.sentences import sentences_of
from scypher.encoders.cell2sentence.tfidf import TfidfEncoder, fit_tfidf, lift, transform, weigh
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.errors import InputError
from scypher.encoders.reading import TOP_ATTENDED


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@pytest.fixture
def cells(make_cells: Callable[[int], Cells]) -> Cells:
    return make_cells(90)


def ranks_of(cells: Cells) -> sparse.csr_matrix:
    return sentences_of(cells.counts, list(cells.genes["symbol"])).ranks


def test_weights_equal_a_loop(cells: Cells) -> None:
    ranks = ranks_of(cells)
    model, _ = fit_tfidf(ranks, 0)
    dense = ranks.toarray()
    documents = (dense > 0).sum(axis=0)
    expected = np.zeros(dense.shape)
    for row, gene in zip(*np.nonzero(dense), strict=True):
        idf = np.log((1 + len(dense)) / (1 + documents[gene])) + 1
        expected[row, gene] = idf / np.log2(1 + dense[row, gene])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(weigh(ranks, model.idf).toarray(), expected, rtol=1e-9)
    share = expected / expected.sum(axis=1, keepdims=True)
    found = lift(weigh(ranks, model.idf)).toarray()
    np.testing.assert_allclose(
        found, share * (dense > 0).sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7
    )


def test_the_axes_are_those_of_an_exact_decomposition(cells: Cells) -> None:
    ranks = ranks_of(cells)
    model, embedding = fit_tfidf(ranks, 0, 3)
    weighted = weigh(ranks, model.idf).toarray()
    _, strength, axes = np.linalg.svd(weighted, full_matrices=False)
    np.testing.assert_allclose(model.strength, strength[:3] / np.sqrt(90), rtol=1e-4)
    cosine = np.abs((model.axes * axes[:3].T).sum(axis=0))
    np.testing.assert_allclose(cosine, 1, atol=1e-3)
    np.testing.assert_allclose(embedding, weighted @ model.axes, atol=1e-6)


def test_a_cell_does_not_depend_on_those_beside_it(cells: Cells) -> None:
    ranks = ranks_of(cells)
    model, embedding = fit_tfidf(ranks, 0)
    for row in (0, 41, 89):
        np.testing.assert_allclose(transform(ranks[row], model)[0], embedding[row], atol=1e-6)


def test_the_width_is_bounded_by_the_data() -> None:
    ranks = sparse.csr_matrix(np.array([[1, 2, 0, 0], [0, 1, 2, 0], [2, 0, 1, 0]], np.int32))
    model, embedding = fit_tfidf(ranks, 0)
    assert embedding.shape == (3, 2)
    assert not model.axes[3].any()
    with pytest.raises(InputError, match="2 cells with 1 distinct genes"):
        fit_tfidf(sparse.csr_matrix(np.array([[1, 0], [1, 0]], np.int32)), 0)


def test_planted_groups_and_their_genes_are_found(cells: Cells) -> None:
    encoding = TfidfEncoder().embed(cells, 1, silent)
    assert encoding.embedding.shape == (90, 50)
    planted = cells.adata.obs["group"].astype(int).to_numpy()
    found = KMeans(3, n_init=5, random_state=0).fit_predict(encoding.embedding)
    assert adjusted_rand_score(planted, found) > 0.95
    symbols = cells.genes["symbol"].to_numpy()
    mean = np.asarray(encoding.attention[planted == 2].mean(axis=0)).ravel()
    assert {"LYZ", "CD14"} <= set(symbols[np.argsort(-mean)[:10]])
    unit = encoding.gene_embedding[[list(symbols).index(name) for name in ("CD3D", "CD3E", "LYZ")]]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.3


def test_the_contract_is_kept(cells: Cells) -> None:
    first, again = TfidfEncoder().encode(cells, seed=4), TfidfEncoder().embed(cells, 4, silent)
    assert np.array_equal(first.embedding, again.embedding)
    assert first.weights_hash == again.weights_hash
    assert np.diff(first.attention.indptr).max() <= TOP_ATTENDED
    assert first.attention.dtype == np.float32
    assert first.parameters == {
        "genes": "all",
        "n_components": 50,
        "encoder": "c2s_tfidf",
        "seed": 4,
    }
    assert first.dropped_genes == []


def test_chosen_genes_alone_count(cells: Cells) -> None:
    names = [str(name) for name in cells.genes["name"]]
    found = TfidfEncoder(genes=names[:4]).embed(cells, 0, silent)
    assert found.dropped_genes == names[4:]
    assert not found.gene_embedding[4:].any()
    assert found.embedding.shape[1] == 3
    empty = np.asarray(cells.counts[:, :4].sum(axis=1)).ravel() == 0
    assert empty.any()
    assert not found.embedding[empty].any()
    assert any("express none of the chosen" in note for note in found.notes)


def test_the_catalogue_makes_it(cells: Cells, tmp_path: Path) -> None:
    encoder = registry.get_encoder("c2s-tfidf")
    assert isinstance(encoder, TfidfEncoder)
    assert encoder.name.isidentifier()
    encoder = registry.get_encoder("c2s-tfidf:genes=30")
    assert isinstance(encoder, TfidfEncoder)
    chosen = encoder.embed(cells, 0, silent)
    assert len(chosen.dropped_genes) == len(cells.genes) - 30
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    for argument, message in (
        ("model", "c2s-tfidf:model was given; expected nothing"),
        ("genes=0", "genes=0 is neither a number above 0 nor a file"),
        ("genes=", "genes= is neither"),
        (f"genes={tmp_path / 'absent.txt'}", "nor a file that can be read"),
        (f"genes={empty}", "names no gene"),
    ):
        with pytest.raises(InputError, match=message):
            registry.get_encoder(f"c2s-tfidf:{argument}")
    with pytest.raises(InputError, match="0 components"):
        TfidfEncoder(n_components=0)


def test_real_types_are_told_apart(data_dir: Path) -> None:
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    types = cells.adata.obs["cell_type"].astype(str)
    often = types.map(types.value_counts()) >= 25
    ranks = ranks_of(cells)
    _, embedding = fit_tfidf(ranks, 0)
    score = cross_val_score(
        LogisticRegression(max_iter=2000, C=10), embedding[often], types[often], cv=4
    )
    assert score.mean() > 0.75
