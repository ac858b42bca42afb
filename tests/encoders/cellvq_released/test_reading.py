"""The encoders on cells: the contract, the genes they find, and real data."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scypher.encoders.base import Encoding
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.cellvq_released import inference
from scypher.encoders.cellvq_released.encoder import CellVQReleasedEncoder
from scypher.encoders.cellvq_released.genes import columns_of
from scypher.encoders.cellvq_released.scfoundation import ScFoundationEncoder
from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import map_genes


@pytest.fixture
def encoder(mini: Any) -> CellVQReleasedEncoder:
    return CellVQReleasedEncoder(mini.cellvq())


def test_shapes_types_and_ranges_keep_the_contract(
    encoder: CellVQReleasedEncoder, toy_cells: Cells, model_genes: list[str]
) -> None:
    encoding = encoder.encode(toy_cells, seed=4)
    assert encoding.embedding.shape == (60, 64)
    assert encoding.gene_embedding.shape == (30, 16)
    assert encoding.codebook.shape == (8, 4)
    assert encoding.embedding.dtype == encoding.gene_embedding.dtype == np.float32
    assert (encoding.code != encoding.second).all()
    assert ((encoding.probability > 0) & (encoding.probability <= 1 + 1e-6)).all()
    assert ((encoding.entropy >= -1e-6) & (encoding.entropy <= np.log(8) + 1e-5)).all()
    assert sparse.isspmatrix_csr(encoding.attention)
    assert encoding.attention.has_sorted_indices
    assert (toy_cells.counts.toarray()[encoding.attention.toarray() > 0] > 0).all()
    read = toy_cells.genes["name"].isin(model_genes).to_numpy()
    expressed = (toy_cells.counts.toarray()[:, read] > 0).sum(axis=1)
    np.testing.assert_allclose(encoding.attention.sum(axis=1).A1, expressed, rtol=1e-5)
    assert encoding.attention[59].nnz == 0
    assert encoding.dropped_genes == list(toy_cells.genes["name"][~read])
    assert any("read 20 of 30 genes" in note for note in encoding.notes)
    assert any(note.startswith("1 cells have no count") for note in encoding.notes)
    assert any("of 8 codes in use" in note for note in encoding.notes)
    assert encoding.parameters == {
        "checkpoint": "checkpoint.pt",
        "mode": "m1",
        "target_depth": 4.0,
        "max_genes": 15_000,
        "encoder": "cellvq_released",
        "seed": 4,
    }


def same(first: Encoding, second: Encoding, rows: Any = slice(None)) -> None:
    np.testing.assert_array_equal(first.code, second.code[rows])
    np.testing.assert_allclose(first.embedding, second.embedding[rows], atol=1e-5)
    np.testing.assert_allclose(
        first.attention.toarray(), second.attention.toarray()[rows], atol=1e-5
    )


def test_a_cell_does_not_depend_on_the_others_or_the_chunks(
    encoder: CellVQReleasedEncoder, toy: AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoder.encode(prepare(toy))
    same(encoder.encode(prepare(toy[5:57].copy())), whole, slice(5, 57))
    for tokens in (1, 50):
        monkeypatch.setattr(inference, "TOKENS_PER_CHUNK", tokens)
        same(encoder.encode(prepare(toy)), whole)


def test_runs_are_the_same_bits(encoder: CellVQReleasedEncoder, toy_cells: Cells) -> None:
    before = torch.get_rng_state()
    first, again = encoder.encode(toy_cells), encoder.encode(toy_cells, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.embedding.tobytes() == again.embedding.tobytes()
    assert first.attention.data.tobytes() == again.attention.data.tobytes()
    assert first.probability.tobytes() == again.probability.tobytes()


def test_genes_are_found_in_any_order(encoder: CellVQReleasedEncoder, toy: AnnData) -> None:
    order = np.random.default_rng(0).permutation(30)
    first, shuffled = encoder.encode(prepare(toy)), encoder.encode(prepare(toy[:, order].copy()))
    np.testing.assert_array_equal(shuffled.gene_embedding, first.gene_embedding[order])
    np.testing.assert_allclose(shuffled.embedding, first.embedding, atol=1e-5)
    np.testing.assert_allclose(
        shuffled.attention.toarray(), first.attention.toarray()[:, order], atol=1e-5
    )


def test_genes_are_found_by_ensembl_id(encoder: CellVQReleasedEncoder, toy: AnnData) -> None:
    other = toy.copy()
    other.var_names = map_genes(list(toy.var_names)).genes["ensembl_id"].to_numpy()
    first, again = encoder.encode(prepare(toy)), encoder.encode(prepare(other))
    assert first.embedding.tobytes() == again.embedding.tobytes()


def test_columns_go_by_gene_then_by_name_and_never_twice() -> None:
    names = ["SEPT2", "CD3D", "MT-ND1__chrM", "MT-ND1", "LOC1"]
    genes = map_genes(["LOC1", "SEPTIN2", "CD3D", "MT-ND1", "NONE", "MT-ND1__chrM"]).genes
    assert columns_of(names, genes).tolist() == [4, 0, 1, 3, -1, 2]
    # A name on the model's side that another gene of the data has already taken stays taken.
    assert columns_of(["SEPT2"], map_genes(["SEPTIN2", "SEPT2"]).genes).tolist() == [0, -1]


def test_data_without_any_gene_of_the_model_get_an_error(
    encoder: CellVQReleasedEncoder, toy: AnnData, model_genes: list[str]
) -> None:
    kept = toy[:, ~toy.var_names.isin(model_genes)].copy()
    with pytest.raises(InputError, match=r"none of the 10 genes .*LYZ.*20 genes of checkpoint"):
        encoder.encode(prepare(kept))


def test_long_cells_are_cut_to_their_highest_values(mini: Any, toy: AnnData) -> None:
    encoder = CellVQReleasedEncoder(mini.cellvq(), max_genes=6)
    encoding = encoder.encode(prepare(toy))
    assert any("cells express more than 6 genes" in note for note in encoding.notes)
    assert np.diff(encoding.attention.indptr).max() == 6
    counts = toy.X.toarray()
    for cell in range(60):
        attended = encoding.attention[[cell]].indices
        read = np.flatnonzero((counts[cell] > 0) & (encoding.gene_embedding.any(axis=1)))
        left = np.setdiff1d(read, attended)
        if len(left):
            assert counts[cell, left].max() <= counts[cell, attended].min()


def test_property_logits_are_linear(
    mini: Any, encoder: CellVQReleasedEncoder, toy_cells: Cells
) -> None:
    embedding, state = encoder.encode(toy_cells).embedding, mini.state()
    logits = encoder.property_logits(embedding)
    assert list(logits) == ["cell_type", "tissue", "disease", "sex", "age"]
    for name, found in logits.items():
        weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
        expected = embedding.astype(float) @ weight.numpy().T + bias.numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(InputError, match=r"shape \(60, 3\), expected \(n_cells, 64\)"):
        encoder.property_logits(embedding[:, :3])


def test_maps_of_a_cell_or_layer_that_is_not_there_are_an_error(
    encoder: CellVQReleasedEncoder, toy_cells: Cells
) -> None:
    with pytest.raises(InputError, match="no cell 60; there are 60"):
        encoder.attention(toy_cells, 60, [0])
    with pytest.raises(InputError, match="no layer 2; the model has 2"):
        encoder.attention(toy_cells, 0, [0, 2])


@pytest.fixture
def published_genes(data_dir: Path, mini: Any) -> list[str]:
    """The published gene list, put beside the checkpoints."""
    target = mini.folder / "OS_scRNA_gene_index.19264.tsv"
    source = data_dir / "knowledge" / "vocab_scfoundation_19264.tsv.gz"
    with gzip.open(source, "rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    return [str(name) for name in pd.read_csv(target, sep="\t", na_filter=False)["gene_name"]]


def test_scfoundation_reads_real_cells(
    mini: Any, data_dir: Path, published_genes: list[str]
) -> None:
    assert len(published_genes) == 19_264
    encoder = ScFoundationEncoder(mini.scfoundation(published_genes))
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    encoding = encoder.embed(cells, 0, lambda what, done, total: None)
    n, genes = cells.counts.shape
    assert encoding.embedding.shape == (n, 64)
    lengths = np.diff(encoding.attention.indptr)
    assert lengths.max() == 64
    read = encoding.gene_embedding.any(axis=1)
    assert read.mean() > 0.85
    assert len(encoding.dropped_genes) == genes - read.sum()
    expressed = (cells.counts[:, read] > 0).sum(axis=1).A1
    whole = expressed <= 64
    np.testing.assert_allclose(
        encoding.attention.sum(axis=1).A1[whole], expressed[whole], rtol=1e-4
    )
    some = encoder.encode(prepare(cells.adata[:50].copy()), seed=1)
    np.testing.assert_allclose(some.embedding, encoding.embedding[:50], atol=1e-5)
    assert some.parameters["encoder"] == "scfoundation"
    assert some.parameters["mode"] == "cell"
    assert len(some.codebook) == len(some.bits) > some.code.max()
    maps = encoder.attention(cells, 0, [-1])
    assert maps[-1].shape == (expressed[0] + 2, expressed[0] + 2)


def test_cellvq_reads_real_cells(mini: Any, data_dir: Path) -> None:
    cells = prepare(data_dir / "pancreas_three_studies.h5ad")
    names = [str(name) for name in cells.genes["symbol"].drop_duplicates()[:300]]
    path = mini.folder / "checkpoint.pt"
    config = mini.config(300)
    torch.save({"config": config, "m1": mini.state(300)}, path)
    mini.genes(names)
    some = prepare(cells.adata[::10].copy())
    encoding = CellVQReleasedEncoder(path).encode(some)
    assert np.isfinite(encoding.embedding).all()
    assert encoding.gene_embedding.any(axis=1).sum() == 300
    assert np.diff(encoding.attention.indptr).max() <= 64
