"""Read an AnnData file, check it, and keep what can be used, before anything is computed."""

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from .counts import find_counts
from .errors import InputError
from .vocabulary import GeneMapping, ensembl_column, map_genes, require_known

if TYPE_CHECKING:
    from anndata import AnnData

MIN_CELLS = 50


@dataclass(frozen=True)
class Cells:
    """Cells and genes that passed the checks.

    Attributes
    ----------
    adata
        The data, without empty cells and genes; a copy.
    counts
        CSR (n_cells, n_genes) raw counts, float32.
    genes
        One row per gene: ``name, key, ensembl_id, symbol, gene_class, how``.
    notes
        What was read, left out, renamed; one sentence each.
    source
        File name, or ``AnnData`` for an object.
    measured
        Ensembl ids of all genes of the file, those without a count among them: a panel of genes is
        known by it, whatever cells are encoded.
    """

    adata: "AnnData"
    counts: sparse.csr_matrix
    genes: pd.DataFrame
    notes: list[str]
    source: str
    measured: frozenset[str] = frozenset()

    @property
    def totals(self) -> np.ndarray:
        """Counts of each cell over all measured genes."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def content_hash(self, columns: Iterable[str] = ()) -> str:
        """Return a SHA-256 of counts, names, and the given ``obs`` columns."""
        digest = hashlib.sha256()
        for part in (self.counts.indptr, self.counts.indices, self.counts.data):
            digest.update(np.ascontiguousarray(part).astype(part.dtype.newbyteorder("<")).tobytes())
        for names in (self.adata.obs_names, self.adata.var_names):
            # The end is marked, or a letter could move from one list to the next unnoticed.
            digest.update(("\n".join(map(str, names)) + "\n\0").encode())
        for column in sorted(columns):
            values = "\n".join(map(str, self.adata.obs[column]))
            digest.update(f"{column}\n{values}".encode())
        return digest.hexdigest()


def read_h5ad(path: str | Path) -> "AnnData":
    """Read an AnnData file.

    Raises
    ------
    InputError
        There is no such file, or it is not a whole AnnData file.
    """
    import anndata

    path = Path(path)
    if not path.is_file():
        message = f"there is no file {path}; give the path of an .h5ad file."
        raise InputError(message)
    try:
        with warnings.catch_warnings():
            # Repeated names are refused below, with what to do about them.
            warnings.filterwarnings("ignore", message=".* names are not unique")
            return anndata.read_h5ad(path)
    # h5py and anndata raise many kinds for a broken file; the cause is kept.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = (
            f"{path} cannot be read as an AnnData file ({reason}); it is of another kind or "
            "truncated. Give a whole .h5ad file."
        )
        raise InputError(message) from error


def prepare(data: "AnnData | str | Path", *, layer: str | None = None) -> Cells:
    """Check the data and return what can be used of them.

    Parameters
    ----------
    data
        AnnData object or path of an ``.h5ad`` file.
    layer
        Where the counts are: a layer, ``raw``, or ``X`` when not given.

    Raises
    ------
    InputError
        Duplicate cell or gene names, no counts, too few cells, or unknown genes. Cells and genes
        without a count are no error: they are left out and counted in the notes.
    """
    source = "AnnData"
    if isinstance(data, (str, Path)):
        source = Path(data).name
        data = read_h5ad(data)
    if layer == "raw" and "raw" not in data.layers and data.raw is not None:
        found = find_counts(data, "raw")
        data = _from_raw(data)
    else:
        found = find_counts(data, layer)
    _check_names(data)
    counts = found.matrix
    keep_cells = np.asarray(counts.sum(axis=1)).ravel() > 0
    keep_genes = np.asarray(counts.sum(axis=0)).ravel() > 0
    notes = [found.note]
    empty = [int((~keep_cells).sum()), int((~keep_genes).sum())]
    if any(empty):
        notes.append(f"left out without a single count: {empty[0]} cells, {empty[1]} genes")
    if keep_cells.sum() < MIN_CELLS:
        message = (
            f"{int(keep_cells.sum())} cells have counts; at least {MIN_CELLS} are needed for any "
            "statistic. Give more cells."
        )
        raise InputError(message)
    adata = data[keep_cells, keep_genes].copy()
    counts = sparse.csr_matrix(counts[keep_cells][:, keep_genes])
    counts.sort_indices()
    # Over all genes of the file: which of two names keeps a gene must not depend on the cells.
    whole = _map(data).genes
    mapping = GeneMapping(whole[keep_genes].reset_index(drop=True))
    require_known(mapping)
    measured = frozenset(whole["ensembl_id"]) - {""}
    return Cells(adata, counts, mapping.genes, notes + mapping.notes(), source, measured)


def _map(adata: "AnnData") -> GeneMapping:
    column = ensembl_column([str(name) for name in adata.var])
    ids = None if column is None else [str(value) for value in adata.var[column]]
    return map_genes([str(name) for name in adata.var_names], ids)


def _from_raw(data: "AnnData") -> "AnnData":
    """Return the genes and values of ``raw`` with the annotation of the cells."""
    from anndata import AnnData

    return AnnData(X=data.raw.X, obs=data.obs, var=data.raw.var, obsm=dict(data.obsm))


def _check_names(adata: "AnnData") -> None:
    if not adata.obs_names.is_unique:
        repeated = adata.obs_names[adata.obs_names.duplicated()][:3]
        message = (
            f"cell names repeat ({', '.join(map(str, repeated))} …); each cell needs its own. "
            "Prefix the barcodes with the sample."
        )
        raise InputError(message)
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()]
        unique = [
            str(name)
            for name in adata.var
            if adata.var[name].is_unique and adata.var[name].dtype.kind in "OTU"
        ]
        advice = (
            f"The column {unique[0]!r} of var tells them apart: make it the var_names."
            if unique
            else "Merge them or give them their Ensembl ids."
        )
        message = (
            f"{len(set(repeated))} gene names repeat ({', '.join(map(str, repeated[:5]))} …); "
            f"each gene needs its own. {advice}"
        )
        raise InputError(message)
