"""Vectors of the values of genes."""

import torch
from torch import Tensor, nn


class SoftBins(nn.Module):
    r"""Soft assignment of values to learned bins (Hao et al., Nature Methods 2024, scFoundation).

    .. math::

        u = \mathrm{LeakyReLU}_{0.1}(w_1 v + b_1), \quad
        e(v) = \mathrm{softmax}(u + W_2 u + b_2)\, E

    Parameters
    ----------
    n_bins, width
        Number of bins and width of their vectors.
    spread
        Standard deviation of the first vectors.
    """

    def __init__(self, n_bins: int, width: int, *, spread: float) -> None:
        super().__init__()
        self.stretch = nn.Linear(1, n_bins)
        self.mix = nn.Linear(n_bins, n_bins)
        self.bins = nn.Parameter(torch.randn(n_bins, width) * spread)

    def forward(self, value: Tensor) -> Tensor:
        """Return vectors (..., width) of values (...)."""
        u = nn.functional.leaky_relu(self.stretch(value.unsqueeze(-1)), 0.1)
        weights: Tensor = (u + self.mix(u)).softmax(dim=-1)
        return weights @ self.bins
