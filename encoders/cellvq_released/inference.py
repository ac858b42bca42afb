"""Run a published model over many cells."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..base import Progress
from ..cells import Cells
from ..counts import normalise
from ..errors import InputError
from ..reading import TOP_ATTENDED, chunks_by_length, keep_top, to_columns
from .genes import columns_of
from .tokens import N_DEPTHS, TARGET_DEPTH, Tokens, tokenise
from .weights import Published

TOKENS_PER_CHUNK = 8_192
"""Tokens read at once, padding included; bounds the memory."""

MAX_GENES = 15_000
"""Genes read of a cell; the published models saw no longer ones in training."""


@dataclass(frozen=True)
class Inputs:
    """Cells in the columns of a model.

    Attributes
    ----------
    values
        CSR (n_cells, n_model_genes) log1p of counts per 10,000, the most expressed genes of a cell.
    totals
        (n_cells,) counts over the genes of the model.
    column
        (n_genes,) column of each gene of the data, -1 for those that are not read.
    dropped, notes
        Names of genes that are not read; sentences for the user.
    """

    values: sparse.csr_matrix
    totals: np.ndarray
    column: np.ndarray
    dropped: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Reading:
    """What a model says of cells and genes.

    Attributes
    ----------
    cell, highest
        (n_cells, 4 width) and (n_cells, width), see
        :class:`~scypher.encoders.cellvq_released.model.Described`.
    gene
        (n_genes, width) position embedding plus prior, zeros for genes that are not read.
    attention
        CSR (n_cells, n_genes), see :class:`~scypher.encoders.base.Encoding`.
    """

    cell: np.ndarray
    highest: np.ndarray
    gene: np.ndarray
    attention: sparse.csr_matrix


def inputs_of(published: Published, cells: Cells, max_genes: int) -> Inputs:
    """Return cells as a model reads them.

    Counts are scaled by their sum over the genes of the model, and the source depth is that sum:
    the published pipelines align the genes first.

    Parameters
    ----------
    published
        The model and its genes.
    cells
        Checked data.
    max_genes
        Most genes of a cell that are read; of longer ones the highest values.

    Raises
    ------
    InputError
        The model reads none of the genes.
    """
    column = columns_of(published.genes, cells.genes)
    known = column >= 0
    if not known.any():
        message = (
            f"none of the {len(column)} genes of the data ({_some(cells.genes['name'])} …) is "
            f"among the {len(published.genes)} genes of {published.checkpoint} "
            f"({_some(pd.Series(published.genes))} …). Give human genes, or weights for these."
        )
        raise InputError(message)
    counts = to_columns(cells.counts, column, len(published.genes))
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    values = keep_top(normalise(counts, np.maximum(totals, 1)), max_genes)
    notes = [
        f"encoder read {int(known.sum())} of {len(column)} genes, with "
        f"{counts.sum() / cells.counts.sum():.0%} of all counts"
    ]
    lengths = np.diff(counts.indptr)
    if (lengths > max_genes).any():
        notes.append(
            f"{int((lengths > max_genes).sum())} cells express more than {max_genes} genes: the "
            "most expressed ones were read"
        )
    if (lengths == 0).any():
        notes.append(
            f"{int((lengths == 0).sum())} cells have no count in a gene that the encoder reads: "
            "their embedding says nothing"
        )
    dropped = [str(name) for name in cells.genes["name"].to_numpy()[~known]]
    return Inputs(values, totals, column, dropped, notes)


@torch.no_grad()
def read(published: Published, inputs: Inputs, progress: Progress) -> Reading:
    """Run a model over cells, in chunks of bounded memory.

    Parameters
    ----------
    published
        The model.
    inputs
        The cells.
    progress
        Told how far it is.
    """
    model, values = published.model, inputs.values
    lengths = np.diff(values.indptr)
    n, width = len(lengths), model.sizes.width
    cell, highest = np.empty((n, 4 * width), np.float32), np.empty((n, width), np.float32)
    parts, done = [], 0
    for rows in chunks_by_length(lengths + N_DEPTHS, TOKENS_PER_CHUNK):
        tokens = tokenise(sparse.csr_matrix(values[rows]), inputs.totals[rows])
        found = model.describe(tokens)
        cell[rows], highest[rows] = found.cell.numpy(), found.highest.numpy()
        row, gene, weight = _top(found.attention, tokens)
        parts.append((rows[row], gene, weight))
        done += len(rows)
        progress("encoding cells", done, n)
    row, gene, weight = (np.concatenate(item) for item in zip(*parts, strict=True))
    known = np.flatnonzero(inputs.column >= 0)
    place = np.full(model.sizes.n_genes, -1)
    place[inputs.column[known]] = known
    attention = sparse.csr_matrix(
        (weight, (row, place[gene])), shape=(n, len(inputs.column)), dtype=np.float32
    )
    attention.sort_indices()
    table = np.zeros((len(inputs.column), width), np.float32)
    table[known] = model.table.numpy()[inputs.column[known]]
    return Reading(cell, highest, table, attention)


def _top(attention: torch.Tensor, tokens: Tokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, gene of the model and attention x genes read of the most attended genes."""
    present = tokens.present[:, N_DEPTHS:]
    scaled = (attention * present.sum(dim=1, keepdim=True)).masked_fill(~present, -1)
    kept = scaled.topk(min(TOP_ATTENDED, scaled.shape[1]), dim=1)
    row, rank = (kept.values > 0).nonzero(as_tuple=True)
    gene = tokens.position[:, N_DEPTHS:].gather(1, kept.indices)[row, rank]
    return row.numpy(), gene.numpy(), kept.values[row, rank].numpy()


