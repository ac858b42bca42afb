"""Which genes co-vary over the cells beyond what depth and donor explain."""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.errors import InputError
from ..statistics import Floats, Ints, adjust, tidy
from .stratified_null import Matrix, PairTest, pair_test


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
    by_expression = pair_test(expression, strata, genes, rng=rng, n_permutations=n_permutations)
    columns = _columns("correlation", by_expression, pairs)
    closeness = _mutual_rank(by_expression.z, columns["correlation_q"], pairs)
    if attention is not None:
        by_attention = pair_test(attention, strata, genes, rng=rng, n_permutations=n_permutations)
        columns |= _columns("attention", by_attention, pairs)
        other = _mutual_rank(by_attention.z, columns["attention_q"], pairs)
        closeness = np.minimum(closeness, other)
    return _closest(genes, columns, closeness, max_pairs=max_pairs, n_cells=expression.shape[0])


def closest_pairs(test: PairTest, genes: Ints, *, max_pairs: int, n_cells: int) -> pd.DataFrame:
    """Return the closest pairs of genes by any measure, as :func:`co_regulation` returns them.

    Parameters
    ----------
    test
        Weight, z and p of all pairs; the weight stands in the column ``correlation``.
    genes
        Positions of the genes, ascending.
    max_pairs
        Pairs to return, the closest by mutual rank.
    n_cells
        Cells that were asked.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`co_regulation`.
    """
    pairs = np.triu_indices(len(genes), k=1)
    columns = _columns("correlation", test, pairs)
    closeness = _mutual_rank(test.z, columns["correlation_q"], pairs)
    return _closest(genes, columns, closeness, max_pairs=max_pairs, n_cells=n_cells)


def _closest(
    genes: Ints, columns: dict[str, Floats], closeness: Floats, *, max_pairs: int, n_cells: int
) -> pd.DataFrame:
    pairs = np.triu_indices(len(genes), k=1)
    if "attention" not in columns:
        nothing = np.zeros(len(pairs[0]))
        columns |= {"attention": nothing, "attention_z": nothing}
        columns |= {"attention_p": nothing + 1, "attention_q": nothing + 1}
    found = np.flatnonzero(np.isfinite(closeness))
    strength = np.abs(columns["correlation_z"][found])
    kept = np.sort(found[np.lexsort((-strength, closeness[found]))[:max_pairs]])
    return tidy(
        {
            "source": genes[pairs[0][kept]],
            "target": genes[pairs[1][kept]],
            **{name: values[kept] for name, values in columns.items()},
            "n_cells": np.full(len(kept), n_cells),
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


def _columns(name: str, result: PairTest, pairs: tuple[Ints, Ints]) -> dict[str, Floats]:
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
