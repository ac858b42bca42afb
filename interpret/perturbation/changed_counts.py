"""Counts of cells without some genes, or with some genes raised: asked, or matched as the null."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..statistics import Floats, Ints
from .cuts import without

HIGH = 0.9
"""Quantile, over the cells that express a gene, of the share of counts to which it is raised."""


@dataclass(frozen=True)
class Changes:
    """What is done to the cells of a group: row 0 is asked, the others are its matched null.

    Attributes
    ----------
    cut
        CSR (n_changes, n_genes), not 0 where a gene is cut.
    level
        CSR (n_changes, n_genes), share of the counts of a cell to which a gene is raised.
    """

    cut: sp.csr_matrix
    level: sp.csr_matrix

    def apply(
        self, counts: sp.csr_matrix, totals: Floats, change: Ints
    ) -> tuple[sp.csr_matrix, Ints]:
        """Return the counts of those cells that a change changes, and their positions.

        A raised gene gets the rounded count of its level at the depth of the cell, at least 1;
        what is higher already stays.

        Parameters
        ----------
        counts
            CSR (n, n_genes).
        totals
            (n,) depth of each cell, which stays.
        change
            (n,) number of the change made to each cell.
        """
        rows = np.arange(len(change))
        after = without(counts, rows, self.cut, change) if self.cut.nnz else counts
        if self.level.nnz:
            up = sp.csr_matrix(self.level[change])
            scale = np.repeat(totals, np.diff(up.indptr))
            up.data = np.maximum(np.rint(up.data * scale), 1)
            after = sp.csr_matrix(after.maximum(up.astype(after.dtype)))
        difference = sp.csr_matrix(after - counts)
        difference.eliminate_zeros()
        kept = np.flatnonzero(np.diff(difference.indptr))
        return sp.csr_matrix(after[kept]), kept


def high_levels(shares: sp.csc_matrix, genes: Ints) -> Floats:
    """Return the high quantile of the shares of each gene over the cells that express it.

    Parameters
    ----------
    shares
        CSC (n_cells, n_genes), share of the counts of a cell.
    genes
        Positions; each is expressed in some cell.
    """
    parts = [shares.data[shares.indptr[gene] : shares.indptr[gene + 1]] for gene in genes]
    found: Floats = np.array([np.quantile(part[part > 0], HIGH) for part in parts], dtype=float)
    return found


def matched_sets(matched: Ints, n_genes: int, rng: np.random.Generator) -> Ints:
    """Return sets with one matched gene for each asked one, (n_null, n_asked), no gene twice.

    A gene is taken twice only where all that match it are taken already. With one gene asked,
    every matched gene is a set.

    Parameters
    ----------
    matched
        (n_asked, n_null) genes that match each.
    n_genes
        Number of genes.
    rng
        Draws.
    """
    n_null = matched.shape[1]
    sets = np.arange(n_null)
    used = np.zeros((n_null, n_genes), dtype=bool)
    turn = (sets[:, None] + sets) % n_null
    chosen = np.empty((n_null, len(matched)), dtype=np.int64)
    for place, row in enumerate(matched):
        candidate = rng.permutation(row)[turn]
        free = ~used[sets[:, None], candidate]
        chosen[:, place] = candidate[sets, free.argmax(axis=1)]
        used[sets, chosen[:, place]] = True
    return chosen


def rows_of(sets: Ints, n_genes: int, values: Floats | None = None) -> sp.csr_matrix:
    """Return sets of genes as CSR (n_sets, n_genes), with a value each, 1 when not given."""
    row = np.repeat(np.arange(len(sets)), sets.shape[1])
    data = np.ones(sets.size) if values is None else values.ravel()
    found = sp.coo_matrix((data, (row, sets.ravel())), shape=(len(sets), n_genes)).tocsr()
    found.sort_indices()
    return found
