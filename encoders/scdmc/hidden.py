"""The loss of hidden genes, in pieces that fit into memory."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from .model import Prediction

SCORES_AT_ONCE = 2**25
"""Scores of tokens held at once: with 60,000 tokens those of all hidden genes would not fit."""


def hidden_gene_loss(
    head: Prediction, table: Tensor, hidden: Tensor, *, target: Tensor, weight: Tensor | None
) -> Tensor:
    r"""Return the mean cross-entropy of hidden genes, nats.

    .. math:: \frac1m \sum_{i=1}^m -w_i \log p_i(\text{gene}_i)

    Divided by the number m of hidden genes; the published loss divides by the number of all
    attended tokens, which makes it depend on the share that is hidden.

    Parameters
    ----------
    head
        Scores tokens.
    table
        (n_tokens, width) word table.
    hidden
        (m, width) what the body says at the hidden positions.
    target
        (m,) ids of the hidden genes.
    weight
        (m,) :math:`w_i`, or ``None`` for ones.
    """
    size = max(1, SCORES_AT_ONCE // len(table))
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, len(hidden), size):
        piece = slice(start, start + size)
        part = None if weight is None else weight[piece]
        # Scores are computed again for the gradient instead of being kept.
        total = total + checkpoint(
            _summed, head, table, hidden[piece], target[piece], part, use_reentrant=False
        )
    return total / max(1, len(hidden))


def _summed(
    head: Prediction, table: Tensor, hidden: Tensor, target: Tensor, weight: Tensor | None
) -> Tensor:
    loss = cross_entropy(head(hidden, table).float(), target, reduction="none")
    return loss.sum() if weight is None else (loss * weight).sum()
