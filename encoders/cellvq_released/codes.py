"""Cell codes of the published CellVQ."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..codes import Assignment, assign
from .config import CodeSizes


def digits(n_bits: int) -> Tensor:
    """Return the binary digits of 0 .. 2 ** n_bits - 1, (2 ** n_bits, n_bits), highest bit first.

    Examples
    --------
    >>> digits(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    index = torch.arange(2**n_bits)
    return ((index[:, None] >> torch.arange(n_bits - 1, -1, -1)) & 1).float()


class CellCodes(nn.Module):
    r"""Discretisation of SoftCVQ (FoldToken, Gao et al., AAAI 2025) as CellVQ was published.

    With :math:`B` the binary digits of all codes and :math:`h` the highest value of each channel
    over the tokens of a cell:

    .. math::

        C = \mathrm{normalise}(f(B)), \quad z = \mathrm{normalise}(W h + b), \quad
        k = \arg\max_k \langle z, C_k \rangle

    The published inference draws the code at temperature 1e-8, which is the arg-max.

    Parameters
    ----------
    width
        Width of :math:`h`.
    sizes
        Sizes of the codebook and of :math:`f`.
    """

    embedding: Tensor

    def __init__(self, width: int, sizes: CodeSizes) -> None:
        super().__init__()
        self.register_buffer("embedding", torch.empty(2**sizes.n_bits, sizes.n_bits))
        given, modules = sizes.n_bits, list[nn.Module]()
        for _ in range(sizes.condition_layers - 1):
            modules.append(nn.Linear(given, sizes.condition_width))
            if sizes.normed:
                modules.append(nn.BatchNorm1d(sizes.condition_width))
            modules.append(nn.ReLU())
            given = sizes.condition_width
        modules.append(nn.Linear(given, sizes.code_width))
        self.embedding_mlp = nn.Sequential(*modules)
        self.proj = nn.Linear(width, sizes.code_width)
        # Leads back to the width of the decoder; part of every checkpoint.
        self.proj_inv = nn.Linear(sizes.code_width, width)

    def codebook(self) -> Tensor:
        """Return the codebook, (n_codes, code_width), rows of unit length."""
        return functional.normalize(self.embedding_mlp(self.embedding), dim=-1)

    def assign(self, cells: Tensor, codebook: Tensor) -> Assignment:
        """Return the codes of (n, width) cells: highest cosine, ties to the lowest index."""
        return assign(functional.normalize(self.proj(cells), dim=-1) @ codebook.T)
