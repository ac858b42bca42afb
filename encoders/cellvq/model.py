"""The native CellVQ: a reader of genes, a discretisation, a decoder of counts.

The cell embedding starts as a truncated SVD of the corpus. The parts that depart from it start at
zero effect, so training can only move away from there where it helps.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..scd import SoftConditionalDiscretisation
from .config import CellVQConfig
from .full import FullReader
from .kernels import bag, dot
from .latent import LatentReader
from .tokens import Tokens

OWN_MOST = 5.0
"""Largest value of a gene, in deviations, that the components of a data set read."""


class Body(NamedTuple):
    """What the reader says of ``n`` cells.

    Attributes
    ----------
    cell
        (n, width) embedding.
    attention
        (nnz, n_readers) attention to each token; sums to 1 over the tokens of a cell.
    """

    cell: Tensor
    attention: Tensor


class Decoder(nn.Module):
    """Residual layers from a cell embedding to weights of the gene loadings."""

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.decoder_hidden
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            for _ in range(config.decoder_layers)
        )

    def forward(self, cell: Tensor) -> Tensor:
        """Map (n, width) to (n, width)."""
        for layer in self.layers:
            cell = cell + layer(cell)
        return cell


class CellVQ(nn.Module):
    """CellVQ: cells to embedding, attention, code and back to counts.

    Parameters
    ----------
    config
        Sizes.
    """

    centre: Tensor
    scale: Tensor
    profile: Tensor

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.loadings = nn.Parameter(torch.zeros(config.n_genes, width))
        self.register_buffer("scale", torch.ones(config.n_genes))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("profile", torch.full((config.n_genes,), 1 / config.n_genes))
        self.own_loadings = nn.Parameter(
            torch.zeros(config.n_genes, config.own_width), requires_grad=False
        )
        self.own_centre = nn.Parameter(torch.zeros(config.own_width), requires_grad=False)
        self.own_scale = nn.Parameter(torch.ones(config.n_genes), requires_grad=False)
        self.reader = FullReader(config) if config.reader == "full" else LatentReader(config)
        self.discretise = SoftConditionalDiscretisation(
            width + config.own_width,
            width + config.own_width,
            n_bits=config.n_bits,
            code_width=config.code_width,
            condition_width=config.condition_width,
        )
        self.decoder = Decoder(config)
        self.gene_bias = nn.Parameter(torch.full((config.n_genes,), -11.0))
        self.gene_log_dispersion = nn.Parameter(torch.zeros(config.n_genes))
        self.gene_dropout = nn.Parameter(torch.full((config.n_genes,), -3.0))
        self.dropout_slope = nn.Parameter(torch.zeros(1))
        # By place: a column of any name may be asked for, a module takes only some names.
        self.heads = nn.ModuleList(
            nn.Linear(width, len(values)) for values in config.properties.values()
        )

    def scaled(self, tokens: Tokens) -> Tensor:
        """Return values in units of the corpus deviation of their gene, (nnz,)."""
        return tokens.value / self.scale[tokens.gene]

    def read(self, tokens: Tokens) -> Body:
        """Return embedding and attention; no cell depends on the other cells."""
        return Body(*self.reader(tokens, self.scaled(tokens), self.loadings, self.centre))

    def own(self, tokens: Tokens) -> Tensor:
        """Return the components that adapting added, (n, own_width)."""
        scaled = (tokens.value / self.own_scale[tokens.gene]).clamp_max(OWN_MOST).unsqueeze(1)
        return bag(tokens.indptr, tokens.gene, scaled, self.own_loadings) - self.own_centre

    def decode(
        self, cell: Tensor, indptr: Tensor, gene: Tensor, totals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, dispersion and dropout logit of the counts of some genes of each cell.

        Only what is asked for is scored: expressed genes and a sample of the others.

        Parameters
        ----------
        cell
            (n, width) embedding.
        indptr, gene
            The genes asked for of each cell, ragged.
        totals
            (nnz,) counts of the cell of each entry; the mean is the expected count at that depth.
        """
        weight = self.decoder(cell) * self._unit
        return self._counts(dot(indptr, gene, weight, self.loadings), gene, totals)

    def decode_all(self, cell: Tensor, gene: Tensor, total: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, dispersion and dropout logit of the same genes in every cell.

        Parameters
        ----------
        cell
            (n, width) embedding.
        gene
            (n_asked,) genes.
        total
            Counts of a cell.

        Returns
        -------
        tuple
            Mean (n, n_asked), dispersion (n_asked,), dropout logit (n, n_asked).
        """
        weight = self.decoder(cell) * self._unit
        logits = weight @ self.loadings.index_select(0, gene).T
        return self._counts(logits, gene, torch.tensor(total))

    @property
    def _unit(self) -> float:
        return float(self.config.n_genes**0.5 * self.config.width**-0.5)

    def _counts(
        self, logits: Tensor, gene: Tensor, totals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits = logits + self.gene_bias.index_select(0, gene)
        mean = totals * torch.exp(logits.clamp(-25, 0))
        dispersion = torch.exp(self.gene_log_dispersion.index_select(0, gene).clamp(-6, 6))
        dropout = self.gene_dropout.index_select(0, gene) - self.dropout_slope * torch.log(mean)
        return mean.clamp(1e-6, 1e6), dispersion, dropout
