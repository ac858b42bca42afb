"""Which genes co-vary over the cells beyond what depth and donor explain."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..encoders.errors import InputError
from .statistics import Floats, Ints, adjust, tidy

Matrix = NDArray[np.float32]

_GENES_PER_BIN = 40
_BINS = 8
_WIDTH, _LAST = 0.02, 5_000
_CELLS_AT_ONCE = 8_192


@dataclass(frozen=True)
class _Association:
    """Pearson correlation, z and p of all pairs, each of shape (n_genes, n_genes)."""

    correlation: Matrix
    z: Matrix
    p: Floats


def co_regulation(
    expression: sp.csr_matrix,
    *,
    attention: sp.csr_matrix | None = None,
    strata: NDArray[Any],
    genes: NDArray[Any],
    rng: np.random.Generator,
    n_permutations: int = 10,
    max_pairs: int = 20_000,
) -> pd.DataFrame:
    """Test all pairs of genes for co-variation over cells, by expression and by attention.

    Null: the values of each gene are permuted over the cells of a stratum, each gene on its own,
    which keeps the effects of depth and donor and destroys co-variation. With ``x`` centred within
    strata, ``z = sum(x_i x_j) / sqrt(sum over strata of SS_i SS_j / (n - 1))`` has mean 0 and
    deviation 1 under it exactly. The null ``|z|`` of permuted data are pooled over pairs whose
    genes are expressed in like numbers of cells: ``p = (b + 1) / (B + 1)``, where ``b`` of ``B``
    draws reach the observed ``|z|`` (in steps of 0.02, so that p is never too small); q is
    Benjamini-Hochberg over all pairs of genes that vary.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    attention
        Attention of cells to genes, absent = 0, same shape; without it its z is 0 and its q 1.
    strata
        Stratum of each cell: cells of like depth (and one donor), shape (n_cells,).
    genes
        Positions of the genes to pair; memory grows with the square of their number.
    rng
        Source of the permutations.
    n_permutations
        Permutations of the data, at least 1.
    max_pairs
        Pairs to return, the closest by mutual rank (Obayashi & Kinoshita 2009, DNA Res 16:249) in
        either method: the strongest partners of every gene rather than one strong program.

    Returns
    -------
    pandas.DataFrame
        The pairs with q < 0.05 in either method: ``source`` < ``target`` (positions),
        ``correlation`` (Pearson over all cells), ``correlation_z``, ``correlation_p``,
        ``correlation_q``, ``attention`` (Pearson), ``attention_z``, ``attention_p``,
        ``attention_q`` and ``n_cells``.

    Raises
    ------
    InputError
        When shapes disagree or a gene is named twice.
    """
    genes = np.sort(np.asarray(genes, dtype=np.int64))
    _check(expression, attention, np.asarray(strata), genes)
    pairs = np.triu_indices(len(genes), k=1)
    by_expression = _association(expression, strata, genes, rng=rng, n_permutations=n_permutations)
    columns = _columns("correlation", by_expression, pairs)
    closeness = _mutual_rank(by_expression.z, columns["correlation_q"], pairs)
    if attention is None:
        nothing = np.zeros(len(pairs[0]))
        columns |= {"attention": nothing, "attention_z": nothing}
        columns |= {"attention_p": nothing + 1, "attention_q": nothing + 1}
    else:
        by_attention = _association(
            attention, strata, genes, rng=rng, n_permutations=n_permutations
        )
        columns |= _columns("attention", by_attention, pairs)
        other = _mutual_rank(by_attention.z, columns["attention_q"], pairs)
        closeness = np.minimum(closeness, other)
    found = np.flatnonzero(np.isfinite(closeness))
    strength = np.abs(columns["correlation_z"][found])
    kept = np.sort(found[np.lexsort((-strength, closeness[found]))[:max_pairs]])
    return tidy(
        {
            "source": genes[pairs[0][kept]],
            "target": genes[pairs[1][kept]],
            **{name: values[kept] for name, values in columns.items()},
            "n_cells": np.full(len(kept), expression.shape[0]),
        }
    )


def _check(
    expression: sp.csr_matrix, attention: sp.csr_matrix | None, strata: NDArray[Any], genes: Ints
) -> None:
    shapes = {expression.shape} | ({attention.shape} if attention is not None else set())
    if len(shapes) > 1 or strata.shape != (expression.shape[0],):
        message = (
            f"matrices of shape {sorted(shapes)} were given with {strata.size} strata; expected "
            "one shape and one stratum per cell; align them to the same cells and genes."
        )
        raise InputError(message)
    if len(np.unique(genes)) < len(genes):
        message = (
            f"{len(genes)} genes were given, of which {len(np.unique(genes))} differ; expected "
            "each gene once; drop the repeated positions."
        )
        raise InputError(message)


def _columns(name: str, result: _Association, pairs: tuple[Ints, Ints]) -> dict[str, Floats]:
    z = result.z[pairs].astype(np.float64)
    p = result.p[pairs]
    q = np.ones_like(p)
    # a gene without spread makes no hypothesis
    varies = np.isfinite(z)
    q[varies] = adjust(p[varies])
    return {
        name: result.correlation[pairs].astype(np.float64),
        f"{name}_z": np.where(varies, z, 0.0),
        f"{name}_p": p,
        f"{name}_q": q,
    }


def _mutual_rank(z: Matrix, q: Floats, pairs: tuple[Ints, Ints]) -> Floats:
    """Return the geometric mean of the ranks two genes have for each other, inf unless q < 0.05."""
    order = np.argsort(-np.nan_to_num(np.abs(z)), axis=1, kind="stable")
    rank = np.empty(order.shape, dtype=np.float32)
    places = np.arange(1, len(z) + 1, dtype=np.float32)
    np.put_along_axis(rank, order, np.broadcast_to(places, order.shape), axis=1)
    mutual = np.sqrt(rank[pairs] * rank.T[pairs]).astype(np.float64)
    return np.where(q < 0.05, mutual, np.inf)


def _association(
    matrix: sp.csr_matrix,
    strata: NDArray[Any],
    genes: Ints,
    *,
    rng: np.random.Generator,
    n_permutations: int,
) -> _Association:
    columns = matrix[:, genes].tocsr()
    expressing = np.bincount(columns.indices[columns.data != 0], minlength=len(genes))
    # genes sorted by expressing cells: every bin is one slice, every pair of bins one block
    order = np.argsort(expressing, kind="stable")
    columns = columns[:, order]
    within, between, expected = _covariation(columns, strata)
    varying = np.flatnonzero(np.diag(expected) > 0)
    n_bins = int(np.clip(len(varying) // _GENES_PER_BIN, 1, _BINS))
    edges = [part[0] for part in np.array_split(varying, n_bins) if len(part)]
    bins = [slice(*edge) for edge in itertools.pairwise([*edges, len(order)])]
    blocks = list(itertools.combinations_with_replacement(bins, 2))
    total = np.sqrt(np.maximum(np.diag(within) + np.diag(between), 1e-30))
    correlation = np.clip((within + between) / np.outer(total, total), -1, 1)
    scale = np.where(expected > 0, 1 / np.sqrt(np.maximum(expected, 1e-30)), np.nan)
    z = within * scale
    scale = scale.astype(np.float32)
    null = np.zeros((len(blocks), _LAST + 1), dtype=np.int64)
    for _ in range(n_permutations):
        drawn = _shuffled_covariation(columns, strata, rng)
        for number, (rows, others) in enumerate(blocks):
            values = np.abs(drawn[rows, others] * scale[rows, others])
            null[number] += _histogram(values[_above(values)] if rows == others else values)
    p = np.ones(z.shape)
    for number, (rows, others) in enumerate(blocks):
        reach = np.cumsum(null[number, ::-1])[::-1]
        block = (reach[_step(np.abs(z[rows, others]))] + 1) / (reach[0] + 1)
        p[rows, others] = block
        p[others, rows] = block.T
    p[np.isnan(z)] = 1
    back = np.argsort(order)
    square = np.ix_(back, back)
    return _Association(
        correlation[square].astype(np.float32), z[square].astype(np.float32), p[square]
    )


def _above(square: NDArray[Any]) -> NDArray[np.bool_]:
    return np.triu(np.ones(square.shape, dtype=bool), k=1)


def _step(values: NDArray[Any]) -> Ints:
    step: Ints = np.minimum(np.nan_to_num(values) / _WIDTH, _LAST).astype(np.int64)
    return step


def _histogram(values: NDArray[Any]) -> Ints:
    return np.bincount(_step(values[np.isfinite(values)].ravel()), minlength=_LAST + 1)


def _blocks(columns: sp.csr_matrix, strata: NDArray[Any]) -> Iterator[tuple[Matrix, list[slice]]]:
    """Yield dense blocks (n_genes, n_cells) of whole strata, and where each stratum lies."""
    order = np.argsort(strata, kind="stable")
    _, size = np.unique(strata, return_counts=True)
    ends = np.cumsum(size)
    start = first = 0
    while first < len(size):
        last = max(int(np.searchsorted(ends, start + _CELLS_AT_ONCE, side="right")), first + 1)
        stop = int(ends[last - 1])
        dense = columns[order[start:stop]].toarray().T.astype(np.float32, order="C")
        edges = [0, *(ends[first:last] - start).tolist()]
        yield dense, [slice(*edge) for edge in itertools.pairwise(edges)]
        start, first = stop, last


def _covariation(columns: sp.csr_matrix, strata: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Return sums of products within and between strata, and the null variance of the former."""
    n_genes = columns.shape[1]
    overall = np.ones(columns.shape[0]) @ columns / max(columns.shape[0], 1)
    within, between, expected = (np.zeros((n_genes, n_genes)) for _ in range(3))
    for dense, places in _blocks(columns, strata):
        shift = np.empty((n_genes, len(places)))
        squares = np.empty((n_genes, len(places)))
        for number, place in enumerate(places):
            part = dense[:, place]
            mean = part.mean(1, dtype=np.float64)
            part -= mean[:, None].astype(np.float32)
            # a constant stratum is exactly zero, not rounding
            part[np.ptp(part, axis=1) == 0] = 0
            size = part.shape[1]
            shift[:, number] = (mean - overall) * np.sqrt(size)
            squares[:, number] = (part.astype(np.float64) ** 2).sum(1) / np.sqrt(max(size - 1, 1))
        within += dense @ dense.T
        between += shift @ shift.T
        expected += squares @ squares.T
    return within, between, expected


def _shuffled_covariation(
    columns: sp.csr_matrix, strata: NDArray[Any], rng: np.random.Generator
) -> Matrix:
    """Return the sums of products within strata after each gene was permuted within strata."""
    n_genes = columns.shape[1]
    drawn = np.zeros((n_genes, n_genes), dtype=np.float32)
    for dense, places in _blocks(columns, strata):
        for place in places:
            part = dense[:, place]
            part -= part.mean(1, keepdims=True)
            dense[:, place] = rng.permuted(part, axis=1)
        drawn += dense @ dense.T
    return drawn
