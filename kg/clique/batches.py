"""Padded batches for :mod:`scypher.kg.clique`: what is seen of cells and what is asked for.

Imports torch: load it only where a network is trained.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..attention.batches import absent_genes
from ..attention.bipartite import GeneEdges, Popularity
from .data import CliqueData

if TYPE_CHECKING:
    from ..attention.config import Integers

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """Cells with their tokens, padded on the right.

    Attributes
    ----------
    cells
        (n, d).
    token, value, present
        (n, length) number of the gene or metadata value, its value, whether there is one.
    """

    cells: Tensor
    token: Tensor
    value: Tensor
    present: Tensor


@dataclass(frozen=True)
class Questions:
    """Genes whose counts are asked for, none of them in the clique of its cell.

    Attributes
    ----------
    gene, there
        (n, m) number of the gene, and whether there is one.
    count, target
        (n, m) raw count, log1p counts per 10,000.
    total
        (n, 1) counts of the cell.
    """

    gene: Tensor
    there: Tensor
    count: Tensor
    target: Tensor
    total: Tensor


def see(data: CliqueData, rows: "Integers", cell: "Integers", position: "Integers") -> Batch:
    """Return cells with the genes at positions of the tokens, or with their metadata values.

    Parameters
    ----------
    data, rows
        Data; the cells of the batch.
    cell, position
        Place in ``rows`` and in the arrays of the tokens, for each gene that is seen.
    """
    if data.fields:
        cell, field = np.nonzero(data.values[rows] >= 0)
        token, value = data.values[rows[cell], field], np.zeros(len(cell), np.float32)
    else:
        token = data.gene_number[data.tokens.indices[position]]
        value = data.tokens.data[position]
    place = _places(cell, len(rows))
    return Batch(
        cells=torch.from_numpy(data.cells_of(rows)),
        token=torch.from_numpy(_padded(cell, place, token, len(rows)).astype(np.int64)),
        value=torch.from_numpy(_padded(cell, place, value, len(rows)).astype(np.float32)),
        present=torch.from_numpy(_padded(cell, place, np.ones(len(cell), bool), len(rows))),
    )


def ask(
    data: CliqueData,
    rows: "Integers",
    cell: "Integers",
    position: "Integers",
    *,
    rng: np.random.Generator,
) -> Questions:
    """Return questions about tokens, and about as many genes without a count of the cell.

    The latter are drawn in proportion to the number of cells of which a gene is a token.
    """
    gene = data.gene_number[data.tokens.indices[position]]
    counts = data.counts[rows]
    entry = np.repeat(np.arange(len(rows)), np.diff(counts.indptr))
    expressed = GeneEdges(entry, counts.indices.astype(np.int64), counts.data)
    nothing = np.zeros(len(data.genes))
    absent = absent_genes(expressed, cell, Popularity(data.degree, nothing, nothing), rng)
    count = np.concatenate([data.counts_of(rows, cell, gene), absent.value])
    cell, gene = np.concatenate([cell, absent.cell]), np.concatenate([gene, absent.gene])
    order = np.argsort(cell, kind="stable")
    cell, gene, count = cell[order], gene[order], count[order]
    place, n = _places(cell, len(rows)), len(rows)
    target = data.value_of(count, rows[cell])
    return Questions(
        gene=torch.from_numpy(_padded(cell, place, gene, n).astype(np.int64)),
        there=torch.from_numpy(_padded(cell, place, np.ones(len(cell), bool), n)),
        count=torch.from_numpy(_padded(cell, place, count, n).astype(np.float32)),
        target=torch.from_numpy(_padded(cell, place, target, n).astype(np.float32)),
        total=torch.from_numpy(data.totals[rows, None].astype(np.float32)),
    )


def _places(cell: "Integers", n: int) -> "Integers":
    """Return the place of each entry within its cell; entries of a cell stand together."""
    count = np.bincount(cell, minlength=n)
    places: Integers = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    return places


def _padded(
    cell: "Integers", place: "Integers", values: npt.NDArray[Any], n: int
) -> npt.NDArray[Any]:
    """Return entries as (n, longest) rows, zero where a cell has fewer."""
    out = np.zeros((n, int(place.max(initial=-1)) + 1), dtype=values.dtype)
    out[cell, place] = values
    return out
