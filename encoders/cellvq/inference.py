"""Run a trained CellVQ over many cells: embedding and attention, in chunks."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..base import Progress
from ..reading import TOP_ATTENDED, chunks_by_length
from .fused import FusedReader
from .kernels import cell_of_entry
from .latent import LatentReader
from .model import CellVQ
from .tokens import depths, tokenise
from .top import top_of_rows

NUMBERS_PER_CHUNK = 25_600_000
"""Genes read at once, padding included, times the width of a token; bounds the memory."""


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
    n, done = values.shape[0], 0
    embedding = np.empty((n, model.config.width), np.float32)
    # Of one size from the start: nothing has to be joined, so the result is never held twice.
    kept = np.zeros((n, TOP_ATTENDED), np.int32)
    weights = np.zeros((n, TOP_ATTENDED), np.float32)
    counts = np.zeros(n, np.int64)
    read = _reader_of(model)
    most = NUMBERS_PER_CHUNK // model.config.token_width
    for rows in chunks_by_length(np.diff(values.indptr), most):
        cell, count, gene, weight = read(sparse.csr_matrix(values[rows]), totals[rows])
        embedding[rows], counts[rows] = cell, count
        row, place = np.nonzero(np.arange(TOP_ATTENDED) < count[:, None])
        kept[rows[row], place] = gene
        weights[rows[row], place] = weight
        done += len(rows)
        progress("encoding cells", done, n)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    inside = np.arange(TOP_ATTENDED) < counts[:, None]
    flat = (weights.ravel(), kept.ravel()) if inside.all() else (weights[inside], kept[inside])
    return embedding, sparse.csr_matrix((*flat, indptr), shape=values.shape)


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
