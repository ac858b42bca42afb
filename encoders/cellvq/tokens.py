"""Tokeniser: the expressed genes of a cell with their values, and two depth tokens."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from ..counts import COUNTS_PER_CELL

TARGET_DEPTH = float(np.log10(COUNTS_PER_CELL))

DEEPEST = 20_000.0
"""Counts of the deepest cells in training; deeper ones are thinned there to at most this."""


class Tokens(NamedTuple):
    """Expressed genes of a batch of cells, padded on the right.

    Attributes
    ----------
    gene
        (n, length) index of the gene in the model, 0 at padded positions.
    value
        (n, length) log1p of counts per 10,000.
    present
        (n, length) ``False`` at padded positions.
    depth
        (n, 2) source depth (log10 of the counts of the cell) and target depth (log10).
    """

    gene: Tensor
    value: Tensor
    present: Tensor
    depth: Tensor

    @property
    def length(self) -> Tensor:
        """Number of tokens of each cell, (n, 1) float."""
        return self.present.sum(dim=1, keepdim=True).float()


def tokenise(
    values: sparse.csr_matrix,
    source_totals: np.ndarray,
    target_depth: np.ndarray | float = TARGET_DEPTH,
) -> Tokens:
    """Return padded tokens of the rows of ``values`` (columns: genes of the model)."""
    counts = np.diff(values.indptr)
    length = max(int(counts.max(initial=0)), 1)
    position = np.arange(values.nnz) - np.repeat(values.indptr[:-1], counts)
    row = np.repeat(np.arange(values.shape[0]), counts)
    gene = np.zeros((values.shape[0], length), np.int64)
    value = np.zeros((values.shape[0], length), np.float32)
    present = np.zeros((values.shape[0], length), bool)
    gene[row, position] = values.indices
    value[row, position] = values.data
    present[row, position] = True
    depth = np.empty((values.shape[0], 2), np.float32)
    # Deeper cells than training saw are told apart by their genes, not by an unknown depth.
    depth[:, 0] = np.log10(np.clip(source_totals, 1, DEEPEST))
    depth[:, 1] = target_depth
    return Tokens(*(torch.from_numpy(item) for item in (gene, value, present, depth)))


def keep_top(values: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """Return at most ``most`` highest values a row; ties go to the lower column."""
    lengths = np.diff(values.indptr)
    if lengths.max(initial=0) <= most:
        return values
    row = np.repeat(np.arange(values.shape[0]), lengths)
    order = np.lexsort((values.indices, -values.data, row))
    rank = np.arange(values.nnz) - np.repeat(values.indptr[:-1], lengths)
    kept = np.sort(order[rank < most])
    matrix = sparse.coo_matrix(
        (values.data[kept], (row[kept], values.indices[kept])), shape=values.shape
    )
    return sparse.csr_matrix(matrix)


class SoftBins(nn.Module):
    """Value embedding by soft assignment to learned bins (auto-discretisation of scFoundation).

    ``u = LeakyReLU(w1 v + b1)``, ``weights = softmax(u + W2 u + b2)``, ``embedding = weights E``.

    Parameters
    ----------
    n_bins, width
        Number of bins and width of the embedding.
    """

    def __init__(self, n_bins: int, width: int) -> None:
        super().__init__()
        self.stretch = nn.Linear(1, n_bins)
        self.mix = nn.Linear(n_bins, n_bins)
        self.bins = nn.Parameter(torch.randn(n_bins, width) * 0.1)

    def forward(self, value: Tensor) -> Tensor:
        """Embed values of any shape; the width comes last."""
        u = nn.functional.leaky_relu(self.stretch(value.unsqueeze(-1)), 0.1)
        weights: Tensor = (u + self.mix(u)).softmax(dim=-1)
        return weights @ self.bins
