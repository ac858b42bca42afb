"""Lists of genes of unequal length as padded tensors."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Tokens(NamedTuple):
    """Genes of ``n`` cells, padded on the right.

    Attributes
    ----------
    gene
        (n, length) rows of the gene table, 0 at padded positions.
    value
        (n, length) log1p of counts per 10,000, 0 at padded positions.
    present
        (n, length) ``False`` at padded positions.
    """

    gene: Tensor
    value: Tensor
    present: Tensor


def pad(row: np.ndarray, gene: np.ndarray, value: np.ndarray, n: int) -> Tokens:
    """Return the tokens of ``n`` cells.

    Parameters
    ----------
    row, gene, value
        (m,) cell, row of the gene table and value of each token; cells ascend.
    n
        Number of cells.
    """
    lengths = np.bincount(row, minlength=n)
    shape = n, max(int(lengths.max(initial=0)), 1)
    position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded: list[np.ndarray] = [np.zeros(shape, kind) for kind in (np.int64, np.float32, bool)]
    for array, content in zip(padded, (gene, value, True), strict=True):
        array[row, position] = content
    return Tokens(*(torch.from_numpy(array) for array in padded))
