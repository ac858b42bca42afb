"""Batches of cells for :mod:`scypher.kg.attention`: what is seen, what is hidden and asked for.

Imports torch: load it only where a network is trained.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .bipartite import Bipartite, Bools, GeneEdges, Popularity
from .relations import entries_of

if TYPE_CHECKING:
    from .config import Floats, Integers

_Z_LIMIT = 10.0
_DRAWS = 8


@dataclass(frozen=True)
class Messages:
    """What the network sees of a batch: the only edges that carry messages.

    ``genes`` lists the genes of the batch, ``near_cells`` the embedding of the cells that are near
    some of it; row 0 of an edge array is the source (place in ``genes`` or ``near_cells``, code,
    metadata value), row 1 the cell. ``blind`` are cells whose embedding is withheld: their
    genes and metadata, and neighbours where these are given, must tell what they are.
    """

    cells: Tensor
    blind: Tensor
    genes: Tensor
    gene_features: Tensor
    gene_edges: Tensor
    gene_attributes: Tensor
    code_edges: Tensor
    value_edges: Tensor
    near_cells: Tensor
    near_edges: Tensor
    near_attributes: Tensor


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
    blind: Bools,
    popularity: Popularity,
    further: "tuple[Integers, ...]" = (),
) -> Messages:
    """Return the batch of cells ``rows`` with the visible edges; ``further`` genes are scored."""
    seen = np.zeros(len(graph.gene_features), dtype=bool)
    for some in (visible.gene, *further):
        seen[some] = True
    genes, place = np.flatnonzero(seen), np.cumsum(seen) - 1
    with_code, (with_value, field) = np.flatnonzero(codes >= 0), np.nonzero(values >= 0)
    near, near_edges, near_attributes = _near(graph, rows)
    return Messages(
        cells=torch.from_numpy(graph.features(rows)),
        blind=torch.from_numpy(blind),
        genes=torch.from_numpy(genes),
        gene_features=torch.from_numpy(graph.gene_features[genes]),
        gene_edges=pairs_of(place[visible.gene], visible.cell),
        gene_attributes=torch.from_numpy(attributes(visible, popularity)),
        code_edges=pairs_of(codes[with_code], with_code),
        value_edges=pairs_of(values[with_value, field], with_value),
        near_cells=torch.from_numpy(graph.features(near)),
        near_edges=near_edges,
        near_attributes=torch.from_numpy(near_attributes),
    )


def _near(graph: Bipartite, rows: "Integers") -> "tuple[Integers, Tensor, Floats]":
    """Return the neighbours of a batch, and pairs of (place among them, cell) with attributes."""
    near = graph.relations.near
    if near is None:
        return rows[:0], pairs_of(rows[:0], rows[:0]), np.zeros((0, 1), np.float32)
    cell, position = entries_of(near, rows)
    neighbours, source = np.unique(near.indices[position], return_inverse=True)
    return neighbours, pairs_of(source, cell), near.data[position, None]


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
    columns = (edges.value, rank, _z(edges.value, edges.gene, popularity))
    return np.stack(columns, axis=1).astype(np.float32)


def zero_attributes(edges: GeneEdges, popularity: Popularity) -> "Floats":
    """Return (n_edges, 3): the attributes that an edge would have if its value alone were zero."""
    size = int(edges.cell.max(initial=-1)) + 1
    not_above = np.bincount(edges.cell, weights=edges.value <= 0, minlength=size)
    rank = (not_above / np.maximum(np.bincount(edges.cell, minlength=size), 1))[edges.cell]
    zero = np.zeros(len(edges), np.float32)
    columns = (zero, rank, _z(zero, edges.gene, popularity))
    return np.stack(columns, axis=1).astype(np.float32)


def _z(value: "Floats", gene: "Integers", popularity: Popularity) -> "Floats":
    sd = popularity.sd[gene]
    z = (value - popularity.mean[gene]) / np.where(sd > 0, sd, 1)
    clipped: Floats = np.clip(z, -_Z_LIMIT, _Z_LIMIT)
    return clipped


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
    taken = np.zeros((1 + max(edges.cell.max(initial=0), cell.max(initial=0)), size), dtype=bool)
    taken[edges.cell, edges.gene] = True
    gene = np.full(len(cell), -1)
    for _ in range(_DRAWS):
        open_ = np.flatnonzero(gene < 0)
        point = rng.random(len(open_)) * cumulative[-1]
        draw = np.minimum(np.searchsorted(cumulative, point, side="right"), size - 1)
        free = ~taken[cell[open_], draw]
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
    """Hide a share of the genes of a batch, code and embedding of half its cells, and a field."""
    cell, position = graph.positions(rows)
    every = graph.edges(cell, position)
    hidden = known[position] & (rng.random(len(cell)) < share)
    visible = known[position] & ~hidden
    absent = absent_genes(every, cell[hidden], popularity, rng)
    codes, values = graph.codes[rows], graph.values[rows]
    # With its embedding a cell would tell its code whatever its genes are.
    blind = rng.random(len(rows)) < 0.5
    hidden_codes = np.where(blind, codes, -1)
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
        blind=blind,
        popularity=popularity,
        further=(every.gene[hidden], absent.gene),
    )
    return Step(messages, every[hidden], absent, hidden_codes, hidden_values, field)


def pairs_of(source: "Integers", target: "Integers") -> Tensor:
    return torch.from_numpy(np.stack([source, target]).astype(np.int64))


def local_pairs(batch: Messages, *edges: GeneEdges) -> Tensor:
    """Return pairs of (place of the gene in the batch, cell)."""
    gene = np.concatenate([part.gene for part in edges])
    cell = np.concatenate([part.cell for part in edges])
    return pairs_of(np.searchsorted(batch.genes.numpy(), gene), cell)
