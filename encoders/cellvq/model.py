"""The native CellVQ: latent tokens read expressed genes, codes are discretised, counts decoded.

The body starts as the corpus SVD. Every latent token reads the same sum of gene loadings times
scaled values, because attention is uniform; the parts that depart from it (queries, self-attention
among latents) start at zero effect. Training can only move away from there where it helps.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import CellVQConfig
from .scd import SoftConditionalDiscretisation
from .tokens import SoftBins, Tokens


class Body(NamedTuple):
    """What the body of the encoder says of ``n`` cells.

    Attributes
    ----------
    cell
        (n, width) embedding: the latent tokens pooled with learned shares per component.
    attention
        (n, n_latents, length) attention of each latent token, rows sum to 1.
    latents
        (n, n_latents, width) latent tokens.
    """

    cell: Tensor
    attention: Tensor
    latents: Tensor


class LatentLayer(nn.Module):
    """Self-attention among latent and depth tokens, pre-norm, with zero effect at the start."""

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.attend = nn.MultiheadAttention(config.width, config.n_heads, batch_first=True)
        self.norm_hidden = nn.LayerNorm(config.width)
        last = nn.Linear(config.hidden, config.width)
        self.hidden = nn.Sequential(nn.Linear(config.width, config.hidden), nn.GELU(), last)
        for layer in (self.attend.out_proj, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents: Tensor, depth: Tensor, identity: Tensor) -> Tensor:
        """Update (n, n_latents, width) latents; depth tokens (n, 2, width) are only read."""
        query = self.norm(latents) + identity
        known = torch.cat([query, depth], dim=1)
        latents = latents + self.attend(query, known, known, need_weights=False)[0]
        mixed: Tensor = latents + self.hidden(self.norm_hidden(latents))
        return mixed


class CellVQ(nn.Module):
    """CellVQ with learned latent tokens, linear in the expressed genes of a cell.

    Parameters
    ----------
    config
        Sizes.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        self.config = config
        width, key = config.width, config.key_width
        self.loadings = nn.Parameter(torch.zeros(config.n_genes, width))
        self.register_buffer("scale", torch.ones(config.n_genes))
        self.register_buffer("centre", torch.zeros(width))
        self.own_loadings = nn.Parameter(
            torch.zeros(config.n_genes, config.own_width), requires_grad=False
        )
        self.own_centre = nn.Parameter(torch.zeros(config.own_width), requires_grad=False)
        self.gene_key = nn.Linear(width, key, bias=False)
        self.value_key = SoftBins(config.n_bins, key)
        self.query = nn.Parameter(torch.zeros(config.n_latents, key))
        # Normalised, because cells deeper than those of training must not saturate attention.
        self.query_norm = nn.LayerNorm(width)
        self.query_cell = nn.Linear(width, config.n_latents * key)
        nn.init.zeros_(self.query_cell.weight)
        nn.init.zeros_(self.query_cell.bias)
        self.identity = nn.Parameter(torch.randn(config.n_latents, width) * 0.1)
        self.depth = nn.Linear(1, width)
        self.depth_identity = nn.Parameter(torch.randn(2, width) * 0.1)
        self.layers = nn.ModuleList(LatentLayer(config) for _ in range(config.n_layers))
        # Shares sum to one over latents, so pooling identical latents changes nothing; they differ
        # from the start, or all latents would learn the same.
        self.pool = nn.Parameter(torch.randn(config.n_latents, width))
        self.discretise = SoftConditionalDiscretisation(
            width + config.own_width,
            width,
            n_bits=config.n_bits,
            code_width=config.code_width,
            condition_width=config.condition_width,
        )
        with torch.no_grad():
            self.discretise.project.weight[:, width:] = 0
        self.decoder = nn.Sequential(
            nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, width)
        )
        self.gene_bias = nn.Parameter(torch.full((config.n_genes,), -11.0))
        self.gene_log_dispersion = nn.Parameter(torch.zeros(config.n_genes))
        self.gene_dropout = nn.Parameter(torch.full((config.n_genes,), -3.0))
        self.dropout_slope = nn.Parameter(torch.zeros(1))

    def scaled(self, tokens: Tokens) -> Tensor:
        """Return values in units of the corpus deviation of their gene, (n, length)."""
        return tokens.value / self.scale[tokens.gene] * tokens.present

    def read(self, tokens: Tokens) -> Body:
        """Return embedding, attention and latents of a batch.

        Padded positions get exactly zero attention, so a cell's result does not depend on the
        other cells of its batch.
        """
        loadings = nn.functional.embedding(tokens.gene, self.loadings)
        values = self.scaled(tokens)
        first = torch.bmm(values.unsqueeze(1), loadings).squeeze(1) - self.centre
        n = len(tokens.gene)
        # Keys of gene and value add; a root-mean-square of one per gene keeps scores tame.
        unit = self.config.n_genes**0.5 * self.gene_key.weight.shape[1] ** -0.5
        key = self.gene_key(loadings * unit) + self.value_key(tokens.value)
        queries = self.query + self.query_cell(self.query_norm(first)).view(
            n, self.config.n_latents, -1
        )
        scores = torch.bmm(queries, key.transpose(1, 2)) * self.config.key_width**-0.5
        present = tokens.present.unsqueeze(1)
        # Not -inf: a cell without any token would turn into NaN.
        scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
        attention = scores.softmax(dim=-1) * present
        weights = attention * values.unsqueeze(1) * tokens.length.unsqueeze(1)
        latents = torch.bmm(weights, loadings) - self.centre
        depth = self.depth(tokens.depth.unsqueeze(-1)) + self.depth_identity
        for layer in self.layers:
            latents = layer(latents, depth, self.identity)
        share = self.pool.softmax(dim=0)
        return Body((latents * share).sum(dim=1), attention, latents)

    def latent_weights(self, body: Body) -> Tensor:
        """Return how much each latent token contributes to the embedding, (n, n_latents), sum 1.

        The contribution is the summed absolute value of the pooled components it brings.
        """
        brought = (body.latents * self.pool.softmax(dim=0)).abs().sum(dim=2)
        return brought / brought.sum(dim=1, keepdim=True).clamp_min(1e-12)

    def own(self, tokens: Tokens) -> Tensor:
        """Return the components that adapting added, (n, own_width)."""
        loadings = nn.functional.embedding(tokens.gene, self.own_loadings)
        own = torch.bmm(self.scaled(tokens).unsqueeze(1), loadings).squeeze(1)
        return own - self.own_centre

    def whole(self, body: Body, tokens: Tokens) -> Tensor:
        """Return the full cell embedding, (n, width + own_width)."""
        return torch.cat([body.cell, self.own(tokens)], dim=1)

    def decode(self, cell: Tensor, genes: Tensor, totals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, dispersion and dropout logit of counts for cells and some genes.

        Parameters
        ----------
        cell
            (n, width) embedding or quantised embedding.
        genes
            (m,) indices of genes.
        totals
            (n, 1) counts of a cell; the mean is the expected count at that depth.
        """
        unit = self.config.n_genes**0.5 * self.config.width**-0.5
        table = self.loadings[genes] * unit
        logits = self.decoder(cell) @ table.T + self.gene_bias[genes]
        mean = totals * torch.exp(logits.clamp(-25, 0))
        dispersion = torch.exp(self.gene_log_dispersion[genes].clamp(-6, 6))
        dropout = self.gene_dropout[genes] - self.dropout_slope * torch.log(mean)
        return mean.clamp(1e-6, 1e6), dispersion, dropout
