"""Checks of the input before anything is computed."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.cells import MIN_CELLS, prepare, read_h5ad
from scypher.encoders.errors import InputError

Maker = Callable[..., AnnData]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*gone\.h5ad; give the path"):
        prepare(tmp_path / "gone.h5ad")
    with pytest.raises(InputError, match="there is no file"):
        read_h5ad(tmp_path)


def test_text_is_no_anndata_file(tmp_path: Path) -> None:
    path = tmp_path / "text.h5ad"
    path.write_text("cell,gene\n")
    with pytest.raises(InputError, match=r"text\.h5ad cannot be read as an AnnData file"):
        prepare(path)


def test_another_kind_of_hdf5_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.h5ad"
    with h5py.File(path, "w") as file:
        file["matrix/data"] = np.arange(5)
        file["matrix/shape"] = np.array([3, 4])
    with pytest.raises(InputError, match="cannot be read as an AnnData file"):
        prepare(path)


def test_a_truncated_file_is_refused(tmp_path: Path, make_adata: Maker) -> None:
    path = tmp_path / "cut.h5ad"
    make_adata().write_h5ad(path)
    whole = path.read_bytes()
    for share in (0.02, 0.5, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="truncated"):
            prepare(path)


@pytest.mark.filterwarnings("ignore:.*names are not unique:UserWarning")
def test_repeated_barcodes_are_named(make_adata: Maker, tmp_path: Path) -> None:
    adata = make_adata()
    adata.obs_names = ["cell0", *adata.obs_names[:-1]]
    with pytest.raises(InputError, match=r"cell names repeat \(cell0 .*Prefix the barcodes"):
        prepare(adata)
    adata.write_h5ad(tmp_path / "twice.h5ad")
    with pytest.raises(InputError, match="cell names repeat"):
        prepare(tmp_path / "twice.h5ad")


@pytest.mark.filterwarnings("ignore:.*names are not unique:UserWarning")
def test_repeated_genes_are_named_with_the_column_that_tells_them_apart(make_adata: Maker) -> None:
    adata = make_adata()
    adata.var["feature_type"] = "Gene Expression"
    adata.var["number"] = np.arange(adata.n_vars)
    adata.var["gene_ids"] = [f"ENSG{number:011d}" for number in range(adata.n_vars)]
    adata.var_names = ["CD3E", "CD3E", "CD3E", "TP53", "TP53", *adata.var_names[5:]]
    with pytest.raises(InputError, match=r"^2 gene names repeat \(CD3E.*TP53.*'gene_ids'"):
        prepare(adata)


@pytest.mark.filterwarnings("ignore:.*names are not unique:UserWarning")
def test_repeated_genes_without_such_a_column_get_advice(make_adata: Maker) -> None:
    adata = make_adata()
    adata.var_names = ["CD3E", "CD3E", *adata.var_names[2:]]
    with pytest.raises(InputError, match="Merge them or give them their Ensembl ids"):
        prepare(adata)


def test_fifty_cells_are_needed(make_adata: Maker) -> None:
    with pytest.raises(InputError, match="49 cells have counts; at least 50"):
        prepare(make_adata(49))
    assert prepare(make_adata(MIN_CELLS)).counts.shape[0] == MIN_CELLS


def test_empty_cells_do_not_count_as_cells(make_adata: Maker) -> None:
    adata = make_adata(60)
    counts = adata.X.toarray()
    counts[:20] = 0
    adata.X = sparse.csr_matrix(counts)
    with pytest.raises(InputError, match="40 cells have counts"):
        prepare(adata)


def test_a_matrix_of_zeros_is_too_few_cells(make_adata: Maker) -> None:
    adata = make_adata(60)
    adata.X = sparse.csr_matrix(adata.shape, dtype=np.float32)
    with pytest.raises(InputError, match="0 cells have counts"):
        prepare(adata)


def test_mouse_data_are_refused(make_adata: Maker, symbols: list[str]) -> None:
    with pytest.raises(InputError, match="orthologs"):
        prepare(make_adata(names=[f"{name.capitalize()}x" for name in symbols]))


def test_empty_cells_and_genes_are_left_out_with_one_note(make_adata: Maker) -> None:
    adata = make_adata()
    counts = adata.X.toarray()
    counts[[1, 5, 119]] = 0
    counts[:, [0, 199]] = 0
    adata.X = sparse.csr_matrix(counts)
    cells = prepare(adata)
    kept = np.delete(np.delete(counts, [1, 5, 119], axis=0), [0, 199], axis=1)
    np.testing.assert_array_equal(cells.counts.toarray(), kept)
    np.testing.assert_array_equal(cells.adata.X.toarray(), kept)
    assert cells.adata.obs_names.tolist() == np.delete(adata.obs_names, [1, 5, 119]).tolist()
    assert cells.genes["name"].tolist() == cells.adata.var_names.tolist()
    assert cells.genes["name"].tolist() == np.delete(adata.var_names, [0, 199]).tolist()
    assert [note for note in cells.notes if "left out" in note] == [
        "left out without a single count: 3 cells, 2 genes"
    ]
    np.testing.assert_array_equal(cells.totals, kept.sum(axis=1))
    assert cells.totals.dtype == np.float64


def test_notes_say_what_was_read_and_mapped(make_adata: Maker, tmp_path: Path) -> None:
    path = tmp_path / "toy.h5ad"
    make_adata().write_h5ad(path)
    cells = prepare(str(path))
    assert cells.source == "toy.h5ad"
    assert cells.notes == ["counts read from X", "genes: 200 of 200 mapped"]
    assert prepare(make_adata()).source == "AnnData"


@pytest.mark.parametrize("dense", [False, True])
def test_the_input_is_not_modified(make_adata: Maker, dense: bool) -> None:
    adata = make_adata()
    counts = adata.X.toarray()
    counts[3] = 0
    adata.X = counts if dense else sparse.csr_matrix(counts)
    before = adata.copy()
    cells = prepare(adata)
    cells.counts.data[:] = -1
    cells.adata.obs["new"] = 1
    cells.adata.layers["new"] = cells.counts
    assert adata.shape == before.shape
    assert abs(sparse.csr_matrix(adata.X) - sparse.csr_matrix(before.X)).max() == 0
    assert adata.obs.equals(before.obs)
    assert adata.var.equals(before.var)
    assert not adata.layers
    assert not adata.uns


def test_genes_of_raw_are_read_when_raw_is_asked_for(make_adata: Maker, symbols: list[str]) -> None:
    whole = make_adata()
    adata = whole[:, :30].copy()
    adata.raw = whole
    adata.obsm["X_map"] = np.zeros((120, 2))
    adata.X = adata.X.toarray() - 0.5
    cells = prepare(adata, layer="raw")
    assert cells.genes["name"].tolist() == symbols
    np.testing.assert_array_equal(cells.counts.toarray(), whole.X.toarray())
    assert cells.notes[0] == "counts read from raw"
    assert "X_map" in cells.adata.obsm
    assert cells.adata.obs["group"].tolist() == whole.obs["group"].tolist()


def test_an_error_in_raw_names_raw(make_adata: Maker) -> None:
    adata = make_adata()
    broken = adata.copy()
    broken.X = broken.X.toarray() * 0.37 + 0.01
    adata.raw = broken
    with pytest.raises(InputError, match=r"^raw holds values.*X looks like counts"):
        prepare(adata, layer="raw")


def test_ids_in_a_column_win(make_adata: Maker, symbols: list[str]) -> None:
    adata = make_adata()
    by_name = prepare(adata).genes
    adata.var["gene_ids"] = by_name["ensembl_id"].to_numpy()
    adata.var_names = [f"gene{number}" for number in range(200)]
    by_id = prepare(adata).genes
    assert by_id["key"].tolist() == by_name["key"].tolist()
    assert by_id["symbol"].tolist() == symbols


class TestContentHash:
    """The hash depends on counts, names and the columns asked for, and on nothing else."""

    def test_equal_for_equal_content(self, make_adata: Maker, tmp_path: Path) -> None:
        adata = make_adata()
        wanted = prepare(adata).content_hash(["group"])
        assert len(wanted) == 64
        assert prepare(make_adata()).content_hash(["group"]) == wanted
        for change in (np.asarray, sparse.csc_matrix):
            other = make_adata()
            other.X = change(other.X.toarray().astype(np.float64))
            other.obs["more"] = 1
            other.uns["more"] = 1
            other.obsm["more"] = np.zeros((120, 2))
            assert prepare(other).content_hash(["group"]) == wanted
        adata.write_h5ad(tmp_path / "renamed.h5ad")
        assert prepare(tmp_path / "renamed.h5ad").content_hash(["group"]) == wanted

    def test_equal_for_wide_indices(self, make_adata: Maker) -> None:
        adata = make_adata()
        adata.X.indices = adata.X.indices.astype(np.int64)
        adata.X.indptr = adata.X.indptr.astype(np.int64)
        assert prepare(adata).content_hash() == prepare(make_adata()).content_hash()

    def test_equal_in_another_order_of_columns(self, make_adata: Maker) -> None:
        cells = prepare(make_adata())
        cells.adata.obs["other"] = "x"
        assert cells.content_hash(["group", "other"]) == cells.content_hash(["other", "group"])

    def test_other_counts_names_or_columns_change_it(self, make_adata: Maker) -> None:
        hashes = [
            prepare(make_adata()).content_hash(),
            prepare(make_adata()).content_hash(["group"]),
        ]
        changed = [make_adata() for _ in range(4)]
        changed[0].X.data[0] += 1
        changed[1].obs_names = ["other", *changed[1].obs_names[1:]]
        changed[2].var_names = ["TP53", *changed[2].var_names[1:]]
        hashes += [prepare(adata).content_hash() for adata in changed[:3]]
        changed[3].obs["group"] = "one"
        hashes.append(prepare(changed[3]).content_hash(["group"]))
        assert len(set(hashes)) == len(hashes)

    def test_letters_do_not_move_from_a_cell_to_a_gene(self, make_adata: Maker) -> None:
        one, other = make_adata(), make_adata()
        one.obs_names = [*one.obs_names[:-1], "cell119"]
        one.var_names = ["XTP53", *one.var_names[1:]]
        other.obs_names = [*other.obs_names[:-1], "cell119X"]
        other.var_names = ["TP53", *other.var_names[1:]]
        assert prepare(one).content_hash() != prepare(other).content_hash()


def test_all_genes_of_the_file_are_measured_whatever_cells_are_taken(make_adata: Maker) -> None:
    adata = make_adata()
    counts = adata.X.toarray()
    counts[60:, 7] = 0
    counts[:, 9] = 0
    adata.X = sparse.csr_matrix(counts)
    whole, some = prepare(adata), prepare(adata[60:].copy())
    assert len(some.genes) == len(whole.genes) - 1 == 198
    assert whole.measured == some.measured
    assert len(whole.measured) == 200
    assert whole.measured > set(whole.genes["ensembl_id"])


def test_which_of_two_names_keeps_a_gene_does_not_depend_on_the_cells(make_adata: Maker) -> None:
    adata = make_adata()
    gene = prepare(adata).genes["ensembl_id"].iloc[5]
    adata.var_names = [*adata.var_names[:9], gene, *adata.var_names[10:]]
    counts = adata.X.toarray()
    counts[60:, 9] = 0
    adata.X = sparse.csr_matrix(counts)
    whole, some = prepare(adata).genes, prepare(adata[60:].copy()).genes
    assert len(some) == 199
    both = whole.set_index("name").loc[some["name"]]
    assert both["ensembl_id"].tolist() == some["ensembl_id"].tolist()


def test_names_that_are_no_genes_are_not_measured(make_adata: Maker, symbols: list[str]) -> None:
    cells = prepare(make_adata(names=[*symbols[:-1], "NOGENE1"]))
    assert len(cells.measured) == 199
    assert "" not in cells.measured


def test_real_cells_pass(data_dir: Path) -> None:
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    assert cells.counts.shape[0] == 700
    assert cells.genes["key"].is_unique
    assert (cells.genes["ensembl_id"] != "").mean() > 0.9
