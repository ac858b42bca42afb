"""CellVQ with the shipped weights on cells of three planted groups."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import homogeneity_score

from scypher.encoders.base import Encoding
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.cellvq import adapt as module
from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.encoder import CellVQEncoder
from scypher.encoders.cellvq.inference import read_cells
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.weights import load_model, save_model
from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import gene_table

Maker = Callable[..., AnnData]


@pytest.fixture(scope="module")
def cells(make_adata: Maker) -> Cells:
    return prepare(make_adata())


@pytest.fixture(scope="module")
def frozen(cells: Cells, shipped: Path) -> Encoding:
    """The encoding without adapting."""
    return CellVQEncoder(shipped, adapt=False).encode(cells)


@pytest.fixture(scope="module")
def adapted(cells: Cells, shipped: Path) -> Encoding:
    """The encoding after adapting."""
    return CellVQEncoder(shipped).encode(cells, seed=1)


@pytest.fixture(params=["frozen", "adapted"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    """Either encoding."""
    found: Encoding = request.getfixturevalue(request.param)
    return found


def test_shapes_types_and_ranges_keep_the_contract(encoding: Encoding, shipped: Path) -> None:
    n_codes = len(encoding.codebook)
    assert n_codes <= load_model(shipped).model.config.n_codes
    for item in (encoding.code, encoding.second):
        assert item.shape == (120,)
        assert item.dtype.kind == "i"
        assert item.min() >= 0
        assert item.max() < n_codes
    assert (encoding.code != encoding.second).all()
    assert (encoding.probability > 0).all()
    assert (encoding.probability <= 1 + 1e-6).all()
    assert (encoding.entropy >= -1e-6).all()
    assert (encoding.entropy <= np.log(n_codes) + 1e-4).all()
    assert encoding.embedding.shape[0] == 120
    assert encoding.embedding.dtype == np.float32
    assert encoding.gene_embedding.shape[0] == 200
    assert len(encoding.bits) == n_codes
    np.testing.assert_allclose(np.linalg.norm(encoding.codebook, axis=1), 1, rtol=1e-5)
    assert encoding.bits[5] == format(5, f"0{len(encoding.bits[0])}b")
    assert len(set(encoding.bits)) == n_codes
    assert len(encoding.weights_hash) == 64
    assert sparse.isspmatrix_csr(encoding.attention)


def test_adapting_adds_components(frozen: Encoding, adapted: Encoding, shipped: Path) -> None:
    config = load_model(shipped).model.config
    assert frozen.embedding.shape[1] == config.width
    assert adapted.embedding.shape[1] == config.width + config.own_width
    np.testing.assert_allclose(adapted.embedding[:, : config.width], frozen.embedding, atol=1e-4)


def test_attention_is_bounded_on_expressed_genes_with_mean_one(
    encoding: Encoding, cells: Cells
) -> None:
    expressed = np.diff(cells.counts.indptr)
    kept = np.diff(encoding.attention.indptr)
    assert kept.max() <= 64
    assert (encoding.attention.data > 0).all()
    attended = encoding.attention.toarray()
    assert (cells.counts.toarray()[attended > 0] > 0).all()
    whole = expressed <= 64
    assert whole.mean() > 0.8
    np.testing.assert_allclose(attended.sum(axis=1)[whole], expressed[whole], rtol=1e-4)


def test_without_adapting_the_hash_is_that_of_the_weights(
    frozen: Encoding, adapted: Encoding, shipped: Path
) -> None:
    pretrained = load_model(shipped).weights_hash
    assert frozen.weights_hash == pretrained
    assert adapted.weights_hash != pretrained
    for encoding, fitted in ((frozen, False), (adapted, True)):
        assert encoding.parameters["pretrained"] == pretrained
        assert encoding.parameters["adapt"] is fitted
    assert adapted.parameters["seed"] == 1


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapt for a few steps only, where the result need not be good."""
    monkeypatch.setattr(module, "ADAPTING", dataclasses.replace(module.ADAPTING, steps=4))


@pytest.mark.usefixtures("few_steps")
def test_adapting_leaves_the_pretrained_model_as_it_was(
    cells: Cells, frozen: Encoding, shipped: Path
) -> None:
    encoder = CellVQEncoder(shipped)
    first, second = encoder.encode(cells), encoder.encode(cells)
    assert first.weights_hash == second.weights_hash != frozen.weights_hash
    np.testing.assert_array_equal(first.code, second.code)
    np.testing.assert_array_equal(first.gene_embedding, frozen.gene_embedding)


