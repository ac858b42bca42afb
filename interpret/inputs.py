"""What a question is asked of: expression and groups of cells from an AnnData object."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders import slots
from ..encoders.counts import COUNTS_PER_CELL, is_integral
from ..encoders.errors import InputError
from ..kg.metadata import UNKNOWN
from .chunks import Chunks, in_chunks
from .statistics import Floats, Ints

if TYPE_CHECKING:
    from anndata import AnnData

_CELLS_AT_ONCE = 16_384


def log_expression(
    adata: "AnnData", *, layer: str | None = None, totals: str | None = None
) -> sparse.csr_matrix:
    """Return log1p of counts per 10,000, computed where the data hold counts.

    Integers are taken for counts; anything else for the logarithm of scaled counts, as scanpy's
    ``normalize_total`` and ``log1p`` leave it, and returned as it is.

    Parameters
    ----------
    adata
        The cells.
    layer
        Layer to read, ``raw`` for ``adata.raw``, ``X`` when not given.
    totals
        Column of ``obs`` with the counts of each cell over the whole transcriptome, where the data
        hold a panel of genes; the sum over the genes when not given.

    Returns
    -------
    scipy.sparse.csr_matrix
        Shape (n_cells, n_genes), float32, indices sorted.

    Raises
    ------
    InputError
        There is no such layer or column, or values are negative or not finite.
    """
    matrix = sparse.csr_matrix(_values(adata, layer))
    name = layer or "X"
    if matrix.nnz and not (matrix.data.min() >= 0 and np.isfinite(matrix.data.max())):
        message = (
            f"{name} holds values that are negative or not finite; counts, or log1p of scaled "
            "counts, were expected, not scaled or regressed values. Name the layer that holds them."
        )
        raise InputError(message)
    matrix = matrix.astype(np.float32, copy=False)
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    if not is_integral(matrix.data):
        return matrix
    sums = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    depth = sums if totals is None else _column(adata, totals).to_numpy(dtype=np.float64)
    scale = COUNTS_PER_CELL / np.where(depth > 0, depth, 1)
    data = np.log1p(matrix.data * np.repeat(scale, np.diff(matrix.indptr)))
    return sparse.csr_matrix(
        (data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape
    )


def expression_chunks(
    adata: "AnnData", *, layer: str | None = None, totals: str | None = None
) -> Chunks:
    """Return expression as :func:`log_expression` does, of a backed file some cells at a time."""
    if not adata.isbacked:
        return in_chunks(log_expression(adata, layer=layer, totals=totals))

    def read() -> Iterator[sparse.csr_matrix]:
        for start in range(0, adata.n_obs, _CELLS_AT_ONCE):
            part = adata[start : start + _CELLS_AT_ONCE].to_memory()
            yield log_expression(part, layer=layer, totals=totals)

    return Chunks(adata.shape, read)


def attention_of(adata: "AnnData", encoder: str) -> sparse.csr_matrix:
    """Return the attention of cells to genes that an encoder wrote, 1 = uniform, absent = 0.

    Raises
    ------
    InputError
        The encoder wrote none.
    """
    return sparse.csr_matrix(_written(adata, "layers", slots.attention(encoder), encoder))


def gene_embedding_of(adata: "AnnData", encoder: str) -> Floats:
    """Return the static embedding of each gene that an encoder wrote, shape (n_genes, width).

    Raises
    ------
    InputError
        The encoder wrote none.
    """
    found = _written(adata, "varm", slots.gene_embedding(encoder), encoder)
    return np.asarray(found, dtype=np.float64)


def groups_of(adata: "AnnData", column: str) -> tuple[list[str], Ints]:
    """Return the values of a column, sorted or in the order of its categories, and each cell's.

    Returns
    -------
    labels
        Values that a cell has, without those that say nothing, such as ``unknown``.
    groups
        (n_cells,) position in ``labels``, -1 where the value says nothing.

    Raises
    ------
    InputError
        There is no such column, or no cell has a value.
    """
    values = _column(adata, column)
    text = values.astype(object).where(values.notna(), "").astype(str)
    said = ~text.str.strip().str.lower().isin(UNKNOWN)
    order = (
        [str(label) for label in values.cat.categories]
        if isinstance(values.dtype, pd.CategoricalDtype)
        else sorted(set(text[said]))
    )
    present = set(text[said])
    labels = [label for label in order if label in present]
    if not labels:
        message = f"no cell has a value in the column {column!r} of obs; name another column."
        raise InputError(message)
    place = {label: number for number, label in enumerate(labels)}
    groups = np.asarray(text.map(place).fillna(-1), dtype=np.int64)
    return labels, groups


def _written(adata: "AnnData", place: str, name: str, encoder: str) -> Any:
    """Return a slot that an encoder wrote."""
    slot = getattr(adata, place)
    if name not in slot:
        message = (
            f"the data hold no {place}[{name!r}]; expected what the encoder {encoder!r} writes "
            f"there; encode first: adata = scypher.encode(adata, encoder={encoder!r})."
        )
        raise InputError(message)
    return slot[name]


def _values(adata: "AnnData", layer: str | None) -> object:
    if layer is None:
        return adata.X
    if layer == "raw" and adata.raw is not None and "raw" not in adata.layers:
        if adata.raw.shape != adata.shape:
            message = (
                f"raw holds {adata.raw.shape[1]} genes, the data {adata.shape[1]}; the same genes "
                "were expected. Give adata.raw.to_adata() instead."
            )
            raise InputError(message)
        return adata.raw.X
    if layer not in adata.layers:
        known = ", ".join(map(str, adata.layers)) or "none"
        message = f"there is no layer {layer!r}; the layers are: {known}. Name one of them."
        raise InputError(message)
    return adata.layers[layer]


def _column(adata: "AnnData", column: str) -> "pd.Series[str]":
    if column not in adata.obs:
        known = ", ".join(map(str, adata.obs.columns)) or "none"
        message = f"there is no column {column!r} in obs; its columns are: {known}. Name one."
        raise InputError(message)
    found: pd.Series[str] = adata.obs[column]
    return found
