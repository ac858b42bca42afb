"""Run the encoder over many cells with the compiled cross-attention."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .kernel import cross_read, make_tables
from .model import PatchEncoder

CELLS_PER_CHUNK = 256
"""Cells computed at once; with the cap on the genes of a cell it bounds the memory."""


class Reading(NamedTuple):
    """What the encoder reads of some cells.

    Attributes
    ----------
    values
        CSR (n_cells, n_read) log1p of counts per 10,000, clipped where the model wants it; at most
        ``max_tokens`` entries a row.
    genes
        (n_read,) column in the data of each gene that is read, ascending.
    tokens
        (n_read,) its row in the gene table.
    """

    values: sparse.csr_matrix
    genes: np.ndarray
    tokens: np.ndarray


class Chunk(NamedTuple):
    """Some consecutive cells after the cross-attention.

    Attributes
    ----------
    cells
        Their rows.
    update
        (n, n_patches, width) what each patch read, before it is added to the patch and normalised.
    attention
        CSR (n, n_read) mean weight over patches and heads, rows sum to 1.
    """

    cells: slice
    update: Tensor
    attention: sparse.csr_matrix


def read_genes(model: PatchEncoder, reading: Reading) -> Iterator[Chunk]:
    """Yield what the patches read, chunk by chunk."""
    tables = make_tables(model, reading.tokens)
    for start in range(0, reading.values.shape[0], CELLS_PER_CHUNK):
        values = reading.values[start : start + CELLS_PER_CHUNK]
        context, weights = cross_read(values, tables)
        with torch.no_grad():
            update = model.read.attn.out_proj(torch.from_numpy(context))
        attention = sparse.csr_matrix((weights, values.indices, values.indptr), values.shape)
        yield Chunk(slice(start, start + values.shape[0]), update, attention)


@torch.no_grad()
def patches_after(model: PatchEncoder, update: Tensor) -> Tensor:
    """Return the finished patches, (n, n_patches, width), from what they read."""
    start = model.start.expand(len(update), -1, -1)
    return model.exchange(model.read.finish(start, update))
