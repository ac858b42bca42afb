"""Metacells: small groups of alike cells of one donor, whose means show sparse genes."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.errors import InputError
from ..statistics import Floats, Ints

_ROUNDS = 10
_ROWS_AT_ONCE = 4_096


def principal_components(
    expression: sp.csr_matrix, genes: Ints, *, n: int = 30, rng: np.random.Generator
) -> Floats:
    """Return the principal components of centred log expression, shape (n_cells, n).

    Randomised range finding with two power iterations (Halko 2011, SIAM Rev 53:217); nothing
    dense of cells by genes is made. Fewer than ``n`` come back where cells or genes are fewer.
    """
    columns = sp.csr_matrix(expression[:, genes], dtype=np.float64)
    n = min(n, *columns.shape)
    mean = np.asarray(columns.mean(axis=0)).ravel()
    basis = rng.standard_normal((columns.shape[1], min(n + 10, *columns.shape)))
    for _ in range(2):
        scores = np.linalg.qr(columns @ basis - mean @ basis)[0]
        basis = np.linalg.qr(columns.T @ scores - np.outer(mean, scores.sum(axis=0)))[0]
    scores = columns @ basis - mean @ basis
    left, value, _ = np.linalg.svd(scores, full_matrices=False)
    found: Floats = left[:, :n] * value[:n]
    return found


def group_metacells(
    embedding: NDArray[np.floating],
    donors: Ints | None = None,
    *,
    size: int = 20,
    rng: np.random.Generator,
) -> Ints:
    """Return the metacell of each cell, cells of one donor only in each.

    k-means within each donor, ``k = cells / size``, started from random cells, ten rounds; every
    metacell has a cell, most have about ``size``.

    Parameters
    ----------
    embedding
        Coordinates in which alike cells are near, shape (n_cells, n_dimensions).
    donors
        Donor of each cell, -1 where unknown (one group of its own); ``None`` for one donor.
    size
        Mean number of cells in a metacell, at least 1.
    rng
        Source of the starting cells.

    Raises
    ------
    InputError
        When the shapes disagree or a coordinate is not finite.
    """
    n_cells = len(embedding)
    owner = np.zeros(n_cells, dtype=np.int64) if donors is None else np.asarray(donors)
    if embedding.ndim != 2 or owner.shape != (n_cells,) or not np.isfinite(embedding).all():
        message = (
            f"coordinates of shape {embedding.shape} and {len(owner)} donors were given; expected "
            "finite coordinates and one donor for each cell; give those of the same cells."
        )
        raise InputError(message)
    label = np.empty(n_cells, dtype=np.int64)
    n = 0
    for donor in np.unique(owner):
        cells = np.flatnonzero(owner == donor)
        own = _k_means(embedding[cells].astype(np.float32), max(len(cells) // size, 1), rng)
        label[cells] = n + own
        n += int(own.max()) + 1
    return label


def metacell_residuals(expression: sp.csr_matrix, metacell: Ints, strata: NDArray[Any]) -> Floats:
    """Return what metacells express beyond their strata, shape (n_metacells, n_genes).

    Log expression less its mean in the stratum of the cell, summed over the cells of a metacell
    and divided by the square root of their number: metacells of deep and shallow cells, or of many
    and few, have the same expectation, 0, and noise alike.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    metacell
        Metacell of each cell, numbered from 0.
    strata
        Stratum of each cell: cells of like depth and one donor.
    """
    n_cells = len(metacell)
    stratum = np.unique(strata, return_inverse=True)[1].ravel()
    everyone = np.ones(n_cells), np.arange(n_cells)
    in_metacell = sp.csr_matrix((everyone[0], (metacell, everyone[1])))
    in_stratum = sp.csr_matrix((everyone[0], (stratum, everyone[1])))
    mean = (in_stratum @ expression).toarray() / np.bincount(stratum)[:, None]
    sums = (in_metacell @ expression).toarray() - (in_metacell @ in_stratum.T) @ mean
    found: Floats = sums / np.sqrt(np.bincount(metacell))[:, None]
    return found


def _k_means(points: NDArray[np.float32], k: int, rng: np.random.Generator) -> Ints:
    centres = points[rng.choice(len(points), k, replace=False)]
    label = np.zeros(len(points), dtype=np.int64)
    for _ in range(_ROUNDS):
        moved = _nearest(points, centres)
        if (moved == label).all():
            break
        label = moved
        size = np.bincount(label, minlength=k)
        member = sp.csr_matrix(
            (np.ones(len(points), np.float32), (label, np.arange(len(points)))),
            shape=(k, len(points)),
        )
        filled = size > 0
        centres[filled] = (member @ points)[filled] / size[filled, None]
    return np.unique(label, return_inverse=True)[1].ravel()


def _nearest(points: NDArray[np.float32], centres: NDArray[np.float32]) -> Ints:
    norm = (centres**2).sum(axis=1) / 2
    found = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        found[part] = (points[part] @ centres.T - norm).argmax(axis=1)
    return found
