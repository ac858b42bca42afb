"""The encoder contract: embedding, attention, notes, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from scypher.encoders.base import read_slots, write_slots
from scypher.encoders.cellpatch.encoder import CellPatchEncoder
from scypher.encoders.cellpatch.genes import match_tokens
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.errors import InputError
from scypher.encoders.reading import TOP_ATTENDED
from scypher.encoders.registry import get_encoder


def quiet(what: str, done: int, total: int) -> None:
    assert 0 < done <= total, what


def test_a_cell_is_its_patches_and_its_attention_is_their_mean(
    encoder: CellPatchEncoder, cells: Cells, make_reference: Callable[..., Any]
) -> None:
    features = encoder.embed(cells, 0, quiet)
    reference = make_reference(n_tokens=220)
    assert features.embedding.shape == (60, 40)
    for cell in (0, 17, 59):
        counts = cells.counts[cell].toarray()[0]
        genes = np.flatnonzero(counts)
        value = np.log1p(counts[genes] / counts.sum() * 1e4).astype(np.float32)
        patches, weights = reference.cell(torch.from_numpy(genes + 1), torch.from_numpy(value))
        np.testing.assert_allclose(features.embedding[cell], patches.flatten(), atol=1e-5)
        attention = weights.mean(dim=0).numpy() * len(genes)
        top = np.sort(genes[np.argsort(-attention, kind="stable")[:TOP_ATTENDED]])
        row = features.attention[cell]
        assert set(row.indices) == set(top)
        np.testing.assert_allclose(
            row.toarray()[0][genes] * np.isin(genes, top),
            attention * np.isin(genes, top),
            atol=1e-5,
        )
    table = reference.gene2vector.weight.detach().numpy()
    np.testing.assert_array_equal(features.gene_embedding, table[1:201])


def test_the_contract_is_kept_and_survives_a_file(
    encoder: CellPatchEncoder, cells: Cells, tmp_path: Path
) -> None:
    encoding = encoder.encode(cells, seed=1)
    assert encoding.parameters["encoder"] == "cellpatch"
    assert encoding.parameters["max_tokens"] == 3000
    assert np.diff(encoding.attention.indptr).max() <= TOP_ATTENDED
    assert encoding.attention.has_sorted_indices
    assert encoding.weights_hash == encoder.pretrained.weights_hash
    write_slots(cells.adata, encoder.name, encoding)
    cells.adata.write_h5ad(tmp_path / "out.h5ad")
    back = read_slots(anndata.read_h5ad(tmp_path / "out.h5ad"), encoder.name)
    np.testing.assert_array_equal(back.code, encoding.code)
    np.testing.assert_array_equal(back.embedding, encoding.embedding)
    assert back.parameters == encoding.parameters


def test_two_runs_are_the_same(encoder: CellPatchEncoder, cells: Cells) -> None:
    one, two = encoder.embed(cells, 0, quiet), encoder.embed(cells, 0, quiet)
    np.testing.assert_array_equal(one.embedding, two.embedding)
    np.testing.assert_array_equal(one.attention.toarray(), two.attention.toarray())
    assert torch.get_num_threads() == 1


def test_a_cell_does_not_depend_on_the_others(
    encoder: CellPatchEncoder, make_cells: Callable[..., Cells]
) -> None:
    cells = make_cells(300)
    # The longest cell decides how much others would be padded.
    counts = cells.counts.toarray()
    counts[0] = 1
    whole = prepare(AnnData(counts, obs=cells.adata.obs, var=cells.adata.var))
    some = prepare(AnnData(counts[70:200], obs=cells.adata.obs[70:200], var=cells.adata.var))
    every, part = encoder.embed(whole, 0, quiet), encoder.embed(some, 0, quiet)
    np.testing.assert_allclose(part.embedding, every.embedding[70:200], atol=1e-5)
    columns = whole.adata.var_names.get_indexer(some.adata.var_names)
    difference = every.attention[70:200][:, columns] - part.attention
    assert abs(difference).max() < 1e-5


def test_values_are_clipped_and_cut_where_the_weights_want_it(
    save_public: Callable[..., Path], cells: Cells
) -> None:
    plain = CellPatchEncoder(save_public()).read(cells).values
    assert plain.data.max() > 5
    clipped = CellPatchEncoder(save_public(arguments={"clip": 5, "long": True}))
    np.testing.assert_array_equal(
        clipped.read(cells).values.data, np.floor(np.minimum(plain.data, 5))
    )
    assert clipped.embed(cells, 0, quiet).parameters == {
        "max_tokens": 3000,
        "whole": True,
        "clip": 5,
    }


def test_long_cells_are_cut_to_their_highest_genes(
    save_public: Callable[..., Path], cells: Cells
) -> None:
    encoder = CellPatchEncoder(save_public(arguments={"max_tokens": 20}))
    values = encoder.read(cells).values
    assert np.diff(values.indptr).max() == 20
    full = CellPatchEncoder(save_public(arguments={})).read(cells).values.toarray()
    lowest = np.array([row.data.min() for row in values])
    assert ((full > lowest[:, None] + 1e-6).sum(axis=1) < 20).all()
    features = encoder.embed(cells, 0, quiet)
    assert "60 cells express more than 20 genes: the 20 highest read" in features.notes
    assert features.attention.sum(axis=1).max() == pytest.approx(20, abs=1e-3)


def test_unread_genes_are_named_and_counted(
    save_public: Callable[..., Path], make_cells: Callable[..., Cells], genes: list[str]
) -> None:
    cells = make_cells(names=[*genes[:60], "NOTAGENE1", "NOTAGENE2"])
    encoder = CellPatchEncoder(save_public(names=genes[:50]))
    features = encoder.embed(cells, 0, quiet)
    assert features.dropped_genes == [*genes[50:60], "NOTAGENE1", "NOTAGENE2"]
    assert "encoder read 50 of 62 genes (12 dropped)" in " ".join(features.notes)
    assert (features.gene_embedding[50:] == 0).all()
    assert set(features.attention.indices) <= set(range(50))


def test_cells_without_a_gene_that_is_read_are_counted(
    save_public: Callable[..., Path], make_cells: Callable[..., Cells], genes: list[str]
) -> None:
    features = CellPatchEncoder(save_public(names=genes[-2:])).embed(make_cells(), 0, quiet)
    empty = np.flatnonzero(np.diff(features.attention.indptr) == 0)
    assert len(empty)
    assert any(note.startswith(f"{len(empty)} cells express no gene") for note in features.notes)
    assert np.ptp(features.embedding[empty], axis=0).max() < 1e-6


def test_data_without_known_genes_are_refused(
    save_public: Callable[..., Path], cells: Cells
) -> None:
    encoder = CellPatchEncoder(save_public(names=["X1", "X2"]))
    with pytest.raises(InputError, match=r"none of the 200 genes \(CD3D, .* among the 2 .*\(X1"):
        encoder.embed(cells, 0, quiet)


def test_genes_are_found_by_id_former_symbol_and_name() -> None:
    tokens = {"SEPT2": 4, "ENSG00000156738": 9, "CD79A": 2, "MYGENE": 7}
    genes = pd.DataFrame(
        {
            "name": ["SEPTIN2", "MS4A1", "MYGENE", "CD79A-old", "CD79A", "other"],
            "ensembl_id": ["ENSG00000168385", "ENSG00000156738", "", "ENSG00000105369", "", ""],
        }
    )
    # The name CD79A is taken by the gene that has its id.
    assert match_tokens(genes, tokens).tolist() == [4, 9, 7, 2, 0, 0]


def test_it_is_found_by_its_name(save_public: Callable[..., Path]) -> None:
    found = get_encoder(f"cellpatch:{save_public()}")
    assert isinstance(found, CellPatchEncoder)
    with pytest.raises(InputError, match="cellpatch:PATH"):
        get_encoder("cellpatch")


def test_real_cells_with_real_sizes(data_dir: Path, tmp_path: Path) -> None:
    from scypher.encoders.cellpatch.objective import CellPatchObjective

    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    torch.manual_seed(0)
    known = [gene for gene in cells.genes["ensembl_id"] if gene]
    CellPatchObjective({}, known).save(tmp_path, history=[])
    features = CellPatchEncoder(tmp_path).embed(cells, 0, quiet)
    assert features.embedding.shape == (700, 2048)
    read = np.isin(cells.genes["ensembl_id"], known)
    assert len(features.dropped_genes) == int((~read).sum())
    lengths = np.minimum(cells.counts[:, read].getnnz(axis=1), TOP_ATTENDED)
    np.testing.assert_array_equal(np.diff(features.attention.indptr), lengths)
