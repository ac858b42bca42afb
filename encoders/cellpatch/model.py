"""The network: patches read genes, then each other."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import CellPatchConfig


class Attention(nn.Module):
    r"""Multi-head attention with the parameters of :class:`torch.nn.MultiheadAttention`.

    .. math::

        a_{hpj} = \mathrm{softmax}_j \frac{q_{hp} \cdot k_{hj}}{\sqrt{d_h}}, \qquad
        \mathrm{out}_p = W_o [\textstyle\sum_j a_{hpj} v_{hj}]_h + b_o

    Vaswani et al. (2017). Absent tokens have weight 0; where all are absent the sum is 0.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def project(self, part: int, tokens: Tensor) -> Tensor:
        """Return queries (part 0), keys (1) or values (2): (n, length, width) to (n, h, length, d).

        ``d`` is ``width / n_heads``.
        """
        weight = self.in_proj_weight.chunk(3)[part]
        projected = functional.linear(tokens, weight, self.in_proj_bias.chunk(3)[part])
        return projected.view(*projected.shape[:-1], self.n_heads, -1).transpose(1, 2)

    def forward(self, query: Tensor, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """Return (n, n_queries, width).

        Parameters
        ----------
        query, tokens
            (n, n_queries, width) and (n, length, width).
        present
            (n, length) ``False`` at padded tokens.
        """
        mask = None
        if present is not None:
            # A softmax over nothing is NaN: such rows read their padding, and then nothing of it.
            some = present.any(dim=1)[:, None, None, None]
            mask = present[:, None, None] | ~some
        context = functional.scaled_dot_product_attention(
            self.project(0, query), self.project(1, tokens), self.project(2, tokens), attn_mask=mask
        )
        if present is not None:
            context = context * some
        result: Tensor = self.out_proj(context.transpose(1, 2).flatten(2))
        return result

    def weights(self, query: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """Return the weights averaged over heads, (n, n_queries, length), 0 at padded tokens."""
        keys = self.project(1, tokens)
        logits = self.project(0, query) @ keys.transpose(-1, -2) * keys.shape[-1] ** -0.5
        logits = logits.masked_fill(~present[:, None, None], torch.finfo(logits.dtype).min)
        averaged: Tensor = logits.softmax(dim=-1).mean(dim=1) * present[:, None]
        return averaged


class Block(nn.Module):
    """Attention, then a feed-forward part with GELU, each added to its input and normalised."""

    def __init__(self, config: CellPatchConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden
        self.attn = Attention(width, config.n_heads)
        self.attn_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.mlp_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, query: Tensor, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """Return ``query`` updated by ``tokens``, of the shape of ``query``."""
        return self.finish(query, self.attn(query, tokens, present))

    def finish(self, query: Tensor, update: Tensor) -> Tensor:
        """Return the block's result once its attention is known."""
        state = self.attn_norm(query + self.dropout(update))
        result: Tensor = self.mlp_norm(state + self.dropout(self.mlp(state)))
        return result


class PatchEncoder(nn.Module):
    r"""Encoder of CellPatch (preprint, Research Square rs-7138411).

    .. math::

        x_j &= E_{g_j} + w v_j + b \\
        P &= \mathrm{block}(P_0, x), \quad P \leftarrow \mathrm{block}(P, P) \ \text{twice}

    with :math:`v` the values of the expressed genes :math:`g` and :math:`P_0` the learned patches.
    Unlike in the published code, padded genes are masked.
    """

    def __init__(self, config: CellPatchConfig) -> None:
        super().__init__()
        self.config = config
        self.gene = nn.Embedding(config.n_tokens, config.width)
        self.value = nn.Linear(1, config.width)
        self.start = nn.Parameter(torch.randn(1, config.n_patches, config.width))
        self.read = Block(config)
        self.mix = nn.ModuleList(Block(config) for _ in range(config.n_layers))

    def forward(self, gene: Tensor, value: Tensor, present: Tensor) -> Tensor:
        """Return the patches of each cell, (n, n_patches, width).

        Parameters
        ----------
        gene, value, present
            (n, length) rows of the gene table, log1p of counts per 10,000, and ``False`` at
            padded positions.
        """
        start = self.start.expand(len(gene), -1, -1)
        return self.exchange(self.read(start, self.tokens(gene, value), present))

    def tokens(self, gene: Tensor, value: Tensor) -> Tensor:
        """Return what stands for each expressed gene, (n, length, width)."""
        result: Tensor = self.gene(gene) + self.value(value.unsqueeze(-1))
        return result

    def exchange(self, patches: Tensor) -> Tensor:
        """Return the patches after they have read each other."""
        for block in self.mix:
            patches = block(patches, patches)
        return patches
