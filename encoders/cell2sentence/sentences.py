"""Cell sentences: the expressed genes of a cell as words, most expressed first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse

from ..counts import COUNTS_PER_CELL
from ..errors import InputError

_SHOWN = 3


@dataclass(frozen=True)
class Sentences:
    """The sentences of ``n_cells`` cells over ``n_genes`` genes.

    Attributes
    ----------
    ranks
        CSR (n_cells, n_genes) int32: 1 for the first word of a cell, 2 for the second; no entry
        for a gene outside the sentence.
    words
        (n_genes,) the word of each gene.
    chosen
        (n_genes,) bool, whether the gene may stand in a sentence.
    expressed
        (n_cells,) words that the sentence has without a cap.
    """

    ranks: sparse.csr_matrix
    words: list[str]
    chosen: np.ndarray
    expressed: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """Words of each sentence, (n_cells,)."""
        return np.diff(self.ranks.indptr)

    @property
    def n_truncated(self) -> int:
        """Number of sentences that the cap shortened."""
        return int((self.expressed > self.length).sum())

    def genes_of(self, row: int) -> np.ndarray:
        """Return the genes of one sentence in the order of its words, as columns."""
        span = slice(self.ranks.indptr[row], self.ranks.indptr[row + 1])
        order = np.empty(span.stop - span.start, np.int64)
        order[self.ranks.data[span] - 1] = self.ranks.indices[span]
        return order

    def text(self, row: int) -> str:
        """Return one sentence, its words parted by a blank."""
        return " ".join(self.words[gene] for gene in self.genes_of(row))


def words_of(names: Sequence[str]) -> list[str]:
    """Return gene names as words: upper-cased, and each its own.

    Names that become equal would stand for one column and shift all that follow; the second of
    them gets ``-1``, the third ``-2``, leaving out what another gene is called.

    Examples
    --------
    >>> words_of(["Cd3d", "CD3D", "LYZ", "cd3d", "CD3D-1"])
    ['CD3D', 'CD3D-2', 'LYZ', 'CD3D-3', 'CD3D-1']
    """
    upper = pd.Series([str(name).upper() for name in names], dtype=object)
    taken = set(upper)
    words = upper.tolist()
    for index in np.flatnonzero(upper.duplicated()):
        number = 1
        while f"{words[index]}-{number}" in taken:
            number += 1
        words[index] = f"{words[index]}-{number}"
        taken.add(words[index])
    return words


def log_values(
    counts: sparse.csr_matrix, *, target: float | Literal["median"] = COUNTS_PER_CELL
) -> sparse.csr_matrix:
    r"""Return :math:`\log_{10}(1 + x \cdot \mathrm{target} / \sum x)`, same sparsity, float64.

    Parameters
    ----------
    counts
        CSR (n_cells, n_genes) raw counts of all measured genes.
    target
        Counts to which every cell is scaled; ``"median"``: the median of the cells that have any.
    """
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    wanted = float(np.median(totals[totals > 0])) if target == "median" else float(target)
    scale = np.divide(wanted, totals, out=np.zeros_like(totals), where=totals > 0)
    values = np.log10(1 + counts.data * np.repeat(scale, np.diff(counts.indptr)))
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def sentences_of(
    counts: sparse.csr_matrix,
    names: Sequence[str],
    *,
    genes: Sequence[str] | None = None,
    most: int | None = None,
    rng: np.random.Generator | None = None,
) -> Sentences:
    """Return cell sentences (Levine et al., ICML 2024).

    Scaling a cell and taking logarithms keep the order of its counts, so that the counts are
    sorted: exact, and no cell depends on another.

    Parameters
    ----------
    counts
        CSR (n_cells, n_genes), non-negative; entries that are zero are no words.
    names
        (n_genes,) gene names.
    genes
        Names of the genes that may be words, such as variable genes of the training cells; all of
        them when not given. Compared as :func:`words_of` writes them.
    most
        Words kept a sentence, the first ones.
    rng
        Draws the order of equal counts, one order of the genes for all cells; without it they
        stand in the order of the columns.

    Raises
    ------
    InputError
        None of the given genes is among the names.
    """
    words = words_of(names)
    chosen = np.ones(len(words), bool) if genes is None else _chosen(words, genes)
    matrix = sparse.csr_matrix(counts, copy=True)
    matrix.sum_duplicates()
    matrix.data[~chosen[matrix.indices]] = 0
    matrix.eliminate_zeros()
    lengths = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), lengths)
    place = np.arange(len(words)) if rng is None else rng.permutation(len(words))
    order = np.lexsort((place[matrix.indices], -matrix.data, row))
    rank = np.empty(matrix.nnz, np.int32)
    rank[order] = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], lengths) + 1
    kept = slice(None) if most is None else np.flatnonzero(rank <= most)
    ranks = sparse.csr_matrix((rank[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)
    return Sentences(ranks, words, chosen, lengths)


def _chosen(words: list[str], genes: Sequence[str]) -> np.ndarray:
    wanted = words_of(genes)
    chosen = np.isin(np.array(words, dtype=object), np.array(wanted, dtype=object))
    if not chosen.any():
        message = (
            f"none of the {len(wanted)} chosen genes ({', '.join(wanted[:_SHOWN])} …) is among the "
            f"{len(words)} genes of the data ({', '.join(words[:_SHOWN])} …). Give names as the "
            "data have them, or choose the genes on cells of the same vocabulary."
        )
        raise InputError(message)
    return chosen