@torch.no_grad()
def attention_of_cell(
    published: Published, inputs: Inputs, cell: int, layers: list[int]
) -> dict[int, pd.DataFrame]:
    """Return whole attention maps of one cell, averaged over heads.

    Parameters
    ----------
    published
        The model.
    inputs
        The cells.
    cell
        Row of the cell.
    layers
        Numbers of layers, 0 the first; negative ones count from the last.

    Returns
    -------
    dict of int to DataFrame
        By layer as given. Rows attend to columns and sum to 1; both are named ``target depth``,
        ``source depth``, then the genes as the model names them. Attention is directed.

    Raises
    ------
    InputError
        There is no such cell or layer.
    """
    n, depth = inputs.values.shape[0], published.model.sizes.depth
    if not 0 <= cell < n:
        message = f"there is no cell {cell}; there are {n}, counted from 0. Name one of them."
        raise InputError(message)
    strange = [layer for layer in layers if not -depth <= layer < depth]
    if strange:
        message = (
            f"there is no layer {strange[0]}; the model has {depth}, counted from 0. Name some of "
            "them."
        )
        raise InputError(message)
    tokens = tokenise(sparse.csr_matrix(inputs.values[[cell]]), inputs.totals[[cell]])
    tokens = Tokens(*(item[:, tokens.present[0]] for item in tokens))
    genes = [published.genes[index] for index in tokens.position[0, N_DEPTHS:].tolist()]
    names = ["target depth", "source depth", *genes]
    maps = published.model.attention(tokens, {layer % depth for layer in layers})
    return {
        layer: pd.DataFrame(maps[layer % depth][0].numpy(), index=names, columns=names)
        for layer in layers
    }


def parameters_of(published: Published, max_genes: int) -> dict[str, object]:
    """Return the plain values that, with the weights, reproduce a run."""
    return {
        "checkpoint": published.checkpoint,
        "mode": published.mode,
        "target_depth": TARGET_DEPTH,
        "max_genes": max_genes,
    }


def _some(names: pd.Series) -> str:
    return ", ".join(map(str, names.head(3)))
