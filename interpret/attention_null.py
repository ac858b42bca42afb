"""Does the encoder look at a gene more in a group than elsewhere? A permutation test."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .permutations import add_column, against, alike, permuted_sums, shuffles
from .statistics import Floats, Ints

MIN_CELLS = 3
"""Cells that must attend to a gene before the gene is tested."""

_BYTES_OF_NULL = 256 << 20
_BYTES_OF_LABELS = 64 << 20
_DRAWS_AT_ONCE, _GENES_AT_ONCE = 64, 256
_N_THREADS = int(getattr(numba.config, "NUMBA_NUM_THREADS"))  # noqa: B009, it is set at run time


@dataclass(frozen=True)
class AttentionTest:
    """Result per group and gene, each of shape (n_groups, n_genes).

    ``lift`` is mean attention inside over elsewhere, ``score`` the marker score, ``z`` and ``p``
    stand under the permutation null; ``tested`` says which genes have enough attention. Genes
    without it have lift 1, score 0, z 0 and p 1.
    """

    lift: Floats
    score: Floats
    z: Floats
    p: Floats
    tested: NDArray[np.bool_]


def attention_test(
    attention: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    strata: Ints,
    rng: np.random.Generator,
    n_permutations: int,
) -> AttentionTest:
    """Test the attention of every gene in every group against permuted group labels.

    Score ``M = log2((A_in + e) / (A_rest + e)) * D_in`` with mean attention ``A`` (absent entries
    count as 0), the share ``D_in`` of the cells of the group with an entry, and ``e`` the 5th
    percentile of the positive group means. Labels are permuted within strata ``n_permutations``
    times, which gives every group and gene a null mean and deviation, hence ``z``. The null ``|z|``
    of genes attended to in about as many cells are pooled per group, which resolves p beyond
    ``1 / n_permutations``: ``p = (b + 1) / (B + 1)``, where ``b`` of ``B`` pooled draws reach the
    observed ``|z|`` (counted in steps of 0.01 so that p is never too small).

    Parameters
    ----------
    attention
        Non-negative weights, 1.0 = uniform, shape (n_cells, n_genes).
    groups
        Group of each cell, or -1, shape (n_cells,).
    n_groups
        Number of groups.
    strata
        Labels are exchanged only between cells of one stratum, shape (n_cells,).
    rng
        Source of the permutations.
    n_permutations
        Permutations per gene, at least 1.
    """
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    means = GroupMeans.of(attention, label, n_groups)
    score = means.score(means.inside, means.cells)
    z, p = np.zeros_like(score), np.ones_like(score)
    columns = means.columns
    present = np.diff(columns.indptr)
    comparable = (means.size > 0) & (means.size < label.size)
    order = np.argsort(present, kind="stable")
    order = order[present[order] >= MIN_CELLS]
    capacity = max(_BYTES_OF_NULL // (4 * n_permutations * max(n_groups, 1)), 1)
    at_once = int(np.clip(_BYTES_OF_LABELS // (2 * max(label.size, 1)), 1, _DRAWS_AT_ONCE))
    some = np.flatnonzero(comparable[:, 0])
    for chunk in _chunks(present[order], capacity):
        genes = order[chunk[0].start : chunk[-1].stop]
        pieces = np.array_split(np.arange(len(genes)), -(-len(genes) // _GENES_AT_ONCE))
        part = [columns[:, genes[piece]] for piece in pieces]
        null = np.empty((len(genes), n_groups, n_permutations), dtype=np.float32)
        with ThreadPoolExecutor(_N_THREADS) as threads:
            for start in range(0, n_permutations, at_once):
                draws = slice(start, min(start + at_once, n_permutations))
                labels = shuffles(label, strata, rng, n=draws.stop - start)
                scores = threads.map(
                    partial(_null_scores, means, labels),
                    part,
                    [means.total[genes[piece]] for piece in pieces],
                )
                for piece, found in zip(pieces, scores, strict=True):
                    null[piece, :, draws] = found
        offset = chunk[0].start
        for pool in chunk:
            within = slice(pool.start - offset, pool.stop - offset)
            at = np.ix_(some, genes[within])
            z[at], p[at] = against(null[within][:, some], score[at])
    tested = comparable & (present >= MIN_CELLS)
    lift = means.lift(means.inside)
    return AttentionTest(np.where(tested, lift, 1.0), np.where(tested, score, 0.0), z, p, tested)


def degree_corrected_lift(attention: sp.csr_matrix, groups: Ints, n_groups: int) -> Floats:
    """Return the lift that is left when a gene is carried by as many cells inside as elsewhere.

    Attention is corrected for degree on both sides of an edge. That of the cell is corrected in
    the weights themselves: attention that sums to 1 over the genes of a cell, times their number,
    so that 1.0 is uniform however many genes a cell has. That of the gene is corrected here. The
    lift of :func:`attention_test` counts an absent entry as 0 and is therefore, but for ``e``, a
    product: ``A_in / A_rest = (D_in / D_rest) * (W_in / W_rest)`` with the share ``D`` of cells
    that carry the gene and the mean weight ``W`` over those cells. Returned is ``W_in / W_rest``:
    above 1 where cells of the group weigh the gene more than other cells that carry it too.

    Parameters
    ----------
    attention, groups, n_groups
        As in :func:`attention_test`.

    Returns
    -------
    numpy.ndarray
        Shape (n_groups, n_genes), positive; 1 where fewer than 3 cells carry the gene inside or
        elsewhere.
    """
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    means = GroupMeans.of(attention, label, n_groups)
    elsewhere = np.diff(means.columns.indptr) - means.cells
    known = (means.cells >= MIN_CELLS) & (elsewhere >= MIN_CELLS)
    inner = means.inside / np.maximum(means.cells, 1)
    outer = np.maximum(means.total - means.inside, 0) / np.maximum(elsewhere, 1)
    known &= (inner > 0) & (outer > 0)
    lift: Floats = np.where(known, inner, 1.0) / np.where(known, outer, 1.0)
    return lift


@dataclass(frozen=True)
class GroupMeans:
    """Attention of groups of cells to genes, and the lift that follows.

    ``columns`` is the attention gene by gene, without zeros; ``size`` and ``other`` count cells
    inside and elsewhere, (n_groups, 1); ``inside`` is summed attention and ``cells`` the number of
    attending cells, (n_groups, n_genes); ``total`` is attention over all cells, (n_genes,);
    ``epsilon`` is the 5th percentile of the positive group means, 1 without any.
    """

    columns: sp.csc_matrix
    size: Floats
    other: Floats
    inside: Floats
    cells: Floats
    total: Floats
    epsilon: float

    @classmethod
    def of(cls, attention: sp.csr_matrix, label: Ints, n_groups: int) -> "GroupMeans":
        """Sum attention over the cells of each label; label ``n_groups`` stands for none."""
        columns = attention.tocsc(copy=True)
        columns.sum_duplicates()
        columns.eliminate_zeros()
        size = np.bincount(label, minlength=n_groups + 1)[:n_groups, None].astype(np.float64)
        sums, cells = permuted_sums(columns, label[:, None].astype(np.uint16), n_groups)
        inside = np.ascontiguousarray(sums[:, 0].T)
        means = inside / np.maximum(size, 1)
        epsilon = float(np.quantile(means[means > 0], 0.05)) if (means > 0).any() else 1.0
        total = np.asarray(np.ones(label.size) @ columns, dtype=np.float64)
        counts = np.ascontiguousarray(cells[:, 0].T)
        return cls(columns, size, label.size - size, inside, counts, total, epsilon)

    def lift(self, inside: Floats) -> Floats:
        """Return ``(A_in + e) / (A_rest + e)`` of summed attention inside."""
        rest = np.maximum(self.total - inside, 0) / np.maximum(self.other, 1)
        lift: Floats = (inside / np.maximum(self.size, 1) + self.epsilon) / (rest + self.epsilon)
        return lift

    def score(self, inside: Floats, cells: Floats) -> Floats:
        """Return the marker score."""
        score: Floats = np.log2(self.lift(inside)) * (cells / np.maximum(self.size, 1))
        return score


def shuffle(label: Ints, strata: Ints, rng: np.random.Generator) -> Ints:
    """Return the labels permuted within each stratum."""
    return shuffles(label, strata, rng, n=1)[:, 0].astype(label.dtype)


def _null_scores(
    means: GroupMeans, labels: NDArray[np.uint16], columns: sp.csc_matrix, total: Floats
) -> Floats:
    """Return the score of genes under permuted labels, shape (n_genes, n_groups, n_draws)."""
    lift = np.empty((columns.shape[1], len(means.size), labels.shape[1]))
    share = np.empty_like(lift)
    _write_lifts(
        columns.indptr,
        columns.indices,
        columns.data,
        labels,
        1 / np.maximum(np.hstack([means.size, means.other]), 1),
        total,
        means.epsilon,
        lift,
        share,
    )
    # numpy takes logarithms several at a time, compiled loops one by one
    score: Floats = np.multiply(np.log2(lift, out=lift), share, out=lift)
    return score


@numba.njit(cache=True, nogil=True)
def _write_lifts(
    indptr: Any,
    cell: Any,
    value: Any,
    labels: Any,
    weight: Any,
    total: Any,
    epsilon: Any,
    lift: Any,
    share: Any,
) -> None:
    """Write lift and share of attending cells; ``weight`` is 1 over cells inside and elsewhere."""
    n_groups, n_draws = len(weight), labels.shape[1]
    both = np.empty((n_draws, n_groups + 1, 2))
    for gene in range(len(indptr) - 1):
        both[:] = 0
        start, stop = indptr[gene], indptr[gene + 1]
        add_column(cell[start:stop], value[start:stop], labels, both)
        for group in range(n_groups):
            inner, outer = weight[group]
            for draw in range(n_draws):
                inside = both[draw, group, 0]
                rest = max(total[gene] - inside, 0.0) * outer
                lift[gene, group, draw] = (inside * inner + epsilon) / (rest + epsilon)
                share[gene, group, draw] = both[draw, group, 1] * inner


def _chunks(present: Ints, capacity: int) -> list[list[slice]]:
    """Return pools of genes with like numbers of attending cells, in chunks that fit memory."""
    chunks: list[list[slice]] = []
    for pool in alike(present):
        if chunks and pool.stop - chunks[-1][0].start <= capacity:
            chunks[-1].append(pool)
        else:
            chunks.append([pool])
    return chunks
