"""One file of cells, read in runs of rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..counts import is_integral
from ..errors import InputError
from ..vocabulary import ensembl_column, map_genes


class CellFile:
    """An ``.h5ad`` file or ``.zarr`` folder of raw counts, opened but not loaded.

    Parameters
    ----------
    path
        The file.
    layer
        Layer with the counts; ``X`` when not given.
    columns
        Columns of ``obs`` to keep.

    Raises
    ------
    InputError
        The file cannot be read, its counts are not stored by row, or a column is missing.
    """

    def __init__(self, path: Path, *, layer: str | None, columns: Sequence[str]) -> None:
        from anndata.io import read_elem, sparse_dataset

        self.path = path
        try:
            self._store = _open(path)
            obs: pd.DataFrame = read_elem(self._store["obs"])
            var: pd.DataFrame = read_elem(self._store["var"])
            place = self._store["X" if layer is None else f"layers/{layer}"]
            # A dense matrix is an array, which has a shape; a sparse one is a group.
            self._matrix: Any = place if hasattr(place, "shape") else sparse_dataset(place)
        except (OSError, KeyError, ValueError, TypeError) as error:
            message = (
                f"{path} cannot be read as AnnData with counts in {layer or 'X'} ({error}); give "
                "whole .h5ad or .zarr files."
            )
            raise InputError(message) from error
        if getattr(self._matrix, "format", "csr") != "csr":
            message = (
                f"{path} stores its counts by gene ({self._matrix.format}); training reads cells. "
                "Convert X with scipy.sparse.csr_matrix and write the file again."
            )
            raise InputError(message)
        if missing := [name for name in columns if name not in obs]:
            message = f"{path} has no obs columns {missing}; it has {', '.join(map(str, obs))}."
            raise InputError(message)
        self.obs = obs[list(columns)].astype(str)
        self.n_cells = len(obs)
        column = ensembl_column([str(name) for name in var])
        ids = None if column is None else [str(value) for value in var[column]]
        self.genes = map_genes([str(name) for name in var.index], ids).genes

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Return the counts of some rows, CSR (stop - start, genes of the file), float32.

        Raises
        ------
        InputError
            They are no counts.
        """
        part = self._matrix[start:stop]
        counts = sparse.csr_matrix(part, dtype=np.float32)
        if not is_integral(counts.data):
            message = (
                f"{self.path} holds values that are no counts in cells {start} to {stop}; training "
                "needs raw counts. Name the layer that holds them."
            )
            raise InputError(message)
        return counts


def _open(path: Path) -> Any:
    if path.is_dir():
        import zarr

        return zarr.open_group(path, mode="r")
    import h5py

    return h5py.File(path, "r")
