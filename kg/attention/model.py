"""The network of :mod:`scypher.kg.attention`: GATv2 layers from genes, codes, metadata to cells.

Imports torch: load it only where a network is trained.
"""

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import Bipartite, Messages, Step, local_pairs

if TYPE_CHECKING:
    from .config import GraphAttentionConfig, Integers

with warnings.catch_warnings():
    # torch 2.15 deprecates torch.jit.script, which torch-geometric calls on import
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=FutureWarning)
    from torch_geometric.nn import GATv2Conv


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


class Network(nn.Module):
    """Layers of GATv2, one convolution per edge type, towards the cells."""

    codebook: Tensor

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
        self.cell_norm, self.gene_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        sizes = {"gene": 3, **({"code": None} if len(graph.codebook) else {})}
        sizes |= {"value": None} if n_values else {}
        self.convolutions = nn.ModuleList(
            nn.ModuleDict(
                {
                    # Bipartite edges: a self-loop would join a gene and a cell of equal number.
                    kind: GATv2Conv(
                        (size, size),
                        size // config.heads,
                        heads=config.heads,
                        add_self_loops=False,
                        edge_dim=edge_size,
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

    def forward(
        self, batch: Messages, weights: bool = False
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return states of cells and genes, and per edge type the (n_edges, heads) attention."""
        cells = self.cell_norm(self.cell_in(batch.cells))
        genes = self.gene_norm(self.gene_in(batch.gene_features) + self.gene_own(batch.genes))
        sources = {"gene": genes, "code": self.codes(), "value": self.value_own.weight}
        edges = {"gene": batch.gene_edges, "code": batch.code_edges, "value": batch.value_edges}
        attention: dict[str, Tensor] = {}
        for layer, (convolutions, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True), start=1
        ):
            assert isinstance(convolutions, nn.ModuleDict)
            total = torch.zeros_like(cells)
            for kind, convolution in convolutions.items():
                ends = (sources[kind], cells)
                edge_attributes = batch.gene_attributes if kind == "gene" else None
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

    def codes(self) -> Tensor:
        """Return (n_codes, hidden) states of the codes."""
        states: Tensor = self.code_in(self.codebook)
        return states

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
