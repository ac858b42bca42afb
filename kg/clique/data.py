"""Cells, their tokens and their counts as arrays for :mod:`scypher.kg.clique`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from ...encoders.counts import COUNTS_PER_CELL
from ..attention.config import Floats, Integers


@dataclass(frozen=True)
class CliqueData:
    """What a clique network reads, genes numbered among those that are a token of some cell.

    Parameters
    ----------
    cells
        (n_cells, d) embedding or CSR profile; ``centre`` (d,) and ``scale`` bring it near unit
        size.
    tokens
        CSR (n_cells, n_genes).
    genes, gene_number
        Position of each numbered gene, and number of each position or -1.
    features
        (n_numbered, e), rows of length sqrt(e) or zero.
    counts, totals
        CSR (n_cells, n_numbered) raw counts; (n_cells,) counts over all genes.
    degree
        (n_numbered,) cells of which the gene is a token.
    fields, values, first
        Metadata: names; (n_cells, n_fields) values numbered through all fields, -1 unknown; field
        f has ``first[f]`` to ``first[f + 1]``. Without fields the tokens of a cell are its genes.
    """

    cells: "Floats | csr_matrix"
    centre: npt.NDArray[np.float64]
    scale: float
    tokens: csr_matrix
    genes: Integers
    gene_number: Integers
    features: Floats
    counts: csr_matrix
    totals: npt.NDArray[np.float64]
    degree: npt.NDArray[np.float64]
    fields: tuple[str, ...]
    values: Integers
    first: Integers

    @classmethod
    def of(
        cls,
        cells: "Floats | csr_matrix",
        tokens: csr_matrix,
        gene_features: Floats,
        *,
        counts: csr_matrix,
        metadata: Mapping[str, Integers],
    ) -> "CliqueData":
        """Number what occurs and measure the location and scale of the cells."""
        degree = np.bincount(tokens.indices, minlength=tokens.shape[1])
        genes = np.flatnonzero(degree)
        gene_number = np.full(tokens.shape[1], -1)
        gene_number[genes] = np.arange(len(genes))
        known = gene_features[genes]
        norm = np.linalg.norm(known, axis=1, keepdims=True)
        features = known / np.where(norm > 0, norm, 1) * np.sqrt(known.shape[1])
        centre = np.asarray(cells.mean(axis=0, dtype=np.float64)).ravel()
        if isinstance(cells, np.ndarray):
            square = np.einsum("ij,ij->j", cells, cells, dtype=np.float64) / len(cells)
        else:
            square = np.asarray(cells.multiply(cells).mean(axis=0, dtype=np.float64)).ravel()
        columns, first = [], [0]
        for values in metadata.values():
            present = np.unique(values[values >= 0])
            number = np.searchsorted(present, values) + first[-1]
            columns.append(np.where(values >= 0, number, -1))
            first.append(first[-1] + len(present))
        none = np.zeros((tokens.shape[0], 0), np.int64)
        return cls(
            cells=cells,
            centre=centre,
            scale=float(np.sqrt(max(np.mean(square - centre**2), 0.0))) or 1.0,
            tokens=tokens,
            genes=genes,
            gene_number=gene_number,
            features=features.astype(np.float32),
            counts=csr_matrix(counts[:, genes]),
            totals=np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(),
            degree=degree[genes].astype(np.float64),
            fields=tuple(metadata),
            values=np.stack(columns, axis=1) if columns else none,
            first=np.array(first),
        )

    def cells_of(self, rows: Integers) -> Floats:
        """Return the centred and scaled cells of a batch, dense."""
        found = self.cells[rows]
        dense = found if isinstance(found, np.ndarray) else found.toarray()
        scaled: Floats = ((dense - self.centre) / self.scale).astype(np.float32)
        return scaled

    def edges_of(self, rows: Integers) -> "tuple[Integers, Integers]":
        """Return, for the tokens of cells, place in ``rows`` and in the arrays of the tokens."""
        start = self.tokens.indptr[rows].astype(np.int64)
        count = self.tokens.indptr[rows + 1] - start
        cell = np.repeat(np.arange(len(rows)), count)
        return cell, np.arange(len(cell)) + (start - np.cumsum(count) + count)[cell]

    def counts_of(self, rows: Integers, cell: Integers, gene: Integers) -> Floats:
        """Return the counts of numbered genes in cells of a batch."""
        if not len(cell):
            return np.zeros(0, np.float32)
        return np.asarray(self.counts[rows[cell], gene], dtype=np.float32).ravel()

    def value_of(self, count: Floats, row: Integers) -> Floats:
        """Return log1p counts per 10,000 of counts in cells."""
        per_count = COUNTS_PER_CELL / np.maximum(self.totals[row], 1)
        value: Floats = np.log1p(count * per_count).astype(np.float32)
        return value
