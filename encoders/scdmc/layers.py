"""Parts of the network, under the tensor names of MosaicBERT and of BERT."""

from torch import Tensor, nn

from .attention import Bias, attend, weigh
from .config import ScDMCConfig


class SelfAttention(nn.Module):
    """Queries, keys and values of every head: one projection (MosaicBERT) or three (BERT)."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.fused = config.layout == "mosaic"
        width = config.width
        if self.fused:
            self.Wqkv = nn.Linear(width, 3 * width)
        else:
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(width, width)
            self.value = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """Return queries, keys and values, each (n, n_heads, length, size)."""
        if self.fused:
            parts = self.Wqkv(hidden).chunk(3, dim=-1)
        else:
            parts = (self.query(hidden), self.key(hidden), self.value(hidden))
        n, length, _ = hidden.shape
        return [part.view(n, length, self.n_heads, -1).transpose(1, 2) for part in parts]


class Joined(nn.Module):
    """``LayerNorm(residual + dense(x))``: the end of a part, normalised after the sum."""

    def __init__(self, config: ScDMCConfig, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        """Return (..., width)."""
        joined: Tensor = self.LayerNorm(residual + self.drop(self.dense(inner)))
        return joined


class Attention(nn.Module):
    """Self-attention with what follows it."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Joined(config, config.width)
        self.dropout = config.attention_dropout

    def forward(self, hidden: Tensor, bias: Bias) -> Tensor:
        """Return (n, length, width)."""
        query, key, value = self.self(hidden)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(query, key, value, bias=bias, dropout=dropout)
        joined: Tensor = self.output(mixed.transpose(1, 2).flatten(2), hidden)
        return joined

    def read(self, hidden: Tensor, bias: Bias, first: int) -> tuple[Tensor, Tensor]:
        """Return the first positions (n, first, width) and their weights, averaged over heads.

        The weights are (n, first, length), rows sum to 1 over positions that are not padded.
        """
        query, key, value = self.self(hidden)
        weights = weigh(query[:, :, :first], key, bias)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return self.output(mixed, hidden[:, :first]), weights.mean(dim=1)


class GatedMLP(nn.Module):
    """``LayerNorm(x + wo(GELU(a) * b))`` with ``a, b`` the halves of one projection of ``x``."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.gated_layers = nn.Linear(config.width, 2 * config.hidden, bias=False)
        self.wo = nn.Linear(config.hidden, config.width)
        self.layernorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., width)."""
        gate, carried = self.gated_layers(hidden).chunk(2, dim=-1)
        inner = self.drop(nn.functional.gelu(gate) * carried)
        joined: Tensor = self.layernorm(hidden + self.wo(inner))
        return joined


class Widened(nn.Module):
    """``GELU(dense(x))``."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.hidden)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., hidden)."""
        return nn.functional.gelu(self.dense(hidden))


class Layer(nn.Module):
    """Attention and a feed-forward part, each normalised after the sum with its input."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.gated = config.layout == "mosaic"
        if self.gated:
            self.mlp = GatedMLP(config)
        else:
            self.intermediate = Widened(config)
            self.output = Joined(config, config.hidden)

    def forward(self, hidden: Tensor, bias: Bias) -> Tensor:
        """Return (n, length, width)."""
        return self._feed(self.attention(hidden, bias))

    def read(self, hidden: Tensor, bias: Bias, first: int) -> tuple[Tensor, Tensor]:
        """Return the first positions (n, first, width) and weights (n, first, length)."""
        mixed, weights = self.attention.read(hidden, bias, first)
        return self._feed(mixed), weights

    def _feed(self, hidden: Tensor) -> Tensor:
        fed: Tensor = (
            self.mlp(hidden) if self.gated else self.output(self.intermediate(hidden), hidden)
        )
        return fed
