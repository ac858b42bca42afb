"""A low-rank gene-gene prior that can be looked at."""

import torch
from torch import Tensor, nn


class GenePrior(nn.Module):
    r"""What a gene takes over from other genes: :math:`\sum_j G_{gj} P_j` with :math:`G = U V^T`.

    The released CellVQ holds all of :math:`G`, 371 million numbers, behind a free linear layer, so
    that its entries have no meaning of their own. Here :math:`G` acts on the gene positions
    :math:`P` directly and has a low rank. It starts at zero.

    Parameters
    ----------
    n_genes, rank
        Shape of :math:`U` and :math:`V`.
    """

    def __init__(self, n_genes: int, rank: int) -> None:
        super().__init__()
        self.taken = nn.Parameter(torch.zeros(n_genes, rank))
        self.given = nn.Parameter(torch.randn(n_genes, rank) * (n_genes * rank) ** -0.5)

    def forward(self, positions: Tensor) -> Tensor:
        """Return the prior part of each gene, like ``positions`` (n_genes, width)."""
        return self.taken @ (self.given.T @ positions)

    @torch.no_grad()
    def weights(self, genes: Tensor) -> Tensor:
        """Return ``G`` among some genes, (m, m): row takes over from column."""
        return self.taken[genes] @ self.given[genes].T
