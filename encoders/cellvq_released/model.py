"""The published encoder: what it says of the tokens of a cell."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .codes import CellCodes
from .config import Sizes
from .layers import Layer, Stack, ValueEmbedding
from .tokens import N_DEPTHS, Tokens

_ROWS = 1024
"""Rows of the gene prior that are multiplied at once."""


class Described(NamedTuple):
    """What the model says of ``n`` cells.

    Attributes
    ----------
    cell
        (n, 4 width) source depth token, target depth token, highest and mean value of each
        channel over the genes (zeros without a gene).
    highest
        (n, width) highest value of each channel over all tokens, which the code is made of.
    attention
        (n, length - 2) attention of the depth tokens to the genes in the last layer, averaged over
        heads and both tokens; rows sum to 1 over the genes.
    """

    cell: Tensor
    highest: Tensor
    attention: Tensor


class PublishedModel(nn.Module):
    """Encoder of CellVQ (Wang et al., Nat Commun 2026) and scFoundation (Hao et al., 2024).

    ``h0 = e(value) + P[gene] + Linear(G[gene])``, post-norm Transformer layers, a final norm.
    The prior ``G`` is part of CellVQ alone; :meth:`fold` turns it into one row a gene.
    The names are those of the checkpoints; made on the meta device, only shapes are computed.

    Parameters
    ----------
    sizes
        Sizes of the model.
    """

    table: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        n, width = sizes.n_positions, sizes.width
        self.token_emb = ValueEmbedding(sizes.n_bins, width, sizes.bin_alpha)
        self.pos_emb = nn.Embedding(n + 1, width)
        self.encoder = Stack(sizes.depth, width, heads=sizes.heads, hidden=sizes.hidden)
        self.cell_vq: CellCodes | None = None
        self.go: nn.Parameter | None = None
        self.go_embed: nn.Linear | None = None
        if sizes.codes is not None:
            self.cell_vq = CellCodes(width, sizes.codes)
            self.go = nn.Parameter(torch.empty(n, n))
            self.go_embed = nn.Linear(n, width)

    @torch.no_grad()
    def fold(self) -> None:
        """Sum position embedding and prior into one row a position, and let the prior go.

        The padding position has no prior.
        """
        table = self.pos_emb.weight.detach().clone()
        if self.go is not None and self.go_embed is not None:
            for start in range(0, len(self.go), _ROWS):
                rows = self.go[start : start + _ROWS]
                table[start : start + len(rows)] += self.go_embed(rows)
            self.go, self.go_embed = None, None
        self.register_buffer("table", table, persistent=False)

    def layers(self) -> list[Layer]:
        """Return the Transformer layers."""
        return [layer for layer in self.encoder.transformer_encoder if isinstance(layer, Layer)]

    def start(self, tokens: Tokens) -> Tensor:
        """Return the tokens before the first layer, (n, length, width)."""
        embedded: Tensor = self.token_emb(tokens.value)
        return embedded + nn.functional.embedding(tokens.position, self.table)

    def describe(self, tokens: Tokens) -> Described:
        """Describe cells; a cell's result does not depend on the padding of its batch."""
        present = tokens.present
        mask = None if bool(present.all()) else present
        x, layers = self.start(tokens), self.layers()
        for layer in layers[:-1]:
            x = layer(x, mask)
        attention = layers[-1].self_attn.weights(x, present, slice(N_DEPTHS)).mean(dim=1)
        x = self.encoder.norm(layers[-1](x, mask))
        target, source, genes = x[:, 0], x[:, 1], x[:, N_DEPTHS:]
        expressed = present[:, N_DEPTHS:, None]
        highest = genes.masked_fill(~expressed, -torch.inf).amax(dim=1)
        mean = (genes * expressed).sum(dim=1) / expressed.sum(dim=1).clamp_min(1)
        pooled = torch.where(expressed.any(dim=1), highest, 0.0)
        attention = attention[:, N_DEPTHS:]
        return Described(
            torch.cat([source, target, pooled, mean], dim=1),
            torch.maximum(highest, torch.maximum(target, source)),
            attention / attention.sum(dim=1, keepdim=True).clamp_min(1e-30),
        )

    def attention(self, tokens: Tokens, layers: Iterable[int]) -> dict[int, Tensor]:
        """Return whole attention maps averaged over heads: slow, for few cells.

        Parameters
        ----------
        tokens
            Tokens of the cells.
        layers
            Numbers of layers, 0 the first.

        Returns
        -------
        dict of int to Tensor
            (n, length, length) by layer; rows attend to columns and sum to 1.
        """
        wanted, found = set(layers), dict[int, Tensor]()
        x = self.start(tokens)
        for number, layer in enumerate(self.layers()):
            if number in wanted:
                found[number] = layer.self_attn.weights(x, tokens.present, slice(None))
            x = layer(x, tokens.present)
        return found
