"""Run a trained CellVQ over many cells: embedding and attention, in chunks."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..base import Progress
from ..reading import TOP_ATTENDED
from .fused import FusedReader
from .kernels import cell_of_entry
from .latent import LatentReader
from .model import CellVQ
from .tokens import depths, tokenise
from .top import top_of_rows

TOKENS_PER_CHUNK = 400_000
"""Genes read at once; bounds the memory."""


@torch.no_grad()
def read_cells(
    model: CellVQ,
    values: sparse.csr_matrix,
    totals: np.ndarray,
    *,
    progress: Progress = lambda what, done, total: None,
) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the embedding (n, width) and the top attention of each cell (n, n_genes).

    Attention is the mean over latent tokens, times the number of genes read: 1 means uniform. What
    is below the top leaves with the chunk, so that memory stays flat in the number of cells.

    Parameters
    ----------
    model
        In evaluation mode, on the CPU.
    values
        CSR (n, n_genes of the model) log1p of counts per 10,000.
    totals
        (n,) counts of each cell over the whole transcriptome.
    progress
        Told how far it is.
    """
    n = values.shape[0]
    embedding = np.empty((n, model.config.width), np.float32)
    parts = []
    start = 0
    read = _reader_of(model)
    while start < n:
        limit = values.indptr[start] + TOKENS_PER_CHUNK
        stop = max(start + 1, int(np.searchsorted(values.indptr, limit, side="right")) - 1)
        embedding[start:stop], *kept = read(values[start:stop], totals[start:stop])
        parts.append(kept)
        start = stop
        progress("encoding cells", start, n)
    counts, genes, weights = (np.concatenate(item) for item in zip(*parts, strict=True))
    indptr = np.concatenate([[0], np.cumsum(counts)])
    matrix = sparse.csr_matrix((weights, genes, indptr), shape=values.shape)
    matrix.sort_indices()
    return embedding, matrix


Read = Callable[
    [sparse.csr_matrix, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
]


def _reader_of(model: CellVQ) -> Read:
    """Return what reads a chunk: embedding, entries kept of each cell, their genes and weights."""
    if isinstance(model.reader, LatentReader):
        fused = FusedReader(
            model.reader, model.loadings, model.scale, centre=model.centre, most=TOP_ATTENDED
        )
        return lambda values, totals: fused(values, depths(totals))

    def read(
        values: sparse.csr_matrix, totals: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        tokens = tokenise(values, totals)
        body = model.read(tokens)
        weight = body.attention.mean(dim=1).numpy()
        kept = top_of_rows(tokens.indptr.numpy(), tokens.gene.numpy(), weight, TOP_ATTENDED)
        return body.cell.numpy(), *kept

    return read


@torch.no_grad()
def named_attention(
    model: CellVQ, values: sparse.csr_matrix, totals: np.ndarray, *, genes: list[str]
) -> pd.DataFrame:
    """Return the whole attention of a few cells, by name: the slow path, nothing is cut.

    Parameters
    ----------
    model, values, totals
        As in :func:`read_cells`; for few cells.
    genes
        Names of the genes of the model.

    Returns
    -------
    pandas.DataFrame
        One row per cell and expressed gene: ``cell`` (row number), ``gene``, one column per reader
        (``latent_0`` …), attention that sums to 1 over the genes of a cell.
    """
    tokens = tokenise(values, totals)
    attention = model.read(tokens).attention.numpy()
    names = np.asarray(genes, dtype=object)[tokens.gene.numpy()]
    table = pd.DataFrame(
        attention, columns=[f"latent_{place}" for place in range(attention.shape[1])]
    )
    table.insert(0, "gene", names)
    table.insert(0, "cell", cell_of_entry(tokens.indptr).numpy())
    return table
