"""The network of :mod:`scypher.kg.attention`: GATv2 layers from genes, codes, metadata to cells.

Imports torch: load it only where a network is trained.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import Messages, Step, local_pairs
from .bipartite import Bipartite
from .convolution import GATv2
from .relations import rows_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from .config import GraphAttentionConfig, Integers


class PairScore(nn.Module):
    """Score of (cell, gene) pairs: ``U x_c . V x_g / sqrt(hidden) + w . x_g + b``."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.cell = nn.Linear(hidden, hidden, bias=False)
        self.gene = nn.Linear(hidden, hidden, bias=False)
        self.offset = nn.Linear(hidden, 1)

    def forward(self, cells: Tensor, genes: Tensor, pairs: Tensor) -> Tensor:
        """Return (n_pairs,) for pairs of (gene, cell)."""
        left = self.cell(cells).index_select(0, pairs[1])
        right = self.gene(genes).index_select(0, pairs[0])
        offset = self.offset(genes).squeeze(1).index_select(0, pairs[0])
        score: Tensor = (left * right).sum(1) / math.sqrt(left.shape[1]) + offset
        return score


class Refinement(nn.Module):
    """A round of messages among nodes of one type: ``LayerNorm(x + GELU(messages))``."""

    ends: Tensor
    attributes: Tensor

    def __init__(self, relation: "csr_matrix", hidden: int, heads: int) -> None:
        super().__init__()
        ends = np.stack([relation.indices, rows_of(relation)]).astype(np.int64)
        # Edges belong to the graph, not to the weights.
        self.register_buffer("ends", torch.from_numpy(ends), persistent=False)
        edge = torch.from_numpy(relation.data[:, None].copy())
        self.register_buffer("attributes", edge, persistent=False)
        self.convolution = GATv2((hidden, hidden), hidden // heads, heads=heads, edge_dim=1)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, states: Tensor) -> Tensor:
        """Return (n_nodes, hidden) states that know of the nodes they draw on."""
        messages = self.convolution((states, states), self.ends, self.attributes)
        refined: Tensor = self.norm(states + functional.gelu(messages))
        return refined


class Network(nn.Module):
    """Layers of GATv2, one convolution per edge type, towards the cells."""

    codebook: Tensor
    gene_features: Tensor

    def __init__(self, graph: Bipartite, config: "GraphAttentionConfig") -> None:
        super().__init__()
        size = config.hidden
        n_values = int(graph.first[-1])
        slots = max(n_values, 1)  # torch warns of empty weights
        self.register_buffer("codebook", torch.from_numpy(graph.codebook))
        self.cell_in = nn.Linear(graph.cells.shape[1], size)
        self.gene_in = nn.Linear(graph.gene_features.shape[1], size, bias=False)
        self.gene_own = nn.Embedding(len(graph.gene_features), size)
        self.code_in = nn.Linear(graph.codebook.shape[1], size)
        self.value_own = nn.Embedding(slots, size)
        self.unknown = nn.Parameter(torch.zeros(size))
        self.cell_norm, self.gene_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        sizes = {"gene": 3, **({"code": None} if len(graph.codebook) else {})}
        sizes |= {"value": None} if n_values else {}
        sizes |= {"near": 1} if graph.relations.near is not None else {}
        self.convolutions = nn.ModuleList(
            nn.ModuleDict(
                {
                    kind: GATv2(
                        (size, size), size // config.heads, heads=config.heads, edge_dim=edge_size
                    )
                    for kind, edge_size in sizes.items()
                }
            )
            for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.existence, self.value = PairScore(size), PairScore(size)
        self.code_out = nn.Linear(size, size)
        self.value_out = nn.Linear(size, slots)
        self.links, self.signals = (
            None if relation is None else Refinement(relation, size, config.heads)
            for relation in (graph.relations.links, graph.relations.signals)
        )
        if self.links is not None:
            # A gene draws on genes that the batch may not have.
            features = torch.from_numpy(graph.gene_features)
            self.register_buffer("gene_features", features, persistent=False)

    def forward(
        self, batch: Messages, weights: bool = False
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return states of cells and genes, and per edge type the (n_edges, heads) attention."""
        genes = self.genes(batch.genes, batch.gene_features)
        cells = torch.where(batch.blind.unsqueeze(1), self.unknown, self.cells(batch.cells))
        sources = {
            "gene": genes,
            "code": self.codes(),
            "value": self.value_own.weight,
            "near": self.cells(batch.near_cells),
        }
        edges = {
            "gene": batch.gene_edges,
            "code": batch.code_edges,
            "value": batch.value_edges,
            "near": batch.near_edges,
        }
        attributes = {"gene": batch.gene_attributes, "near": batch.near_attributes}
        attention: dict[str, Tensor] = {}
        for layer, (convolutions, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True), start=1
        ):
            assert isinstance(convolutions, nn.ModuleDict)
            total = torch.zeros_like(cells)
            for kind, convolution in convolutions.items():
                ends = (sources[kind], cells)
                edge_attributes = attributes.get(kind)
                if weights and layer == len(self.norms):
                    # Any value of the argument counts as set: pass it only here.
                    message, (_, attention[kind]) = convolution(
                        ends, edges[kind], edge_attributes, return_attention_weights=True
                    )
                else:
                    message = convolution(ends, edges[kind], edge_attributes)
                total = total + message
            cells = norm(cells + self.dropout(functional.gelu(total)))
        return cells, genes, attention

    def cells(self, features: Tensor) -> Tensor:
        """Return (n_cells, hidden) states of cells before any message."""
        states: Tensor = self.cell_norm(self.cell_in(features))
        return states

    def genes(self, numbers: Tensor, features: Tensor) -> Tensor:
        """Return (n_genes, hidden) states of genes, refined by their links."""
        if self.links is None:
            return self._own_genes(features, self.gene_own(numbers))
        every = self.links(self._own_genes(self.gene_features, self.gene_own.weight))
        states: Tensor = every.index_select(0, numbers)
        return states

    def _own_genes(self, features: Tensor, own: Tensor) -> Tensor:
        states: Tensor = self.gene_norm(self.gene_in(features) + own)
        return states

    def codes(self) -> Tensor:
        """Return (n_codes, hidden) states of the codes, refined by their signals."""
        states: Tensor = self.code_in(self.codebook)
        return states if self.signals is None else self.signals(states)

    def code_scores(self, cells: Tensor) -> Tensor:
        """Return (n_cells, n_codes) logits of the code of cells in their last state."""
        asked = self.code_out(cells)
        scores: Tensor = asked @ self.codes().T / math.sqrt(asked.shape[1])
        return scores

    def losses(self, step: Step, first: "Integers") -> dict[str, Tensor]:
        """Return the terms of the loss; a term without anything to predict is left out."""
        cells, genes, _ = self(step.messages)
        terms: dict[str, Tensor] = {}
        if len(step.hidden):
            pairs = local_pairs(step.messages, step.hidden, step.absent)
            truth = torch.zeros(pairs.shape[1])
            truth[: len(step.hidden)] = 1
            score = self.existence(cells, genes, pairs)
            terms["existence"] = functional.binary_cross_entropy_with_logits(score, truth)
            value = self.value(cells, genes, pairs[:, : len(step.hidden)])
            terms["value"] = functional.mse_loss(value, torch.from_numpy(step.hidden.value))
        chosen = np.flatnonzero(step.codes >= 0)
        if len(chosen):
            score = self.code_scores(cells.index_select(0, torch.from_numpy(chosen)))
            terms["code"] = functional.cross_entropy(score, torch.from_numpy(step.codes[chosen]))
        chosen = np.flatnonzero(step.values >= 0)
        if len(chosen):
            start, stop = int(first[step.field]), int(first[step.field + 1])
            asked = self.value_out(cells.index_select(0, torch.from_numpy(chosen)))[:, start:stop]
            truth = torch.from_numpy(step.values[chosen] - start)
            terms["metadata"] = functional.cross_entropy(asked, truth)
        return terms


def fresh_network(graph: Bipartite, config: "GraphAttentionConfig", seed: int) -> Network:
    """Return a network of random weights; no global generator is changed."""
    # Initial weights draw from the global generator of the CPU: lend it.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Network(graph, config)
