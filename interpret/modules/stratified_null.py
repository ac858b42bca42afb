"""Correlation of all pairs of columns, against a null that keeps what differs between strata."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.compiled import use_threads_of_torch
from ..statistics import Floats, Ints

Matrix = NDArray[np.float32]

NULL_GENES = 190
"""Genes of each bin whose permuted values are drawn; more would only cost time."""

BINS = 8
"""Bins of genes expressed in like numbers of cells, at most."""

_GENES_PER_BIN = 40
_WIDTH, _LAST = 0.02, 5_000
_CELLS_AT_ONCE = 8_192


@dataclass(frozen=True)
class PairTest:
    """Pearson correlation, z and p of all pairs, each of shape (n_genes, n_genes).

    z is NaN and p is 1 where a gene varies within no stratum.
    """

    correlation: Matrix
    z: Matrix
    p: Floats


@dataclass(frozen=True)
class PooledNull:
    """Null draws of ``|z|`` by pair of bins, in steps of 0.02.

    Attributes
    ----------
    reach
        (n_pairs_of_bins, n_steps) draws that reach the step.
    blocks
        Pairs of bins, as positions from 0.
    """

    reach: Ints
    blocks: list[tuple[int, int]]

    @classmethod
    def of(cls, count: Ints, n_bins: int) -> "PooledNull":
        """Return the null of draws counted by :func:`add_draws`."""
        blocks = list(itertools.combinations_with_replacement(range(n_bins), 2))
        return cls(np.cumsum(count[:, ::-1], axis=1)[:, ::-1], blocks)

    def p(self, z: NDArray[Any], bins: list[Ints]) -> Floats:
        """Return ``(b + 1) / (B + 1)`` of every pair, 1 where z is NaN or a gene in no bin."""
        p = np.ones(z.shape)
        for number, (a, b) in enumerate(self.blocks):
            reach = self.reach[number]
            rows, others = bins[a], bins[b]
            block = (reach[_step(np.abs(z[np.ix_(rows, others)]))] + 1) / (reach[0] + 1)
            p[np.ix_(rows, others)] = block
            p[np.ix_(others, rows)] = block.T
        p[np.isnan(z)] = 1
        return p


def pair_test(
    matrix: sp.csr_matrix,
    strata: NDArray[Any],
    genes: Ints,
    *,
    rng: np.random.Generator,
    n_permutations: int,
) -> PairTest:
    """Test all pairs of genes for co-variation over cells within strata.

    With ``x`` centred within strata, ``z = sum(x_i x_j) / sqrt(sum over strata of
    SS_i SS_j / (n - 1))`` has mean 0 and deviation 1 exactly when the values of each gene are
    permuted over the cells of a stratum, each gene on its own. Null ``|z|`` of permuted data are
    pooled over pairs of genes expressed in like numbers of cells, from up to 190 genes of each of
    8 bins, drawn anew for every permutation.

    Parameters
    ----------
    matrix
        Values of the cells, absent = 0, shape (n_cells, n_genes).
    strata
        Stratum of each cell.
    genes
        Positions of the genes to pair; memory grows with the square of their number.
    rng
        Source of the permutations.
    n_permutations
        Permutations of the data, at least 1.
    """
    columns, size = by_stratum(matrix, strata, genes)
    correlation, z = correlate(columns, size)
    spread = np.flatnonzero(np.isfinite(np.diag(z)))
    bins = like_expressed(expressing_cells(columns), spread)
    null = pooled_null(columns, size, bins, rng=rng, n_permutations=n_permutations)
    return PairTest(correlation, z, null.p(z, bins))


def by_stratum(
    matrix: sp.csr_matrix, strata: NDArray[Any], genes: Ints
) -> tuple[sp.csr_matrix, Ints]:
    """Return the columns of genes with cells of one stratum side by side, and cells by stratum."""
    order = np.argsort(strata, kind="stable")
    size = np.unique(strata, return_counts=True)[1]
    return sp.csr_matrix(matrix[:, genes])[order], size


def correlate(columns: sp.csr_matrix, size: Ints) -> tuple[Matrix, Matrix]:
    """Return Pearson correlation over all cells and z within strata, of all pairs of columns."""
    within, between, expected = _covariation(columns, size)
    total = np.sqrt(np.maximum(np.diag(within) + np.diag(between), 1e-30))
    between += within
    between /= total[:, None]
    between /= total[None, :]
    correlation = np.clip(between, -1, 1, out=between).astype(np.float32)
    del between
    with np.errstate(invalid="ignore", divide="ignore"):
        within /= np.sqrt(expected)
    within[expected <= 0] = np.nan
    return correlation, within.astype(np.float32)


def expressing_cells(columns: sp.csr_matrix) -> Ints:
    """Return the number of cells with a value in each column."""
    return np.bincount(columns.indices[columns.data != 0], minlength=columns.shape[1])


def permuted_columns(columns: sp.csr_matrix, size: Ints, rng: np.random.Generator) -> sp.csr_matrix:
    """Return columns permuted within strata, each on its own; cells of a stratum side by side."""
    parts = []
    for dense, places in _blocks(columns, size):
        _permute(dense, places, rng)
        parts.append(sp.csr_matrix(dense.T))
    return sp.vstack(parts, format="csr") if parts else columns


def like_expressed(expressing: Ints, genes: Ints) -> list[Ints]:
    """Return up to 8 bins of genes, of 40 genes or more, in the order of expressing cells."""
    order = genes[np.argsort(expressing[genes], kind="stable")]
    n_bins = int(np.clip(len(genes) // _GENES_PER_BIN, 1, BINS))
    return [part for part in np.array_split(order, n_bins) if len(part)]


def pooled_null(
    columns: sp.csr_matrix,
    size: Ints,
    bins: list[Ints],
    *,
    rng: np.random.Generator,
    n_permutations: int,
) -> PooledNull:
    """Return ``|z|`` of genes permuted within strata, pooled by pair of bins.

    Parameters
    ----------
    columns
        Values, cells of one stratum side by side.
    size
        Cells of each stratum.
    bins
        Columns of like genes.
    """
    count = no_draws(len(bins))
    by_column = columns.tocsc()
    for _ in range(n_permutations if bins else 0):
        chosen = sample_bins(bins, rng)
        drawn = by_column[:, np.concatenate(chosen)].tocsr()
        add_draws(_permuted_z(drawn, size, rng), [len(part) for part in chosen], count)
    return PooledNull.of(count, len(bins))


def sample_bins(bins: list[Ints], rng: np.random.Generator) -> list[Ints]:
    """Return at most 190 random genes of each bin."""
    return [
        part if len(part) <= NULL_GENES else np.sort(rng.choice(part, NULL_GENES, replace=False))
        for part in bins
    ]


def no_draws(n_bins: int) -> Ints:
    """Return counts of draws, all 0: (n_pairs_of_bins, n_steps)."""
    return np.zeros((n_bins * (n_bins + 1) // 2, _LAST + 1), dtype=np.int64)


def add_draws(z: NDArray[Any], sizes: list[int], count: Ints) -> None:
    """Count, in place, the ``|z|`` of each pair of bins, the pairs within a bin once.

    Parameters
    ----------
    z
        Of all pairs of genes, those of one bin side by side; what is not finite is passed over.
    sizes
        Genes of each bin.
    count
        (n_pairs_of_bins, n_steps).
    """
    edges = np.cumsum([0, *sizes])
    places = [slice(*edge) for edge in itertools.pairwise(edges.tolist())]
    blocks = itertools.combinations_with_replacement(places, 2)
    for number, (rows, others) in enumerate(blocks):
        values = z[rows, others]
        if rows == others:
            values = values[np.triu_indices(len(values), k=1)]
        values = np.abs(values[np.isfinite(values)])
        count[number] += np.bincount(_step(values.ravel()), minlength=_LAST + 1)


def _step(values: NDArray[Any]) -> Ints:
    step: Ints = np.minimum(np.nan_to_num(values) / _WIDTH, _LAST).astype(np.int64)
    return step


def _blocks(columns: sp.csr_matrix, size: Ints) -> Iterator[tuple[Matrix, list[slice]]]:
    """Yield dense blocks (n_genes, n_cells) of whole strata, and where each stratum lies."""
    ends = np.cumsum(size)
    start = first = 0
    while first < len(size):
        last = max(int(np.searchsorted(ends, start + _CELLS_AT_ONCE, side="right")), first + 1)
        stop = int(ends[last - 1])
        dense = columns[start:stop].T.toarray(order="C").astype(np.float32, copy=False)
        edges = [0, *(ends[first:last] - start).tolist()]
        yield dense, [slice(*edge) for edge in itertools.pairwise(edges)]
        start, first = stop, last


def _covariation(columns: sp.csr_matrix, size: Ints) -> tuple[Floats, Floats, Floats]:
    """Return sums of products within and between strata, and the null variance of the former."""
    n_genes = columns.shape[1]
    overall = np.ones(columns.shape[0]) @ columns / max(columns.shape[0], 1)
    within, between, expected = (np.zeros((n_genes, n_genes)) for _ in range(3))
    for dense, places in _blocks(columns, size):
        shift = np.empty((n_genes, len(places)))
        squares = np.empty((n_genes, len(places)))
        for number, place in enumerate(places):
            part = dense[:, place]
            mean = part.mean(1, dtype=np.float64)
            part -= mean[:, None].astype(np.float32)
            # a constant stratum is exactly zero, not rounding
            part[np.ptp(part, axis=1) == 0] = 0
            cells = part.shape[1]
            shift[:, number] = (mean - overall) * np.sqrt(cells)
            squares[:, number] = np.einsum("ij,ij->i", part, part) / np.sqrt(max(cells - 1, 1))
        within += dense @ dense.T
        between += shift @ shift.T
        expected += squares @ squares.T
    return within, between, expected


def _permuted_z(columns: sp.csr_matrix, size: Ints, rng: np.random.Generator) -> Matrix:
    """Return z after each gene was permuted within strata."""
    n_genes = columns.shape[1]
    drawn, expected = (np.zeros((n_genes, n_genes), dtype=np.float32) for _ in range(2))
    for dense, places in _blocks(columns, size):
        squares = np.empty((n_genes, len(places)), dtype=np.float32)
        for number, place in enumerate(places):
            part = dense[:, place]
            part -= part.mean(1, keepdims=True)
            part[np.ptp(part, axis=1) == 0] = 0
            cells = part.shape[1]
            squares[:, number] = np.einsum("ij,ij->i", part, part) / np.sqrt(max(cells - 1, 1))
        _permute(dense, places, rng)
        drawn += dense @ dense.T
        expected += squares @ squares.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, drawn / np.sqrt(expected), np.nan)


def _permute(dense: Matrix, places: list[slice], rng: np.random.Generator) -> None:
    """Permute, in place, the cells of every stratum, each row on its own."""
    edges = np.array([0, *(place.stop for place in places)], dtype=np.int64)
    use_threads_of_torch()
    _permute_rows(dense, edges, rng.integers(1, 2**63, len(dense), dtype=np.uint64))


@numba.njit(cache=True, parallel=True)
def _permute_rows(dense: Any, edges: Any, seeds: Any) -> None:
    """Shuffle each row between edges (Fisher & Yates; xorshift64*: Vigna 2016, arXiv 1402.6246)."""
    for row in numba.prange(len(dense)):
        values = dense[row]
        state = seeds[row]
        for segment in range(len(edges) - 1):
            start = edges[segment]
            for i in range(edges[segment + 1] - 1, start, -1):
                state ^= state >> np.uint64(12)
                state ^= state << np.uint64(25)
                state ^= state >> np.uint64(27)
                high = (state * np.uint64(2685821657736338717)) >> np.uint64(33)
                j = start + int((high * np.uint64(i + 1 - start)) >> np.uint64(31))
                values[i], values[j] = values[j], values[i]