@pytest.mark.usefixtures("few_steps")
def test_the_same_seed_gives_the_same_bits(cells: Cells, shipped: Path) -> None:
    first = CellVQEncoder(shipped).encode(cells, seed=1)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = CellVQEncoder(shipped).encode(cells, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("code", "second", "probability", "entropy", "embedding", "codebook"):
        assert getattr(again, name).tobytes() == getattr(first, name).tobytes(), name
    assert again.attention.data.tobytes() == first.attention.data.tobytes()
    assert again.weights_hash == first.weights_hash
    assert CellVQEncoder(shipped).encode(cells, seed=2).weights_hash != first.weights_hash


def test_adapted_codes_tell_the_planted_groups_apart(cells: Cells, adapted: Encoding) -> None:
    group = cells.adata.obs["group"].to_numpy()
    # With about one code per cell every labelling is pure: compare with shuffled labels, and ask
    # whether the codes of a group lie together.
    rng = np.random.default_rng(0)
    chance = [homogeneity_score(rng.permutation(group), adapted.code) for _ in range(200)]
    assert homogeneity_score(group, adapted.code) > max(0.9, np.quantile(chance, 0.99))
    used = adapted.codebook[adapted.code]
    cosine = used @ used.T
    np.fill_diagonal(cosine, -2)
    nearest = np.argsort(-cosine, axis=1)[:, :5]
    assert (group[nearest] == group[:, None]).mean() > 0.8


def test_a_cell_does_not_depend_on_the_other_cells(
    make_adata: Maker, frozen: Encoding, shipped: Path
) -> None:
    some = CellVQEncoder(shipped, adapt=False).encode(prepare(make_adata()[:60].copy()))
    np.testing.assert_array_equal(some.code, frozen.code[:60])
    np.testing.assert_allclose(some.embedding, frozen.embedding[:60], atol=1e-5)
    np.testing.assert_allclose(some.attention.toarray(), frozen.attention[:60].toarray(), atol=1e-5)


def test_real_cells_do_not_depend_on_the_other_cells_of_their_file(
    data_dir: Path, shipped: Path
) -> None:
    import anndata

    adata = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")[:600].copy()
    encoder = CellVQEncoder(shipped, adapt=False)
    whole, some = encoder.encode(prepare(adata)), encoder.encode(prepare(adata[100:160].copy()))
    # Genes without a count in the few cells are known to be measured all the same.
    scale = np.abs(whole.embedding).max()
    assert np.abs(some.embedding - whole.embedding[100:160]).max() / scale < 1e-5
    np.testing.assert_array_equal(some.code, whole.code[100:160])


def test_the_depth_behind_a_panel_is_that_of_its_genes(make_adata: Maker, shipped: Path) -> None:
    adata = make_adata()
    encoder = CellVQEncoder(shipped, adapt=False)
    pretrained = load_model(shipped)
    cells = prepare(adata)
    measured = np.isin(pretrained.genes, list(cells.measured))
    profile = pretrained.model.profile.numpy()
    share = profile[measured].sum() / profile.sum()
    assert 0 < share < 0.2
    counts = np.zeros((120, len(pretrained.genes)))
    column = [pretrained.genes.index(gene) for gene in cells.genes["ensembl_id"]]
    counts[:, column] = cells.counts.toarray()
    depth = cells.totals / max(share, 1e-4)
    values = sparse.csr_matrix(np.log1p(counts / depth[:, None] * 1e4).astype(np.float32))
    expected = read_cells(pretrained.model, values, depth)[0]
    np.testing.assert_allclose(encoder.encode(cells).embedding, expected, rtol=1e-3, atol=1e-4)


def test_genes_are_found_in_any_order(make_adata: Maker, frozen: Encoding, shipped: Path) -> None:
    order = np.random.default_rng(0).permutation(200)
    shuffled = CellVQEncoder(shipped, adapt=False).encode(prepare(make_adata()[:, order].copy()))
    np.testing.assert_array_equal(shuffled.code, frozen.code)
    np.testing.assert_allclose(shuffled.embedding, frozen.embedding, atol=1e-4)
    np.testing.assert_array_equal(shuffled.gene_embedding, frozen.gene_embedding[order])
    np.testing.assert_allclose(
        shuffled.attention.toarray(), frozen.attention.toarray()[:, order], atol=1e-4
    )


def test_genes_that_are_not_read_are_listed(
    make_adata: Maker, symbols: list[str], frozen: Encoding, shipped: Path
) -> None:
    names = symbols.copy()
    unread = gene_table().query("gene_class == 'other' and symbol != ''")
    unread = unread[~unread["ensembl_id"].isin(load_model(shipped).genes)]["symbol"].iloc[0]
    names[150], names[199] = "NOGENE1", unread
    cells = prepare(make_adata(names=names))
    encoding = CellVQEncoder(shipped, adapt=False).encode(cells)
    assert encoding.dropped_genes == ["NOGENE1", unread]
    assert frozen.dropped_genes == []
    assert (encoding.gene_embedding[[150, 199]] == 0).all()
    assert (np.delete(encoding.gene_embedding, [150, 199], axis=0) != 0).any(axis=1).all()
    assert encoding.attention[:, [150, 199]].nnz == 0
    assert any("read 198 of 200 genes" in note for note in encoding.notes)


def test_cells_whose_genes_are_none_of_them_read_get_an_error(
    make_adata: Maker, shipped: Path
) -> None:
    table = gene_table()
    unread = table[~table["ensembl_id"].isin(load_model(shipped).genes)]
    names = unread.loc[~unread["symbol"].duplicated(keep=False), "ensembl_id"].tolist()[:200]
    cells = prepare(make_adata(names=names))
    with pytest.raises(InputError, match="none of the 200 genes is read by the encoder"):
        CellVQEncoder(shipped, adapt=False).encode(cells)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("adapt", [False, True])
def test_a_cell_without_any_gene_that_is_read_does_no_harm(
    make_adata: Maker, symbols: list[str], adapt: bool, shipped: Path
) -> None:
    adata = make_adata(60, names=[*symbols[:-1], "NOGENE1"])
    counts = adata.X.toarray()
    counts[5] = 0
    counts[5, -1] = 8
    adata.X = sparse.csr_matrix(counts)
    encoding = CellVQEncoder(shipped, adapt=adapt).encode(prepare(adata))
    assert encoding.attention[5].nnz == 0
    assert np.isfinite(encoding.embedding).all()
    assert np.isfinite(encoding.probability).all()


@pytest.mark.usefixtures("few_steps")
def test_cells_that_are_all_alike_are_encoded(make_adata: Maker, shipped: Path) -> None:
    adata = make_adata(60)
    adata.X = sparse.csr_matrix(np.full((60, 200), 2, np.float32))
    encoding = CellVQEncoder(shipped).encode(prepare(adata))
    assert len(set(encoding.code)) == 1
    assert np.isfinite(encoding.codebook).all()


@pytest.mark.usefixtures("few_steps")
def test_few_genes_are_encoded(make_adata: Maker, shipped: Path) -> None:
    adata = make_adata()[:, [0, 10, 20]].copy()
    encoding = CellVQEncoder(shipped).encode(prepare(adata))
    assert np.isfinite(encoding.embedding).all()
    assert np.isfinite(encoding.codebook).all()


def test_a_bound_on_tokens_is_kept_and_told(
    make_adata: Maker, cells: Cells, tmp_path: Path
) -> None:
    config = CellVQConfig(
        n_genes=200,
        width=8,
        own_width=2,
        n_heads=2,
        hidden=8,
        n_bits=3,
        code_width=4,
        max_tokens=10,
    )
    torch.manual_seed(0)
    model = CellVQ(config)
    with torch.no_grad():
        model.loadings.normal_()
    save_model(model, cells.genes["ensembl_id"].tolist(), tmp_path, trained_on=[], history=[])
    encoding = CellVQEncoder(tmp_path, adapt=False).encode(cells)
    assert np.diff(encoding.attention.indptr).max() == 10
    cut = int((np.diff(cells.counts.indptr) > 10).sum())
    assert f"{cut} cells express more than 10 genes: top read" in encoding.notes


def test_progress_is_told(cells: Cells, shipped: Path) -> None:
    said: list[tuple[str, int, int]] = []
    CellVQEncoder(shipped, adapt=False).encode(cells, progress=lambda *step: said.append(step))
    assert said[-1] == ("encoding cells", 120, 120)


def test_real_blood_types_get_their_own_codes(data_dir: Path, shipped: Path) -> None:
    import anndata

    adata = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")[::8].copy()
    encoding = CellVQEncoder(shipped, adapt=False).encode(prepare(adata))
    # By chance, the nearest neighbours of a cell are of its type in 15 to 20 % of all pairs.
    unit = encoding.embedding / np.linalg.norm(encoding.embedding, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    types = adata.obs["cell_type"].to_numpy()
    assert (types[cosine.argmax(axis=1)] == types).mean() > 0.7
