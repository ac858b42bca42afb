"""Relations beyond those of cells with their genes, codes and metadata."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from ...encoders.errors import InputError
from .config import Integers, check_shape


@dataclass(frozen=True)
class Relations:
    """Further edges of graph attention. Row draws on column; every stored entry is an edge.

    Entries are attributes of their edges, divided by their root mean square in the network, so that
    their unit does not matter; signs stay.

    Parameters
    ----------
    near
        (n_cells, n_cells) neighbours of each cell, such as fuzzy weights in [0, 1]; nothing on the
        diagonal. A neighbour brings its embedding alone, never its genes, code or metadata.
    links
        (n_genes, n_genes) signed weights of a prior on genes, such as [target, regulator] in
        [-1, 1]; they refine the states of genes before cells draw on them. Give both directions
        where a link has none.
    signals
        (n_codes, n_codes) scores of ligand and receptor, [receiving, sending] row of the codebook;
        they refine the states of codes.
    """

    near: csr_matrix | None = None
    links: csr_matrix | None = None
    signals: csr_matrix | None = None

    def check(self, n_cells: int, n_genes: int, n_codes: int) -> None:
        """Raise :class:`InputError` unless all matrices fit, are finite and without self-edges."""
        for name, size in (("near", n_cells), ("links", n_genes), ("signals", n_codes)):
            matrix = getattr(self, name)
            if matrix is None:
                continue
            if not isinstance(matrix, csr_matrix):
                problem = (
                    f"relations: {name} is a {type(matrix).__name__}; expected a scipy "
                    "csr_matrix; convert it"
                )
                raise InputError(problem)
            check_shape(f"relations: {name}", matrix, (size, size))
            if not np.isfinite(matrix.data).all():
                problem = (
                    f"relations: {name} holds NaN or infinity; expected finite weights; drop those"
                )
                raise InputError(problem)
        if self.near is not None:
            own = int((self.near.indices == rows_of(self.near)).sum())
            if own:
                problem = (
                    f"relations: near joins {own} cells to themselves; expected other cells only; "
                    "remove the diagonal"
                )
                raise InputError(problem)


def rows_of(matrix: csr_matrix) -> Integers:
    """Return the row of every entry, (nnz,)."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def scaled(matrix: csr_matrix | None, kept: Integers | None = None) -> csr_matrix | None:
    """Return a relation among the kept nodes, float32 of root mean square 1; ``None`` if empty.

    Entries keep their order; all nodes are kept when ``kept`` is not given.
    """
    if matrix is None:
        return None
    if kept is not None:
        matrix = csr_matrix(matrix[kept][:, kept])
    if not matrix.nnz:
        return None
    size = math.sqrt(float(np.mean(np.square(matrix.data, dtype=np.float64)))) or 1.0
    data = (matrix.data / size).astype(np.float32)
    return csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def entries_of(matrix: csr_matrix, rows: Integers) -> tuple[Integers, Integers]:
    """Return, for the entries of rows, the place in ``rows`` and the place in ``matrix.data``."""
    start: np.ndarray[Any, Any] = matrix.indptr[rows].astype(np.int64)
    count = matrix.indptr[rows + 1] - start
    place = np.repeat(np.arange(len(rows)), count)
    return place, np.arange(len(place)) + (start - np.cumsum(count) + count)[place]
