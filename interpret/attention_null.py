"""Does the encoder look at a gene more in a group than elsewhere? A permutation test."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .statistics import Floats, Ints

MIN_CELLS = 3
"""Cells that must attend to a gene before the gene is tested."""

_BYTES_OF_NULL = 256 << 20
_POOL = 100
_WIDTH, _LAST = 0.01, 10_000


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
    n_genes = attention.shape[1]
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    size = np.bincount(label, minlength=n_groups + 1)[:n_groups, None].astype(np.float64)
    columns = attention.tocsc(copy=True)
    columns.sum_duplicates()
    columns.eliminate_zeros()
    present = np.diff(columns.indptr)
    total = np.asarray(np.ones(label.size) @ columns)
    tally = _Tally(size, label.size - size)
    inside, cells = tally.sums(_entries(columns), label, n_genes)
    means = inside / np.maximum(size, 1)
    epsilon = float(np.quantile(means[means > 0], 0.05)) if (means > 0).any() else 1.0
    lift, score = tally.score(inside, cells, total=total, epsilon=epsilon)
    z, p = np.zeros_like(score), np.ones_like(score)
    comparable = (size > 0) & (size < label.size)
    order = np.argsort(present, kind="stable")
    order = order[present[order] >= MIN_CELLS]
    capacity = max(_BYTES_OF_NULL // (4 * n_permutations * max(n_groups, 1)), 1)
    for chunk in _chunks(present[order], capacity):
        genes = order[chunk[0].start : chunk[-1].stop]
        entries = _entries(columns[:, genes])
        null = np.empty((n_permutations, n_groups, len(genes)), dtype=np.float32)
        for draw in range(n_permutations):
            sums = tally.sums(entries, shuffle(label, strata, rng), len(genes))
            null[draw] = tally.score(*sums, total=total[genes], epsilon=epsilon)[1]
        offset = chunk[0].start
        bins = [slice(pool.start - offset, pool.stop - offset) for pool in chunk]
        for group in np.flatnonzero(comparable[:, 0]):
            seen = score[group, genes]
            z[group, genes], p[group, genes] = _against(null[:, group], seen, bins)
    tested = comparable & (present >= MIN_CELLS)
    return AttentionTest(np.where(tested, lift, 1.0), np.where(tested, score, 0.0), z, p, tested)


def shuffle(label: Ints, strata: Ints, rng: np.random.Generator) -> Ints:
    """Return the labels permuted within each stratum."""
    random = np.lexsort((rng.random(len(label)), strata))
    out = np.empty_like(label)
    out[random] = label[np.argsort(strata, kind="stable")]
    return out


@dataclass(frozen=True)
class _Entries:
    """Entries of a matrix, cell by cell."""

    per_cell: Ints
    gene: Ints
    value: Floats


def _entries(matrix: sp.csc_matrix) -> _Entries:
    rows = matrix.tocsr()
    return _Entries(
        np.diff(rows.indptr).astype(np.int64),
        rows.indices.astype(np.int64),
        rows.data.astype(np.float64),
    )


@dataclass(frozen=True)
class _Tally:
    """Sums and scores for given group sizes, both of shape (n_groups, 1)."""

    size: Floats
    other: Floats

    def sums(self, entries: _Entries, label: Ints, n_genes: int) -> tuple[Floats, Floats]:
        """Return summed attention and number of attending cells per group and gene."""
        rows = len(self.size) + 1
        slot = np.repeat(label * n_genes, entries.per_cell) + entries.gene
        length = rows * n_genes
        weight = np.asarray(np.bincount(slot, entries.value, length), dtype=np.float64)
        cells = np.bincount(slot, minlength=length)
        shape = (rows, n_genes)
        return weight.reshape(shape)[:-1], cells.reshape(shape)[:-1].astype(np.float64)

    def score(
        self, inside: Floats, cells: Floats, *, total: Floats, epsilon: float
    ) -> tuple[Floats, Floats]:
        """Return lift and marker score."""
        mean = inside / np.maximum(self.size, 1)
        rest = np.maximum(total - inside, 0) / np.maximum(self.other, 1)
        lift = (mean + epsilon) / (rest + epsilon)
        return lift, np.log2(lift) * (cells / np.maximum(self.size, 1))


def _chunks(present: Ints, capacity: int) -> list[list[slice]]:
    """Return pools of genes with like numbers of attending cells, in chunks that fit memory.

    A pool holds at least ``_POOL`` genes and never splits genes with equally many cells.
    """
    starts = np.flatnonzero(np.diff(present, prepend=-1))
    pools: list[slice] = []
    begin = 0
    for stop in [*starts[1:].tolist(), len(present)]:
        if stop - begin >= _POOL:
            pools.append(slice(begin, stop))
            begin = stop
    if begin < len(present):
        last = pools.pop().start if pools else begin
        pools.append(slice(last, len(present)))
    chunks: list[list[slice]] = []
    for pool in pools:
        if chunks and pool.stop - chunks[-1][0].start <= capacity:
            chunks[-1].append(pool)
        else:
            chunks.append([pool])
    return chunks


def _against(
    null: NDArray[np.float32], seen: Floats, pools: list[slice]
) -> tuple[Floats, NDArray[Any]]:
    """Return z and pooled p of observed scores; ``null`` has shape (draws, n_genes)."""
    mean = null.mean(0, dtype=np.float64)
    spread = null.std(0, dtype=np.float64)
    moves = spread > 1e-9
    z = np.where(moves, (seen - mean) / np.where(moves, spread, 1), 0.0)
    scale = np.where(moves, 1 / (np.where(moves, spread, 1) * _WIDTH), 0.0).astype(np.float32)
    step = np.abs((null - mean.astype(np.float32)) * scale)
    step = np.minimum(step, _LAST).astype(np.int32)
    observed = np.minimum(np.abs(z) / _WIDTH, _LAST).astype(np.int64)
    p = np.ones_like(z)
    for pool in pools:
        count = np.bincount(step[:, pool].ravel(), minlength=_LAST + 1)
        reach = np.cumsum(count[::-1])[::-1]
        p[pool] = (reach[observed[pool]] + 1) / (reach[0] + 1)
    return z, np.where(moves, p, 1.0)
