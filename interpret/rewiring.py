"""Is the lift of a gene more than its degree explains? Cells and genes rewired at random."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .attention_null import MIN_CELLS, GroupMeans
from .permutations import against, alike
from .statistics import Floats, Ints

N_REWIRINGS = 50
"""Rewired graphs, whose draws are pooled over genes of like degree."""

_FIRST, _BETWEEN = 20, 5


@dataclass(frozen=True)
class NullTest:
    """Result per group and gene, each of shape (n_groups, n_genes).

    ``z`` and ``p`` of the log2 lift under the null, two-sided: a positive ``z`` is a lift above
    the null. Where ``tested`` is false z is 0 and p is 1.
    """

    z: Floats
    p: Floats
    tested: NDArray[np.bool_]


def rewiring_test(
    attention: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    *,
    strata: Ints,
    rng: np.random.Generator,
    n_rewirings: int = N_REWIRINGS,
) -> NullTest:
    """Test the lift of every gene in every group against graphs with the same degrees.

    The null: which genes a cell is joined to, and how its attention is spread over them, is chance
    but for degrees. Every cell keeps its number of genes and its weights, every gene its number of
    cells in each stratum, both exactly. Rewired by global curveball trades (Strona 2014, Nat
    Commun 5:4114; Carstens 2018, arXiv 1804.08487): cells are paired at random within strata, and
    the genes that only one of two cells has are dealt out anew among both; 20 rounds before the
    first graph and 5 between two. The weights of each cell are then permuted over its genes. The
    statistic is ``log2((A_in + e) / (A_rest + e))`` as in
    :func:`~scypher.interpret.attention_null.attention_test`; its null ``|z|`` are pooled per group
    over at least 100 genes of like degree: ``p = (b + 1) / (B + 1)``.

    Parameters
    ----------
    attention
        Non-negative weights, 1.0 = uniform, shape (n_cells, n_genes).
    groups
        Group of each cell, or -1, shape (n_cells,).
    n_groups
        Number of groups.
    strata
        Genes are traded only between cells of one stratum, shape (n_cells,).
    rng
        Source of all trades.
    n_rewirings
        Rewired graphs, at least 2.
    """
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    means = GroupMeans.of(attention, label, n_groups)
    degree = np.diff(means.columns.indptr)
    seen = np.log2(means.lift(means.inside))
    genes = np.argsort(degree, kind="stable")
    genes = genes[degree[genes] >= MIN_CELLS]
    comparable = ((means.size > 0) & (means.other > 0)).ravel()
    some = np.flatnonzero(comparable)
    null = np.empty((len(genes), len(some), n_rewirings), dtype=np.float32)
    rows = means.columns.tocsr()
    gene, value = rows.indices.copy(), rows.data.astype(np.float64)
    for draw in range(n_rewirings):
        for _ in range(_BETWEEN if draw else _FIRST):
            _trade_all(rows.indptr, gene, strata, rng, n_genes=rows.shape[1])
        _permute(rows.indptr, value, rng.random(len(value)))
        inside = np.zeros((n_groups + 1, rows.shape[1]))
        _add_up(rows.indptr, gene, value, label, inside)
        # total attention to a gene changes as well: the weights of other cells fall on it
        lift = _log_lift(inside, means)
        null[:, :, draw] = lift[some][:, genes].T
    z, p = np.zeros_like(seen), np.ones_like(seen)
    for pool in alike(degree[genes]):
        at = np.ix_(some, genes[pool])
        z[at], p[at] = against(null[pool], seen[at])
    return NullTest(z, p, comparable[:, None] & (degree >= MIN_CELLS))


def rewire(
    graph: sp.csr_matrix, strata: Ints, rng: np.random.Generator, *, rounds: int = _FIRST
) -> sp.csr_matrix:
    """Return a graph of cells and genes with the same degrees, otherwise at random.

    Parameters
    ----------
    graph
        Shape (n_cells, n_genes); every stored entry is an edge.
    strata
        Genes are traded only between cells of one stratum, shape (n_cells,).
    rounds
        In each, every cell trades once.
    """
    gene = graph.indices.copy()
    for _ in range(rounds):
        _trade_all(graph.indptr, gene, strata, rng, n_genes=graph.shape[1])
    value = graph.data.astype(np.float64)
    _permute(graph.indptr, value, rng.random(len(value)))
    return sp.csr_matrix((value, gene, graph.indptr), shape=graph.shape)


def _log_lift(inside: Floats, means: GroupMeans) -> Floats:
    total, own = inside.sum(0), inside[:-1]
    rest = np.maximum(total - own, 0) / np.maximum(means.other, 1)
    mean = own / np.maximum(means.size, 1)
    lift: Floats = np.log2((mean + means.epsilon) / (rest + means.epsilon))
    return lift


def _trade_all(
    indptr: Any, gene: Any, strata: Ints, rng: np.random.Generator, *, n_genes: int
) -> None:
    order = np.lexsort((rng.random(len(strata)), strata))
    _trade(indptr, gene, order, strata[order], rng.random(len(gene)), np.full(n_genes, -1))


@numba.njit(cache=True)
def _trade(indptr: Any, gene: Any, order: Any, stratum: Any, uniform: Any, mark: Any) -> None:
    """Let neighbours in the order, of one stratum, deal out anew the genes only one has."""
    place = np.empty(len(gene), np.int64)
    own = 0
    while own + 1 < len(order):
        if stratum[own] != stratum[own + 1]:
            own += 1
            continue
        first, second = order[own], order[own + 1]
        for entry in range(indptr[first], indptr[first + 1]):
            mark[gene[entry]] = 2 * own
        n = 0
        for entry in range(indptr[second], indptr[second + 1]):
            if mark[gene[entry]] == 2 * own:
                mark[gene[entry]] = 2 * own + 1
            else:
                place[n] = entry
                n += 1
        for entry in range(indptr[first], indptr[first + 1]):
            if mark[gene[entry]] == 2 * own:
                place[n] = entry
                n += 1
        for i in range(n - 1, 0, -1):
            j = int(uniform[place[i]] * (i + 1))
            a, b = place[i], place[j]
            gene[a], gene[b] = gene[b], gene[a]
        own += 2


@numba.njit(cache=True)
def _permute(indptr: Any, value: Any, uniform: Any) -> None:
    """Permute the values of each cell in place (Fisher and Yates)."""
    for cell in range(len(indptr) - 1):
        start = indptr[cell]
        for i in range(indptr[cell + 1] - 1, start, -1):
            j = start + int(uniform[i] * (i + 1 - start))
            value[i], value[j] = value[j], value[i]


@numba.njit(cache=True)
def _add_up(indptr: Any, gene: Any, value: Any, label: Any, inside: Any) -> None:
    for cell in range(len(indptr) - 1):
        for entry in range(indptr[cell], indptr[cell + 1]):
            inside[label[cell], gene[entry]] += value[entry]
