"""Soft conditional discretisation: one cell code out of a codebook generated from binary vectors.

Follows the equations of SoftCVQ (FoldToken, Gao et al., AAAI 2025) as CellVQ uses it (Wang et al.,
Nat Commun 2026).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Discretised(NamedTuple):
    """Result of the discretisation of ``n`` cells.

    Attributes
    ----------
    code
        (n,) index of the codebook entry.
    probability
        (n, n_codes) soft assignment.
    quantised
        (n, out_width) embedding after the codebook, gradient straight through.
    closeness
        (n,) cosine to the nearest code, with a gradient to the codebook only.
    """

    code: Tensor
    probability: Tensor
    quantised: Tensor
    closeness: Tensor


class SoftConditionalDiscretisation(nn.Module):
    r"""Discretise a cell embedding by cosine similarity to a generated codebook.

    With :math:`B \in \{0, 1\}^{2^K \times K}`, row :math:`k` the binary digits of :math:`k`, most
    significant first:

    .. math::

        C = \mathrm{normalise}(f(B)), \quad z = \mathrm{normalise}(W h + b), \quad
        s_k = \langle z, C_k \rangle, \quad p = \mathrm{softmax}(2 s / T)

    In training a code is drawn from :math:`p` and the result is
    :math:`z + a C - \mathrm{stop}(z)` with the straight-through one-hot :math:`a`; the gradient
    through the logits is taken as if :math:`T = 1`. At inference the code is the arg-max.

    Parameters
    ----------
    in_width, out_width
        Width of the cell embedding and of the output.
    n_bits, code_width, condition_width
        :math:`K`, width of the codebook vectors, and of the two hidden layers of :math:`f`.
    """

    bits: Tensor

    def __init__(
        self, in_width: int, out_width: int, *, n_bits: int, code_width: int, condition_width: int
    ) -> None:
        super().__init__()
        index = torch.arange(2**n_bits)
        digits = (index[:, None] >> torch.arange(n_bits - 1, -1, -1)) & 1
        self.register_buffer("bits", digits.float(), persistent=False)
        self.condition = nn.Sequential(
            nn.Linear(n_bits, condition_width),
            nn.LayerNorm(condition_width),
            nn.ReLU(),
            nn.Linear(condition_width, condition_width),
            nn.LayerNorm(condition_width),
            nn.ReLU(),
            nn.Linear(condition_width, code_width),
        )
        self.project = nn.Linear(in_width, code_width)
        self.expand = nn.Linear(code_width, out_width)

    def codebook(self) -> Tensor:
        """Return the codebook, (2 ** n_bits, code_width), rows of unit length."""
        return functional.normalize(self.condition(self.bits), dim=-1)

    def similarity(self, cells: Tensor, codebook: Tensor) -> Tensor:
        """Return cosines of cells and codes, (n, n_codes), in [-1, 1]."""
        return functional.normalize(self.project(cells), dim=-1) @ codebook.T

    def forward(
        self, cells: Tensor, temperature: float, generator: torch.Generator | None
    ) -> Discretised:
        """Draw codes (training); with ``generator=None`` take the most similar one."""
        codebook = self.codebook()
        z = functional.normalize(self.project(cells), dim=-1)
        similarity = z @ codebook.T
        nearest = similarity.argmax(dim=-1)
        closeness = (z.detach() * codebook[nearest]).sum(dim=-1)
        logits = 2 * (1 / temperature - 1) * similarity.detach() + 2 * similarity
        probability = logits.softmax(dim=-1)
        if generator is None:
            code = nearest
        else:
            drawn = torch.multinomial(probability.detach(), 1, generator=generator)
            code = drawn.squeeze(1)
        one_hot = functional.one_hot(code, codebook.shape[0]).to(probability.dtype)
        straight = probability + (one_hot - probability).detach()
        quantised = z + straight @ codebook - z.detach()
        return Discretised(code, probability, self.expand(quantised), closeness)


def codebook_spread(codebook: Tensor) -> Tensor:
    """Return the mean over codes of the largest cosine to another code; small is well spread."""
    cosine = codebook @ codebook.T
    cosine = cosine - 2 * torch.eye(len(codebook), dtype=codebook.dtype)
    return cosine.max(dim=1).values.mean()
