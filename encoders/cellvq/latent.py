"""The reader of the small CellVQ: learned latent tokens read expressed genes by cross-attention."""

import torch
from torch import Tensor, nn

from .config import CellVQConfig
from .kernels import bag, cell_of_entry, ragged_softmax
from .prior import GenePrior
from .tokens import Tokens, place_in_bins


class LatentLayer(nn.Module):
    """Self-attention among latent and depth tokens, pre-norm."""

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        width = config.token_width
        self.norm = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, config.n_heads, batch_first=True)
        self.norm_hidden = nn.LayerNorm(width)
        self.hidden = nn.Sequential(
            nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, width)
        )

    def forward(self, latents: Tensor, depth: Tensor) -> Tensor:
        """Update (n, n_latents, token_width) latents; depth tokens (n, 2, width) are only read."""
        query = self.norm(latents)
        known = torch.cat([query, depth], dim=1)
        latents = latents + self.attend(query, known, known, need_weights=False)[0]
        mixed: Tensor = latents + self.hidden(self.norm_hidden(latents))
        return mixed


class LatentReader(nn.Module):
    r"""Latent tokens that read genes; gene and value parts of a key add.

    With loadings :math:`W`, latent queries :math:`q_l`, gene keys :math:`k_g` and value keys
    :math:`b_v`, a gene of value :math:`v` is read with

    .. math::

        a_{l} = \mathrm{softmax}\big(\tau \tanh(q_l \cdot k_g / \tau)
              + \tau \tanh(q_l \cdot b_v / \tau)\big), \quad
        z_{lc} = n \sum_g a_{lg} \frac{v_g}{\sigma_g} W_{gc} - \mu_c

    over the :math:`n` expressed genes of the cell, :math:`c` in the slice of latent :math:`l`. Both
    parts of a logit are table look-ups. Queries start at zero: attention is uniform and :math:`z`
    is the linear embedding that the loadings define. Layers of self-attention among the latents
    follow, whose output starts at zero and stays between -1 and 1, the deviation of a component.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        self.config = config
        key, token = config.key_width, config.token_width
        self.gene_key = nn.Linear(config.width, key, bias=False)
        self.prior = GenePrior(config.n_genes, config.prior_rank)
        self.value_key = nn.Parameter(torch.randn(config.n_bins, key) * 0.1)
        self.query = nn.Parameter(torch.zeros(config.n_latents, key))
        self.enter = nn.Linear(config.width // config.n_latents, token)
        self.identity = nn.Parameter(torch.randn(config.n_latents, token) * 0.1)
        self.depth = nn.Linear(1, token)
        self.depth_identity = nn.Parameter(torch.randn(2, token) * 0.1)
        self.layers = nn.ModuleList(LatentLayer(config) for _ in range(config.n_layers))
        self.leave = nn.Linear(token, config.width // config.n_latents)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def tables(self, loadings: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of genes (n_genes, n_latents) and of value bins (n_bins, n_latents)."""
        # A root-mean-square of one per gene keeps the logits tame, whatever the loadings' unit.
        positions = self.gene_key(loadings * loadings.shape[0] ** 0.5)
        keys = positions + self.prior(positions)
        query = self.query.T * self.config.key_width**-0.5
        bound = self.config.bound
        return (
            bound * torch.tanh(keys @ query / bound),
            bound * torch.tanh(self.value_key @ query / bound),
        )

    def attention(self, tokens: Tokens, loadings: Tensor) -> Tensor:
        """Return the attention of each latent to each token, (nnz, n_latents); sums to 1 a cell."""
        genes, bins = self.tables(loadings)
        lower, share = place_in_bins(tokens.value, self.config.n_bins)
        share = share.unsqueeze(1)
        # Its gradient is added up far faster than that of indexing.
        below, above = bins.index_select(0, lower), bins.index_select(0, lower + 1)
        values = below * (1 - share) + above * share
        return ragged_softmax(tokens.indptr, genes.index_select(0, tokens.gene) + values)

    def forward(
        self, tokens: Tokens, scaled: Tensor, loadings: Tensor, centre: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the cell embedding (n, width) and the attention (nnz, n_latents).

        Parameters
        ----------
        tokens
            Expressed genes.
        scaled
            (nnz,) values in units of the deviation of their gene.
        loadings, centre
            Tables of the model.
        """
        attention = self.attention(tokens, loadings)
        unit = (tokens.length[cell_of_entry(tokens.indptr)] * scaled).unsqueeze(1)
        read = bag(tokens.indptr, tokens.gene, attention * unit, loadings) - centre
        return self.mix(read, tokens.depth), attention

    def mix(self, read: Tensor, depth: Tensor) -> Tensor:
        """Let the latents exchange what they read: (n, width) -> (n, width)."""
        slices = read.view(len(read), self.config.n_latents, -1)
        latents = self.enter(slices) + self.identity
        known = self.depth(depth.unsqueeze(-1)) + self.depth_identity
        for layer in self.layers:
            latents = layer(latents, known)
        # Bounded, so that a tissue unlike the corpus keeps its linear embedding in the main.
        mixed: Tensor = (slices + torch.tanh(self.leave(latents))).flatten(1)
        return mixed
