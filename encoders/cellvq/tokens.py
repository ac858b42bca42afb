"""Tokeniser: the expressed genes of cells with their values, ragged, and two depth values."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..counts import COUNTS_PER_CELL

TARGET_DEPTH = float(np.log10(COUNTS_PER_CELL))

DEEPEST = 20_000.0
"""Counts of the deepest cells in training; deeper ones are thinned there to at most this."""


class Tokens(NamedTuple):
    """Expressed genes of a batch of cells, one after another without padding.

    Attributes
    ----------
    indptr
        (n + 1,) int64, where the genes of each cell begin.
    gene
        (nnz,) int64 index of the gene in the model.
    value
        (nnz,) log1p of counts per 10,000.
    length
        (n,) float32 number of expressed genes that the tokens stand for: more than there are
        tokens when a random sample of them is read.
    depth
        (n, 2) source depth (log10 of the counts of the cell) and target depth (log10).
    """

    indptr: Tensor
    gene: Tensor
    value: Tensor
    length: Tensor
    depth: Tensor


def tokenise(
    values: sparse.csr_matrix,
    totals: np.ndarray,
    *,
    target_depth: np.ndarray | float = TARGET_DEPTH,
    length: np.ndarray | None = None,
) -> Tokens:
    """Return the tokens of the rows of ``values`` (columns: genes of the model).

    Parameters
    ----------
    values
        CSR (n, n_genes) log1p of counts per 10,000.
    totals
        (n,) counts of each cell over the whole transcriptome.
    target_depth
        Depth asked for, log10.
    length
        Expressed genes that the tokens stand for; those given when not said.
    """
    if length is None:
        length = np.diff(values.indptr)
    return Tokens(
        torch.from_numpy(values.indptr.astype(np.int64)),
        torch.from_numpy(values.indices.astype(np.int64)),
        torch.from_numpy(values.data.astype(np.float32, copy=False)),
        torch.from_numpy(length.astype(np.float32)),
        depths(totals, target_depth),
    )


def depths(totals: np.ndarray, target_depth: np.ndarray | float = TARGET_DEPTH) -> Tensor:
    """Return source and target depth of cells, (n, 2), log10."""
    depth = np.empty((len(totals), 2), np.float32)
    # Deeper cells than training saw are told apart by their genes, not by an unknown depth.
    depth[:, 0] = np.log10(np.clip(totals, 1, DEEPEST))
    depth[:, 1] = target_depth
    return torch.from_numpy(depth)


def place_in_bins(value: Tensor, n_bins: int) -> tuple[Tensor, Tensor]:
    """Return the lower of the two value bins around each value, and the share of the upper.

    Bins are equally spaced from 0 to the largest possible value, log1p(10,000).
    """
    place = (value * ((n_bins - 1) / np.log1p(COUNTS_PER_CELL))).clamp(0, n_bins - 1 - 1e-4)
    lower = place.long()
    return lower, place - lower
