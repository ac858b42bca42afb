"""Tokens of a cell: the two depths, then its expressed genes."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..counts import COUNTS_PER_CELL

TARGET_DEPTH = float(np.log10(COUNTS_PER_CELL))
"""Depth the model is asked for, log10 counts; what the published inference uses."""

N_DEPTHS = 2
"""Depth tokens in front of the genes: target, then source."""


class Tokens(NamedTuple):
    """Tokens of a batch of cells: target depth, source depth, genes, padding on the right.

    The published code puts the depths last. The order of tokens changes no result, since a token
    is told apart by its position number alone; in front, padding cannot move them.

    Attributes
    ----------
    position
        (n, length) index of the gene; ``n_genes`` and ``n_genes + 1`` for the target and source
        depth, ``n_genes + 2`` for padding.
    value
        (n, length) log1p of counts per 10,000; log10 counts for the depths; 0 for padding.
    present
        (n, length) ``False`` at padded positions.
    """

    position: Tensor
    value: Tensor
    present: Tensor


def tokenise(values: sparse.csr_matrix, totals: np.ndarray) -> Tokens:
    """Return the tokens of cells.

    Parameters
    ----------
    values
        CSR (n, n_genes) log1p of counts per 10,000; the expressed genes are its entries.
    totals
        (n,) counts of each cell; the source depth is their log10, 0 for a cell without counts.
    """
    n, n_genes = values.shape
    lengths = np.diff(values.indptr)
    # One gene column at least, so that pooling over genes never meets an empty axis.
    width = N_DEPTHS + max(int(lengths.max(initial=0)), 1)
    position = np.full((n, width), n_genes + 2, np.int64)
    value = np.zeros((n, width), np.float32)
    present = np.zeros((n, width), bool)
    position[:, 0], position[:, 1] = n_genes, n_genes + 1
    value[:, 0] = TARGET_DEPTH
    value[:, 1] = np.log10(np.maximum(totals, 1))
    present[:, :N_DEPTHS] = True
    row = np.repeat(np.arange(n), lengths)
    place = N_DEPTHS + np.arange(values.nnz) - np.repeat(values.indptr[:-1], lengths)
    position[row, place] = values.indices
    value[row, place] = values.data
    present[row, place] = True
    return Tokens(*(torch.from_numpy(item) for item in (position, value, present)))
