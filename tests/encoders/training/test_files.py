"""One file of cells: read in runs of rows, never whole."""

import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.errors import InputError
from scypher.encoders.training.files import CellFile

Maker = Callable[..., AnnData]


def write(adata: AnnData, path: Path, zarr_format: int = 3) -> None:
    if path.suffix == ".h5ad":
        adata.write_h5ad(path)
        return
    with anndata.settings.override(zarr_write_format=zarr_format), warnings.catch_warnings():
        # What other releases write by default is of no concern here.
        warnings.simplefilter("ignore")
        adata.write_zarr(path)


@pytest.fixture
def adata(make_cells: Maker) -> AnnData:
    return make_cells(150)


@pytest.mark.parametrize(
    "kind", ["csr.h5ad", "dense.h5ad", "csr.2.zarr", "csr.3.zarr", "dense.2.zarr", "dense.3.zarr"]
)
def test_rows_of_every_kind_of_file_are_the_counts(
    adata: AnnData, tmp_path: Path, kind: str
) -> None:
    expected = adata.X.toarray()
    if kind.startswith("dense"):
        adata.X = expected
    path = tmp_path / kind
    write(adata, path, zarr_format=3 if ".3." in kind else 2)
    file = CellFile(path, layer=None, columns=["batch"])
    assert file.n_cells == 150
    assert file.genes["ensembl_id"].tolist() == adata.var_names.tolist()
    assert file.obs["batch"].tolist() == adata.obs["batch"].tolist()
    for start, stop in ((0, 10), (37, 90), (140, 150), (5, 5)):
        rows = file.rows(start, stop)
        assert rows.dtype == np.float32
        assert isinstance(rows, sparse.csr_matrix)
        np.testing.assert_array_equal(rows.toarray(), expected[start:stop])


def test_counts_of_a_layer_and_ids_of_a_column_are_read(adata: AnnData, tmp_path: Path) -> None:
    counts, ids = adata.X.copy(), adata.var_names.tolist()
    adata.layers["umi"] = counts
    adata.X = np.log1p(counts)
    adata.var["gene_ids"] = ids
    adata.var_names = [f"g{number}" for number in range(adata.n_vars)]
    adata.write_h5ad(tmp_path / "layer.h5ad")
    file = CellFile(tmp_path / "layer.h5ad", layer="umi", columns=[])
    np.testing.assert_array_equal(file.rows(0, 150).toarray(), counts.toarray())
    assert file.genes["ensembl_id"].tolist() == ids
    other = CellFile(tmp_path / "layer.h5ad", layer=None, columns=[])
    with pytest.raises(InputError, match=r"layer\.h5ad holds values that are no counts in cells 0"):
        other.rows(0, 10)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf])
def test_what_is_no_count_is_refused_where_it_is_read(
    adata: AnnData, tmp_path: Path, value: float
) -> None:
    counts = adata.X.toarray()
    counts[120, 3] = value
    adata.X = sparse.csr_matrix(counts)
    adata.write_h5ad(tmp_path / "bad.h5ad")
    file = CellFile(tmp_path / "bad.h5ad", layer=None, columns=[])
    file.rows(0, 120)
    with pytest.raises(InputError, match=r"no counts in cells 100 to 150.*raw counts"):
        file.rows(100, 150)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_counts_stored_by_gene_are_refused_with_advice(
    adata: AnnData, tmp_path: Path, suffix: str
) -> None:
    adata.X = adata.X.tocsc()
    path = tmp_path / f"by_gene.{suffix}"
    write(adata, path)
    with pytest.raises(InputError, match=r"by gene \(csc\).*scipy\.sparse\.csr_matrix"):
        CellFile(path, layer=None, columns=[])


def test_a_missing_column_is_named_beside_those_there_are(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"no obs columns \['donor'\]; it has batch, cell_type"):
        CellFile(tmp_path / "a.h5ad", layer=None, columns=["batch", "donor"])


def test_a_missing_layer_is_named(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="cannot be read as AnnData with counts in umi"):
        CellFile(tmp_path / "a.h5ad", layer="umi", columns=[])


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5ad").write_text("cell,gene\n")
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["matrix"] = np.arange(5)
    (tmp_path / "empty.zarr").mkdir()
    for name in ("text.h5ad", "other.h5ad", "empty.zarr", "gone.h5ad"):
        with pytest.raises(InputError, match=f"{name} cannot be read as AnnData"):
            CellFile(tmp_path / name, layer=None, columns=[])


def test_a_truncated_file_is_refused(adata: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "cut.h5ad"
    adata.write_h5ad(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as AnnData"):
        CellFile(path, layer=None, columns=[])


def test_memory_of_reading_does_not_grow_with_the_file(make_cells: Maker, tmp_path: Path) -> None:
    peaks = []
    for n in (500, 4000):
        make_cells(n).write_h5ad(tmp_path / f"{n}.h5ad")
        file = CellFile(tmp_path / f"{n}.h5ad", layer=None, columns=[])
        file.rows(0, 64)
        tracemalloc.start()
        for start in range(0, n - 64, n // 10):
            file.rows(start, start + 64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Where each row begins is held; the counts are not.
    assert peaks[1] < peaks[0] + 16 * 4000
