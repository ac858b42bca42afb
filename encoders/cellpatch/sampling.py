"""What training hides from the encoder and asks the decoder for."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

HIDDEN = 0.3
"""Share of the expressed genes of a cell that are hidden and asked for."""

ZEROS = 0.5
"""Genes without a count that are asked for, for each hidden gene."""


class Split(NamedTuple):
    """Entries of a block, sorted by cell: what is read, and what is asked for.

    Attributes
    ----------
    read_row, read_gene, read_value
        (m,) cell, gene and value of what the encoder reads.
    asked_row, asked_gene, asked_value
        (k,) the same of what the decoder is asked for; no gene of a cell is in both.
    """

    read_row: np.ndarray
    read_gene: np.ndarray
    read_value: np.ndarray
    asked_row: np.ndarray
    asked_gene: np.ndarray
    asked_value: np.ndarray


def split(
    values: sparse.csr_matrix,
    rng: np.random.Generator,
    *,
    max_tokens: int,
    max_targets: int,
) -> Split:
    """Hide genes of each cell at random and add zeros to ask for.

    Of ``n`` expressed genes ``round(0.3 n)`` are hidden, at least one of two or more, none of one.
    Half as many genes without a count join them. Both lists are cut at random to their caps.

    Parameters
    ----------
    values
        CSR (n_cells, n_genes) with sorted indices.
    rng
        Source of every choice.
    max_tokens, max_targets
        Most genes of a cell that are read, and that are asked for.
    """
    lengths = np.diff(values.indptr)
    row = np.repeat(np.arange(values.shape[0]), lengths)
    n_hidden = np.where(lengths > 1, np.maximum(np.rint(HIDDEN * lengths), 1), 0).astype(np.int64)
    rank = _random_rank(row, rng)
    hidden = rank < n_hidden[row]
    read = ~hidden & (rank < (n_hidden + max_tokens)[row])
    n_zeros = np.ceil(ZEROS * n_hidden).astype(np.int64)
    zero_row, zero_gene = sample_zeros(values, n_zeros, rng)
    asked_row = np.concatenate([row[hidden], zero_row])
    asked_gene = np.concatenate([values.indices[hidden], zero_gene])
    asked_value = np.concatenate([values.data[hidden], np.zeros(len(zero_row), np.float32)])
    order = np.argsort(asked_row, kind="stable")
    order = order[_random_rank(asked_row[order], rng) < max_targets]
    return Split(
        row[read],
        values.indices[read],
        values.data[read],
        asked_row[order],
        asked_gene[order],
        asked_value[order],
    )


def sample_zeros(
    values: sparse.csr_matrix, wanted: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return different genes without an entry for each cell, as rows and genes.

    Systematic sampling: the genes are put in random order, and from a random start every
    ``zeros / wanted``-th of a cell's absent genes is taken. Each has the same chance.

    Parameters
    ----------
    values
        CSR (n_cells, n_genes).
    wanted
        (n_cells,) how many; a cell with fewer absent genes gives all of them.
    rng
        Source of every choice.
    """
    n_cells, n_genes = values.shape
    order = rng.permutation(n_genes)
    shuffled = sparse.csr_matrix(values[:, order])
    shuffled.sort_indices()
    lengths = np.diff(shuffled.indptr)
    zeros = n_genes - lengths
    wanted = np.minimum(wanted, zeros)
    row = np.repeat(np.arange(n_cells), wanted)
    step = np.arange(len(row)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    start = rng.random(n_cells)
    rank = np.floor((step + start[row]) * (zeros / np.maximum(wanted, 1))[row]).astype(np.int64)
    rank = np.minimum(rank, zeros[row] - 1)
    # The absent gene of rank r stands behind the present ones with at most r absent before them.
    present = np.repeat(np.arange(n_cells), lengths)
    absent_before = shuffled.indices - (np.arange(shuffled.nnz) - shuffled.indptr[present])
    key = present * (n_genes + 1) + absent_before
    behind = np.searchsorted(key, row * (n_genes + 1) + rank, side="right") - shuffled.indptr[row]
    return row, order[rank + behind]


def _random_rank(row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the place of each entry in a random order of its row; rows ascend."""
    order = np.lexsort((rng.random(len(row)), row))
    rank = np.empty(len(row), np.int64)
    first = np.searchsorted(row, row)
    # Sorted by row, so the n-th place belongs to the same row before and after.
    rank[order] = np.arange(len(row)) - first
    return rank
