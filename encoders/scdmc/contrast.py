"""The contrast between what the two streams say of a cell."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize


def info_nce(query: Tensor, key: Tensor, past: Tensor, *, tau: float) -> Tensor:
    r"""Return the symmetric InfoNCE loss of cells (van den Oord et al., 2018).

    .. math::

        \tfrac12 \left[ -\tfrac1n \sum_i \log
        \frac{e^{q_i k_i / \tau}}{\sum_j e^{q_i k_j / \tau} + \sum_p e^{q_i p / \tau}}
        - \tfrac1n \sum_i \log \frac{e^{q_i k_i / \tau}}{\sum_j e^{q_j k_i / \tau}} \right]

    with unit :math:`q_i, k_i`: the products are cosines. Only queries meet past keys: there are no
    past queries for keys to meet.

    Parameters
    ----------
    query, key
        (n, width), row i of both is the same cell.
    past
        (m, width) unit keys of other cells; m may be 0.
    tau
        Temperature, positive.

    Returns
    -------
    Tensor
        Nats, a scalar.
    """
    # Added up in 32 bits: a temperature of 0.07 leaves nothing to the rounding of 16.
    unit_query, unit_key = normalize(query.float(), dim=1), normalize(key.float(), dim=1)
    scores = unit_query @ unit_key.T / tau
    more = unit_query @ past.T / tau
    target = torch.arange(len(query), device=query.device)
    forth = cross_entropy(torch.cat([scores, more], dim=1), target)
    return 0.5 * (forth + cross_entropy(scores.T, target))


class PastKeys(nn.Module):
    """The latest unit keys, first in, first out; part of the state of a run.

    Parameters
    ----------
    size, width
        Keys held at most, and their width.
    """

    keys: Tensor
    pushed: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, width))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def forward(self) -> Tensor:
        """Return the keys held, (m, width)."""
        return self.keys[: min(int(self.pushed), len(self.keys))]

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Add keys (n, width) of any length; the oldest make room."""
        size = len(self.keys)
        if not size:
            return
        latest = keys[-size:]
        first = int(self.pushed) + len(keys) - len(latest)
        place = (first + torch.arange(len(latest), device=self.keys.device)) % size
        self.keys[place] = normalize(latest.float(), dim=1)
        self.pushed += len(keys)
