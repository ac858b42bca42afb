"""Find raw counts in an AnnData object, or recover them from scaled logarithms."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

COUNTS_PER_CELL = 1e4
"""Counts to which every cell is scaled before the logarithm."""

TOLERANCE = 0.25
"""Largest distance of a recovered count from an integer that still counts as rounding.

Values that are no scaled counts lie anywhere between two integers: among n of them, all within
this distance has probability 0.5 ** n. Files written with three decimals come close to it.
"""


MIN_EVIDENCE = 30
"""Fewest values beyond two a cell from which counts are recovered."""


@dataclass(frozen=True)
class Counts:
    """Raw counts and where they came from.

    Attributes
    ----------
    matrix
        CSR (n_cells, n_genes), integers held as float32.
    source
        ``X``, ``raw``, or the name of a layer.
    note
        One line for the user: what was read, and whether counts were recovered.
    """

    matrix: sparse.csr_matrix
    source: str
    note: str


def find_counts(adata: "AnnData", layer: str | None = None) -> Counts:
    """Return the raw counts of ``X``, of ``raw`` (``layer="raw"``) or of a layer.

    Values that are log1p of counts scaled per cell are turned back into counts where rounding
    shows that they are: the smallest non-zero ``expm1`` of a cell is taken as one count, and every
    value must then lie close to an integer.

    Raises
    ------
    InputError
        The layer does not exist; values are NaN, infinite or negative; or they are neither counts
        nor logarithms of scaled counts. The message names a layer that looks like counts.
    """
    source = layer or "X"
    matrix = _matrix(adata, source)
    _check_values(matrix, source)
    if is_integral(matrix.data):
        matrix.eliminate_zeros()
        return Counts(matrix, source, f"counts read from {source}")
    recovered = recover_counts(matrix)
    if recovered is not None:
        counts, error = recovered
        note = (
            f"{source} holds log1p of counts scaled per cell: counts recovered, largest rounding "
            f"error {error:.1g}"
        )
        return Counts(counts, source, note)
    message = (
        f"{source} holds values that are neither counts nor log1p of counts scaled per cell "
        f"(first ones: {', '.join(f'{value:g}' for value in matrix.data[:3])}). "
        f"{_suggest(adata, source)}"
    )
    raise InputError(message)


def is_integral(values: "np.ndarray[Any, Any]") -> bool:
    """Return whether all values are non-negative integers.

    Examples
    --------
    >>> is_integral(np.array([0.0, 3.0])), is_integral(np.array([0.5])), is_integral(np.array([-1]))
    (True, False, False)
    """
    finite = ((values >= 0) & (values < np.inf)).all()
    return bool(finite and (values == np.floor(values)).all())


def recover_counts(matrix: sparse.csr_matrix) -> tuple[sparse.csr_matrix, float] | None:
    """Return counts and the largest rounding error, or ``None`` if values are no scaled logs.

    Parameters
    ----------
    matrix
        CSR of ``log1p(count * factor)`` with one factor a cell, natural logarithm.
    """
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    if matrix.nnz == 0 or matrix.data.min() < 0 or matrix.data.max() > 50:
        return None
    lengths = np.diff(matrix.indptr)
    scaled = np.expm1(matrix.data.astype(np.float64))
    # A unit fitted to one or two values of a cell leaves no error to judge by.
    if np.maximum(lengths - 2, 0).sum() < MIN_EVIDENCE:
        return None
    filled = np.flatnonzero(lengths)
    one = np.minimum.reduceat(scaled, matrix.indptr[filled])
    row = np.repeat(np.arange(len(filled)), lengths[filled])
    counts = np.rint(scaled / one[row])
    # Rounded logarithms make the smallest value of a cell a poor unit for its large counts: take
    # the unit that fits all its small counts best, then count again.
    small = np.where(counts <= 20, counts, 0)
    one = np.bincount(row, small * scaled) / np.bincount(row, small * small)
    ratio = scaled / one[row]
    counts = np.rint(ratio)
    error = float(np.abs(ratio - counts).max())
    # A matrix of one distinct value a cell fits any scale and proves nothing.
    if error > TOLERANCE or counts.max() < 2:
        return None
    matrix.data = counts.astype(np.float32)
    return matrix, error


def _matrix(adata: "AnnData", source: str) -> sparse.csr_matrix:
    if source == "X":
        values = adata.X
    elif source == "raw" and "raw" not in adata.layers:
        values = None if adata.raw is None else adata.raw.X
    elif source in adata.layers:
        values = adata.layers[source]
    else:
        values = None
    if values is None:
        layers = ["X", *(["raw"] if adata.raw is not None else []), *adata.layers]
        message = f"the data have no {source!r}; there are: {', '.join(layers)}. Name one of them."
        raise InputError(message)
    dense = values if sparse.issparse(values) else np.asarray(values)
    matrix = sparse.csr_matrix(dense, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    return matrix


def _check_values(matrix: sparse.csr_matrix, source: str) -> None:
    if not np.isfinite(matrix.data).all():
        n = int((~np.isfinite(matrix.data)).sum())
        message = f"{source} holds {n} NaN or infinite values; counts are finite. Clean the matrix."
        raise InputError(message)


def _suggest(adata: "AnnData", source: str) -> str:
    """Return what to do: the places that hold counts, or logarithms that can be turned back."""
    found = []
    for place in ["X", *(["raw"] if adata.raw is not None else []), *adata.layers]:
        if place == source:
            continue
        sample = _matrix(adata[: min(500, adata.n_obs)], place)
        if not np.isfinite(sample.data).all() or (sample.data < 0).any():
            continue
        if is_integral(sample.data) and sample.nnz:
            found.append(f"{place} looks like counts: use --layer {place} (layer={place!r})")
        elif recover_counts(sample) is not None:
            found.append(
                f"{place} looks like log1p of scaled counts: use --layer {place} (layer={place!r})"
            )
    if found:
        return "; ".join(found) + "."
    return "No layer looks like counts: name the one that holds them by --layer (layer=…)."


def normalise(counts: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    """Return natural log1p of counts per 10,000, float32, same sparsity."""
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    values = np.log1p(counts.data * (COUNTS_PER_CELL / totals)[rows]).astype(np.float32)
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
