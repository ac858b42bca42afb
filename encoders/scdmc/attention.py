"""Attention with a linear penalty on distance: a fast path, and one that shows the weights."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

_HIDDEN = -1e4
"""Score of a padded key; its weight is zero in every precision, 16 bits included."""

_SPARE = 8
"""Components added to carry that score; eight, because fast kernels want widths of that unit."""


class Bias(NamedTuple):
    """What is added to the scores of attention.

    Attributes
    ----------
    distance
        (1, n_heads, length, length) penalty on distance, or ``None`` where order means nothing.
    present
        (n, length) ``False`` at padded positions.
    """

    distance: Tensor | None
    present: Tensor


def alibi_slopes(n_heads: int) -> Tensor:
    r"""Return the slope of each head (Press et al., ICLR 2022).

    .. math:: m_h = 2^{-8 h / H}, \quad h = 1, \dots, H

    for a power of two; else the slopes of the next lower power of two, followed by every second
    slope of twice that.

    Examples
    --------
    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    power = 2 ** math.floor(math.log2(n_heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    between = [2 ** (-8 * (head + 1) / (2 * power)) for head in range(0, 2 * power, 2)]
    return torch.tensor(slopes + between[: n_heads - power])


def alibi(n_heads: int, length: int, device: torch.device) -> Tensor:
    r"""Return the symmetric penalty :math:`-m_h |i - j|`, (1, n_heads, length, length).

    Symmetric as in MosaicBERT (Portes et al., NeurIPS 2023), because a cell is read both ways.
    """
    place = torch.arange(length, device=device)
    distance = (place[:, None] - place).abs().float()
    return (-alibi_slopes(n_heads).to(device)[:, None, None] * distance).unsqueeze(0)


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, bias: Bias, dropout: float = 0.0
) -> Tensor:
    """Return mixed values (n, n_heads, length, size), never holding weights of all pairs.

    With a penalty on distance, padded keys get their score from spare components of queries and
    keys: the penalty is then the same for all cells, and is held once instead of once a cell.

    Parameters
    ----------
    query, key, value
        (n, n_heads, length, size).
    bias
        What is added to the scores.
    dropout
        Share of the weights that are dropped.
    """
    fast = nn.functional.scaled_dot_product_attention
    if bias.distance is None:
        mixed: Tensor = fast(
            query, key, value, attn_mask=bias.present[:, None, None], dropout_p=dropout
        )
        return mixed
    size = query.shape[-1]
    spare = query.new_zeros(*query.shape[:-1], _SPARE)
    asks, says = spare.clone(), spare.clone()
    # The scores are divided by the root of the size, so one side is multiplied by it.
    asks[..., 0] = size**0.5
    says[..., 0] = (~bias.present)[:, None] * _HIDDEN
    mixed = fast(
        torch.cat([query, asks], dim=-1),
        torch.cat([key, says], dim=-1),
        torch.cat([value, spare], dim=-1),
        attn_mask=bias.distance.to(query.dtype).expand(len(query), -1, -1, -1),
        dropout_p=dropout,
        scale=size**-0.5,
    )
    return mixed[..., :size]


def weigh(query: Tensor, key: Tensor, bias: Bias) -> Tensor:
    """Return the weights of the first queries (n, n_heads, n_queries, length); rows sum to 1.

    The slow path: it holds one number for each pair, so ask for few queries or few cells.

    Parameters
    ----------
    query
        (n, n_heads, n_queries, size) those of the first positions.
    key
        (n, n_heads, length, size).
    bias
        What is added to the scores.
    """
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if bias.distance is not None:
        scores = scores + bias.distance[:, :, : query.shape[2]]
    weights: Tensor = scores.masked_fill(~bias.present[:, None, None], -math.inf).softmax(dim=-1)
    return weights
