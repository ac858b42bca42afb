"""The decoder that training needs: a gene asks the patches for its value."""

from torch import Tensor, nn

from .config import CellPatchConfig
from .model import Block


class PromptDecoder(nn.Module):
    r"""Gene-prompt decoder of CellPatch.

    .. math::

        Z = W_d P + b_d, \quad
        H = \mathrm{block}(E_g, W_u Z + b_u), \quad
        \hat v = w \cdot \mathrm{block}(H, H) + b

    with the bottleneck ``Z`` of few components and the table rows :math:`E_g` of the genes asked
    for as queries.
    """

    def __init__(self, config: CellPatchConfig) -> None:
        super().__init__()
        self.narrow = nn.Linear(config.width, config.bottleneck)
        self.widen = nn.Linear(config.bottleneck, config.width)
        self.ask = Block(config)
        self.settle = Block(config)
        self.out = nn.Linear(config.width, 1)

    def forward(self, patches: Tensor, prompt: Tensor, present: Tensor) -> Tensor:
        """Return the value of each gene asked for, (n, length).

        Parameters
        ----------
        patches
            (n, n_patches, width).
        prompt
            (n, length, width) table rows of the genes.
        present
            (n, length) ``False`` at padded genes.
        """
        asked = self.ask(prompt, self.widen(self.narrow(patches)))
        values: Tensor = self.out(self.settle(asked, asked, present)).squeeze(-1)
        return values
