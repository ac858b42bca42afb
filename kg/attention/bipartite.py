"""The graph of :mod:`scypher.kg.attention` as arrays: cells with genes, codes and metadata."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from .relations import Relations, entries_of, scaled

if TYPE_CHECKING:
    from .config import Floats, Integers

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GeneEdges:
    """Gene -> cell edges of a batch: row of the cell in the batch, gene, log1p value."""

    cell: "Integers"
    gene: "Integers"
    value: "Floats"

    def __getitem__(self, chosen: Bools) -> "GeneEdges":
        return GeneEdges(self.cell[chosen], self.gene[chosen], self.value[chosen])

    def __len__(self) -> int:
        return len(self.cell)


@dataclass(frozen=True)
class Bipartite:
    """The graph as arrays: cells with their genes, codes and metadata values.

    Genes, codes and values are numbered among those that occur (``present_codes`` lists the codes);
    -1 is unknown. ``values`` is (n_cells, n_fields), numbered through all fields: field f has
    ``first[f]`` to ``first[f + 1]``, which stand for ``present_values[f]``. ``relations`` are among
    these genes and codes, of root mean square 1, ``None`` where there is no edge.
    """

    cells: "Floats"
    centre: npt.NDArray[np.float64]
    scale: float
    tokens: csr_matrix
    gene_number: "Integers"
    gene_features: "Floats"
    codes: "Integers"
    codebook: "Floats"
    present_codes: "Integers"
    fields: tuple[str, ...]
    values: "Integers"
    first: "Integers"
    present_values: "tuple[Integers, ...]"
    relations: Relations

    @classmethod
    def of(
        cls,
        cells: "Floats",
        tokens: csr_matrix,
        gene_features: "Floats",
        *,
        codes: "Integers",
        codebook: "Floats",
        metadata: "dict[str, Integers]",
        relations: Relations | None = None,
    ) -> "Bipartite":
        """Number what occurs and measure the location and scale of the embedding."""
        genes = np.flatnonzero(np.bincount(tokens.indices, minlength=tokens.shape[1]))
        gene_number = np.full(tokens.shape[1], -1)
        gene_number[genes] = np.arange(len(genes))
        known = gene_features[genes]
        norm = np.linalg.norm(known, axis=1, keepdims=True)
        features = known / np.where(norm > 0, norm, 1) * math.sqrt(known.shape[1])
        centre = cells.mean(axis=0, dtype=np.float64)
        spread = np.einsum("ij,ij->j", cells, cells, dtype=np.float64) / len(cells) - centre**2
        given = relations or Relations()
        present, code_number = _renumber(codes)
        numbered = {field: _renumber(values) for field, values in metadata.items()}
        first = np.cumsum([0, *(len(found) for found, _ in numbered.values())])
        columns = [
            np.where(number >= 0, number + start, -1)
            for start, (_, number) in zip(first[:-1], numbered.values(), strict=True)
        ]
        return cls(
            cells=cells,
            centre=centre,
            scale=float(np.sqrt(max(spread.mean(), 0.0))) or 1.0,
            tokens=tokens,
            gene_number=gene_number,
            gene_features=features.astype(np.float32),
            codes=code_number,
            codebook=codebook[present].astype(np.float32),
            present_codes=present,
            fields=tuple(metadata),
            values=np.stack(columns, axis=1) if columns else np.zeros((len(cells), 0), np.int64),
            first=first,
            present_values=tuple(found for found, _ in numbered.values()),
            relations=Relations(
                near=scaled(given.near),
                links=scaled(given.links, genes),
                signals=scaled(given.signals, present),
            ),
        )

    def features(self, rows: "Integers") -> "Floats":
        """Return the embedding of cells, centred and scaled."""
        return ((self.cells[rows] - self.centre) / self.scale).astype(np.float32)

    def positions(self, rows: "Integers") -> "tuple[Integers, Integers]":
        """Return, for the gene edges of cells, place in ``rows`` and in the arrays of tokens."""
        return entries_of(self.tokens, rows)

    def edges(self, cell: "Integers", position: "Integers") -> GeneEdges:
        """Return the gene edges at positions of the tokens."""
        gene = self.gene_number[self.tokens.indices[position]]
        return GeneEdges(cell, gene, self.tokens.data[position].astype(np.float32))


@dataclass(frozen=True)
class Popularity:
    """Per gene: number of cells, mean and standard deviation of value with absent as 0."""

    degree: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    sd: npt.NDArray[np.float64]

    @classmethod
    def of(cls, graph: Bipartite, known: Bools) -> "Popularity":
        """Count over the known edges only: what is held out must not shape the rest."""
        size, cells = len(graph.gene_features), graph.tokens.shape[0]
        gene = graph.gene_number[graph.tokens.indices[known]]
        value = graph.tokens.data[known]
        mean = np.bincount(gene, weights=value, minlength=size) / cells
        square = np.bincount(gene, weights=value**2, minlength=size) / cells
        sd = np.sqrt(np.maximum(square - mean**2, 0))
        return cls(np.bincount(gene, minlength=size).astype(float), mean, sd)


def _renumber(values: "Integers") -> "tuple[Integers, Integers]":
    """Return the known values, sorted, and the place of every entry among them, or -1."""
    found = np.unique(values[values >= 0])
    return found, np.where(values >= 0, np.searchsorted(found, values), -1)
