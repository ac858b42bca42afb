"""The reader of the large CellVQ: self-attention among all expressed genes and two depth tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import CellVQConfig
from .kernels import bag
from .prior import GenePrior
from .tokens import Tokens, place_in_bins


class FullLayer(nn.Module):
    """A pre-norm layer of self-attention through the fused kernel of torch."""

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        width = config.token_width
        self.n_heads = config.n_heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_hidden = nn.LayerNorm(width)
        self.hidden = nn.Sequential(
            nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, width)
        )

    def forward(self, states: Tensor, present: Tensor) -> Tensor:
        """Update (n, length, width) states; positions that are not present are not attended."""
        query, key, value = self._split(states)
        mask = present[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        states = states + self.out(mixed.transpose(1, 2).flatten(2))
        updated: Tensor = states + self.hidden(self.norm_hidden(states))
        return updated

    def weights(self, states: Tensor, present: Tensor, queries: slice) -> Tensor:
        """Return the attention of some positions, mean over heads: (n, queries, length)."""
        query, key, _ = self._split(states)
        logits = query[:, :, queries] @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        logits = logits.masked_fill(~present[:, None, None, :], -torch.inf)
        weights: Tensor = logits.softmax(dim=-1).mean(dim=1)
        return weights

    def _split(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, length, _ = states.shape
        qkv = self.qkv(self.norm(states)).view(n, length, 3, self.n_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value


class FullReader(nn.Module):
    """Self-attention among expressed genes; starts as the linear embedding the loadings define.

    Tokens are the sum of a value embedding (interpolated between value bins), a gene position and
    the gene prior. What attention finds is pooled (mean and maximum over genes, and the two depth
    tokens) and added to the linear embedding by a layer that starts at zero.

    Parameters
    ----------
    config
        Sizes.
    """

    def __init__(self, config: CellVQConfig) -> None:
        super().__init__()
        width = config.token_width
        self.n_bins = config.n_bins
        self.position = nn.Embedding(config.n_genes, width)
        nn.init.normal_(self.position.weight, std=0.1)
        self.prior = GenePrior(config.n_genes, config.prior_rank)
        self.bins = nn.Parameter(torch.randn(config.n_bins, width) * 0.1)
        self.depth = nn.Linear(1, width)
        self.depth_identity = nn.Parameter(torch.randn(2, width) * 0.1)
        self.layers = nn.ModuleList(FullLayer(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(4 * width, config.width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def states(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return padded input states, depth tokens first, and which positions are present."""
        lengths = tokens.indptr[1:] - tokens.indptr[:-1]
        longest = max(int(lengths.max()), 1)
        column = torch.arange(longest, device=lengths.device)
        present = column < lengths.unsqueeze(1)
        position = self.position.weight
        table = position + self.prior(position)
        lower, share = place_in_bins(tokens.value, self.n_bins)
        share = share.unsqueeze(1)
        value = self.bins[lower] * (1 - share) + self.bins[lower + 1] * share
        genes = table.new_zeros(len(lengths), longest, table.shape[1])
        genes[present] = (value + table[tokens.gene]).to(genes.dtype)
        depth = self.depth(tokens.depth.unsqueeze(-1)) + self.depth_identity
        always = present.new_ones(len(lengths), 2)
        return torch.cat([depth, genes], dim=1), torch.cat([always, present], dim=1)

    def forward(
        self, tokens: Tokens, scaled: Tensor, loadings: Tensor, centre: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the cell embedding (n, width) and the attention of the depth tokens (nnz, 1).

        The arguments are those of :meth:`scypher.encoders.cellvq.latent.LatentReader.forward`; the
        attention is that of the last layer, over genes alone, and sums to 1 a cell.
        """
        states, present = self.states(tokens)
        attention = states.new_zeros(present.shape)
        layers = [layer for layer in self.layers if isinstance(layer, FullLayer)]
        for layer in layers:
            if layer is layers[-1]:
                attention = layer.weights(states, present, slice(0, 2)).mean(dim=1)
            states = layer(states, present)
        states = self.norm(states)
        genes = present[:, 2:]
        attention = attention[:, 2:] * genes
        attention = attention / attention.sum(dim=1, keepdim=True).clamp_min(1e-12)
        inner = states[:, 2:] * genes.unsqueeze(2)
        mean = inner.sum(dim=1) / genes.sum(dim=1, keepdim=True).clamp_min(1)
        low = torch.finfo(states.dtype).min
        highest = states[:, 2:].masked_fill(~genes.unsqueeze(2), low).amax(dim=1)
        # A cell without genes has no highest value.
        highest = highest * genes.any(dim=1, keepdim=True)
        pooled = torch.cat([states[:, 0], states[:, 1], mean, highest], dim=1)
        linear = bag(tokens.indptr, tokens.gene, self._sampled(tokens, scaled), loadings) - centre
        return linear + self.leave(pooled), attention[genes].unsqueeze(1)

    @staticmethod
    def _sampled(tokens: Tokens, scaled: Tensor) -> Tensor:
        """Return the weights of the linear embedding: a sample of genes stands for all of them."""
        lengths = tokens.indptr[1:] - tokens.indptr[:-1]
        factor = tokens.length / lengths.clamp_min(1)
        return (torch.repeat_interleave(factor, lengths) * scaled).unsqueeze(1)
