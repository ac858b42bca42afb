"""Value embedding and Transformer layers under the names of the published checkpoints."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ValueEmbedding(nn.Module):
    r"""Embed expression values by soft assignment to learned bins.

    Auto-discretisation of scFoundation (Hao et al., Nat Methods 2024):

    .. math::

        u = \mathrm{LeakyReLU}_{0.1}(W_1 v + b_1), \quad
        w = \mathrm{softmax}(\alpha u + W_2 u + b_2), \quad e = w E

    Parameters
    ----------
    n_bins, width
        Number of bins and width of the embedding.
    alpha
        :math:`\alpha`.
    """

    def __init__(self, n_bins: int, width: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.mlp = nn.Linear(1, n_bins)
        self.mlp2 = nn.Linear(n_bins, n_bins)
        self.emb = nn.Embedding(n_bins, width)
        # Part of every checkpoint; only training shows the model masked and padded values.
        self.emb_mask = nn.Embedding(1, width)
        self.emb_pad = nn.Embedding(1, width)

    def forward(self, value: Tensor) -> Tensor:
        """Embed values of any shape; the width comes last."""
        u = functional.leaky_relu(self.mlp(value.unsqueeze(-1)), 0.1)
        weights: Tensor = (self.alpha * u + self.mlp2(u)).softmax(dim=-1)
        return weights @ self.emb.weight


class SelfAttention(nn.Module):
    """Multi-head self-attention with one matrix for queries, keys and values.

    Parameters
    ----------
    width, heads
        Width of the tokens; heads, which divide it.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of (n, length, width), each (n, heads, length, ...)."""
        n, length, width = x.shape
        joined = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        parts = joined.view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return query, key, value

    def forward(self, x: Tensor, present: Tensor | None) -> Tensor:
        """Return the attended tokens, (n, length, width); ``present`` masks the keys."""
        query, key, value = self.split(x)
        mask = None if present is None else present[:, None, None, :]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        result: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return result

    def weights(self, x: Tensor, present: Tensor, rows: slice) -> Tensor:
        """Return the attention of some tokens averaged over heads, (n, rows, length).

        Head by head, so that memory holds one (rows, length) map a cell.
        """
        query, key, _ = self.split(x)
        query = query[:, :, rows] * query.shape[-1] ** -0.5
        total = torch.zeros(len(x), query.shape[2], x.shape[1])
        for head in range(self.heads):
            scores = query[:, head] @ key[:, head].transpose(1, 2)
            total += scores.masked_fill(~present[:, None, :], -torch.inf).softmax(dim=-1)
        return total / self.heads


class Layer(nn.Module):
    """Post-norm Transformer layer with ReLU, as ``torch.nn.TransformerEncoderLayer`` in eval mode.

    Parameters
    ----------
    width, heads, hidden
        Width of the tokens, heads, width of the feed-forward part.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, present: Tensor | None) -> Tensor:
        """Update tokens, (n, length, width); ``present`` (n, length) masks the keys."""
        x = self.norm1(x + self.self_attn(x, present))
        x = self.norm2(x + self.linear2(functional.relu(self.linear1(x))))
        return x


class Stack(nn.Module):
    """Layers and a final norm.

    Parameters
    ----------
    depth
        Number of layers.
    width, heads, hidden
        See :class:`Layer`.
    """

    def __init__(self, depth: int, width: int, *, heads: int, hidden: int) -> None:
        super().__init__()
        layers = [Layer(width, heads, hidden) for _ in range(depth)]
        self.transformer_encoder = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width)
