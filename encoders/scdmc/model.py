"""The network that reads a cell as a row of tokens, and its prediction of hidden genes."""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from .attention import Bias, alibi
from .config import PAD, ScDMCConfig
from .layers import Layer
from .values import SoftBins


class Embeddings(nn.Module):
    """Vectors of the tokens of a cell; of their values too where values enter."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        width = config.width
        self.word_embeddings = nn.Embedding(config.n_tokens, width, padding_idx=PAD)
        self.token_type_embeddings = nn.Embedding(config.n_types, width) if config.n_types else None
        self.position_embeddings = (
            nn.Embedding(config.n_positions, width) if config.n_positions else None
        )
        self.LayerNorm = nn.LayerNorm(width, eps=config.norm_eps)
        self.drop = nn.Dropout(config.dropout)
        self.apply(partial(_initialise, spread=first_spread(width)))
        self.value_embeddings = (
            SoftBins(config.n_bins, width, spread=first_spread(width))
            if config.epe_mode == "input"
            else None
        )

    def forward(self, token: Tensor, value: Tensor | None) -> Tensor:
        """Return (n, length, width) of ids (n, length) and values (n, length), if any."""
        vector = self.word_embeddings(token)
        if self.token_type_embeddings is not None:
            vector = vector + self.token_type_embeddings.weight[0]
        if self.position_embeddings is not None:
            vector = vector + self.position_embeddings.weight[: token.shape[1]]
        if value is not None and self.value_embeddings is not None:
            vector = vector + self.value_embeddings(value)
        embedded: Tensor = self.drop(self.LayerNorm(vector))
        return embedded


class Body(nn.Module):
    """The encoder of scDMC (Guo et al., bioRxiv 2025.09.05.674596): a BERT over genes.

    One body reads both streams of a cell. With the layout ``mosaic`` (Portes et al., NeurIPS 2023)
    the only trace of order is the ALiBi penalty, which an unordered stream goes without; with the
    layout ``stock`` (Devlin et al., NAACL 2019) it is the table of positions. The names of its
    tensors are those of the published checkpoints, prefixes aside.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.layer.apply(partial(_initialise, spread=first_spread(config.width)))

    def forward(
        self, token: Tensor, value: Tensor | None = None, *, ordered: bool = True
    ) -> Tensor:
        """Return what the last layer says of every token, (n, length, width).

        Parameters
        ----------
        token
            (n, length) ids, ``PAD`` at padded positions.
        value
            (n, length) values that enter as soft bins; only with ``epe_mode`` ``input``.
        ordered
            Whether the order of the tokens means something.
        """
        bias = self._bias(token, ordered)
        return self._run(token, value, bias, self.config.n_layers)

    def read(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding of each cell, and what its cls token attends to in the last layer.

        The last layer is computed for the cls token alone.

        Parameters
        ----------
        token
            (n, length) ids of an ordered stream.

        Returns
        -------
        tuple
            (n, width) last-layer cls; (n, length) weights averaged over heads, rows sum to 1.
        """
        bias = self._bias(token, True)
        hidden = self._run(token, None, bias, self.config.n_layers - 1)
        cell, weights = self._layer(-1).read(hidden, bias, 1)
        return cell[:, 0], weights[:, 0]

    def attention(
        self, token: Tensor, value: Tensor | None = None, *, layer: int = -1, ordered: bool = True
    ) -> Tensor:
        """Return the attention of one layer averaged over heads, (n, length, length).

        Row: the token that attends; column: the token attended to; rows sum to 1. The slow path:
        it holds ``n * n_heads * length ** 2`` numbers.
        """
        bias = self._bias(token, ordered)
        hidden = self._run(token, value, bias, layer % self.config.n_layers)
        return self._layer(layer).read(hidden, bias, token.shape[1])[1]

    def _layer(self, number: int) -> Layer:
        return cast(Layer, self.layer[number])

    def _bias(self, token: Tensor, ordered: bool) -> Bias:
        penalised = ordered and self.config.layout == "mosaic"
        distance = alibi(self.config.n_heads, token.shape[1], token.device) if penalised else None
        return Bias(distance, token != PAD)

    def _run(self, token: Tensor, value: Tensor | None, bias: Bias, n_layers: int) -> Tensor:
        hidden: Tensor = self.embeddings(token, value)
        for layer in self.layer[:n_layers]:
            hidden = layer(hidden, bias)
        return hidden


class Transform(nn.Module):
    """``LayerNorm(GELU(dense(x)))``, between the body and the word table."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (..., width)."""
        transformed: Tensor = self.LayerNorm(nn.functional.gelu(self.dense(hidden)))
        return transformed


class Prediction(nn.Module):
    """Scores of all tokens, from the word table itself and a bias."""

    def __init__(self, config: ScDMCConfig) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.bias = nn.Parameter(torch.zeros(config.n_tokens))
        self.apply(partial(_initialise, spread=first_spread(config.width)))

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return (..., n_tokens) of vectors (..., width) and the word table (n_tokens, width)."""
        return nn.functional.linear(self.transform(hidden), table, self.bias)


def first_spread(width: int) -> float:
    """Return the standard deviation of first weights: 0.02 at 768, the width BERT has it for.

    It falls with the root of the width, so that a layer passes on the same share of its input at
    every width. With 0.02 at small widths the cls tokens of all cells are alike at the start,
    cosines between cells are 1, and the contrast finds no gradient.
    """
    return float(0.02 * (768 / width) ** 0.5)


def _initialise(module: nn.Module, *, spread: float) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=spread)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
