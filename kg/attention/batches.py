"""Batches of cells for :mod:`scypher.kg.attention`: what is seen, what is hidden and asked for.

Imports torch: load it only where a network is trained.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

if TYPE_CHECKING:
    from .config import Floats, Integers

Bools = npt.NDArray[np.bool_]
_Z_LIMIT = 10.0
_DRAWS = 8


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
    ``first[f]`` to ``first[f + 1]``.
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
        )

    def positions(self, rows: "Integers") -> "tuple[Integers, Integers]":
        """Return, for the gene edges of cells, place in ``rows`` and in the arrays of tokens."""
        start = self.tokens.indptr[rows].astype(np.int64)
        count = self.tokens.indptr[rows + 1] - start
        cell = np.repeat(np.arange(len(rows)), count)
        return cell, np.arange(len(cell)) + (start - np.cumsum(count) + count)[cell]

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


@dataclass(frozen=True)
class Messages:
    """What the network sees of a batch: the only edges that carry messages.

    ``genes`` lists the genes of the batch; row 0 of an edge array is the source (place in
    ``genes``, code, metadata value), row 1 the cell.
    """

    cells: Tensor
    genes: Tensor
    gene_features: Tensor
    gene_edges: Tensor
    gene_attributes: Tensor
    code_edges: Tensor
    value_edges: Tensor


@dataclass(frozen=True)
class Step:
    """A batch with what is hidden from it.

    ``hidden`` are true gene edges, ``absent`` genes that the cells have not (value 0); ``codes``
    and ``values`` hold the hidden code and value number of every cell, -1 where nothing is hidden.
    """

    messages: Messages
    hidden: GeneEdges
    absent: GeneEdges
    codes: "Integers"
    values: "Integers"
    field: int


def see(
    graph: Bipartite,
    rows: "Integers",
    visible: GeneEdges,
    *,
    codes: "Integers",
    values: "Integers",
    popularity: Popularity,
    further: "tuple[Integers, ...]" = (),
) -> Messages:
    """Return the batch of cells ``rows`` with the visible edges; ``further`` genes are scored."""
    genes = np.unique(np.concatenate([visible.gene, *further]))
    with_code, (with_value, field) = np.flatnonzero(codes >= 0), np.nonzero(values >= 0)
    cells = (graph.cells[rows] - graph.centre) / graph.scale
    return Messages(
        cells=torch.from_numpy(cells.astype(np.float32)),
        genes=torch.from_numpy(genes),
        gene_features=torch.from_numpy(graph.gene_features[genes]),
        gene_edges=pairs_of(np.searchsorted(genes, visible.gene), visible.cell),
        gene_attributes=torch.from_numpy(attributes(visible, popularity)),
        code_edges=pairs_of(codes[with_code], with_code),
        value_edges=pairs_of(values[with_value, field], with_value),
    )


def attributes(edges: GeneEdges, popularity: Popularity) -> "Floats":
    """Return (n_edges, 3): value, share of the cell's edges not above it, z-score over cells."""
    order = np.lexsort((edges.value, edges.cell))
    cell, value = edges.cell[order], edges.value[order]
    last = np.append((cell[1:] != cell[:-1]) | (value[1:] != value[:-1]), True)[: len(order)]
    ends = np.flatnonzero(last)
    upto = np.repeat(ends + 1, np.diff(ends, prepend=-1))
    count = np.bincount(edges.cell, minlength=1)
    before = np.cumsum(count) - count
    rank = np.empty(len(order))
    rank[order] = (upto - before[cell]) / count[cell]
    sd = popularity.sd[edges.gene]
    z = (edges.value - popularity.mean[edges.gene]) / np.where(sd > 0, sd, 1)
    columns = (edges.value, rank, np.clip(z, -_Z_LIMIT, _Z_LIMIT))
    return np.stack(columns, axis=1).astype(np.float32)


def absent_genes(
    edges: GeneEdges, cell: "Integers", popularity: Popularity, rng: np.random.Generator
) -> GeneEdges:
    """Draw for every entry of ``cell`` a gene it has no edge to, in proportion to its degree.

    ``edges`` are all edges of these cells. A draw that hits an edge is repeated, at most eight
    times; entries that never miss (cells with nearly every gene) are left out.
    """
    size = len(popularity.degree)
    cumulative = np.cumsum(popularity.degree)
    if not cumulative[-1]:
        return GeneEdges(cell[:0], cell[:0], np.zeros(0, np.float32))
    taken = edges.cell * size + edges.gene
    gene = np.full(len(cell), -1)
    for _ in range(_DRAWS):
        open_ = np.flatnonzero(gene < 0)
        point = rng.random(len(open_)) * cumulative[-1]
        draw = np.minimum(np.searchsorted(cumulative, point, side="right"), size - 1)
        free = ~np.isin(cell[open_] * size + draw, taken)
        gene[open_[free]] = draw[free]
    found = gene >= 0
    return GeneEdges(cell[found], gene[found], np.zeros(int(found.sum()), np.float32))


def hide(
    graph: Bipartite,
    rows: "Integers",
    known: Bools,
    *,
    popularity: Popularity,
    share: float,
    rng: np.random.Generator,
) -> Step:
    """Hide edges of a batch: a share of its genes, and code and one field of half of its cells."""
    cell, position = graph.positions(rows)
    every = graph.edges(cell, position)
    hidden = known[position] & (rng.random(len(cell)) < share)
    visible = known[position] & ~hidden
    absent = absent_genes(every, cell[hidden], popularity, rng)
    codes, values = graph.codes[rows], graph.values[rows]
    hidden_codes = np.where(rng.random(len(rows)) < 0.5, codes, -1)
    if len(graph.codebook) < 2:
        hidden_codes = np.full(len(rows), -1)
    fields = np.flatnonzero(np.diff(graph.first) > 1)
    field = int(rng.choice(fields)) if len(fields) else -1
    hidden_values = np.full(len(rows), -1)
    shown = values.copy()
    if field >= 0:
        hidden_values = np.where(rng.random(len(rows)) < 0.5, values[:, field], -1)
        shown[hidden_values >= 0, field] = -1
    messages = see(
        graph,
        rows,
        every[visible],
        codes=np.where(hidden_codes >= 0, -1, codes),
        values=shown,
        popularity=popularity,
        further=(every.gene[hidden], absent.gene),
    )
    return Step(messages, every[hidden], absent, hidden_codes, hidden_values, field)


def _renumber(values: "Integers") -> "tuple[Integers, Integers]":
    """Return the known values, sorted, and the place of every entry among them, or -1."""
    found = np.unique(values[values >= 0])
    return found, np.where(values >= 0, np.searchsorted(found, values), -1)


def pairs_of(source: "Integers", target: "Integers") -> Tensor:
    return torch.from_numpy(np.stack([source, target]).astype(np.int64))


def local_pairs(batch: Messages, *edges: GeneEdges) -> Tensor:
    """Return pairs of (place of the gene in the batch, cell)."""
    gene = np.concatenate([part.gene for part in edges])
    cell = np.concatenate([part.cell for part in edges])
    return pairs_of(np.searchsorted(batch.genes.numpy(), gene), cell)
