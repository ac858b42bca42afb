"""What stands behind a module: a null of like genes, agreement of donors, and its eigengene."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.errors import InputError
from ..statistics import Floats, Ints, adjust, tidy
from .communities import Modules
from .pair_correlation import correlation_matrix
from .stratified_null import expressing_cells

MIN_DONORS = 4
"""Donors needed to compare halves."""

_LEVELS = 8


def like_genes(expression: sp.csr_matrix, genes: Ints) -> Ints:
    """Return a class per gene: an eighth by mean expression, then a half by detecting cells.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    genes
        Positions of the genes.
    """
    columns = expression[:, genes]
    level = _fractions(np.asarray(columns.sum(axis=0)).ravel(), _LEVELS)
    detected = expressing_cells(columns)
    found = np.empty(len(genes), dtype=np.int64)
    for one in np.unique(level):
        inside = np.flatnonzero(level == one)
        found[inside] = 2 * one + _fractions(detected[inside], 2)
    return found


def matched_module_null(
    expression: sp.csr_matrix,
    genes: Ints,
    membership: pd.DataFrame,
    *,
    rng: np.random.Generator,
    n_draws: int = 999,
) -> pd.DataFrame:
    """Compare the mean correlation within each module with that of random genes of like expression.

    Null: as many genes are drawn, without replacement, from each class of
    :func:`like_genes` as the module has in it, out of all ``genes``. ``p = (b + 1) / (B + 1)``,
    where ``b`` of ``B`` draws reach the mean correlation of the module. The module was found by
    its correlation in the same cells, so p says that it is no accident of expression level, not
    that it would be found again: for that see :func:`donor_stability`.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    genes
        Positions of all genes that could have been in a module.
    membership
        Columns ``gene`` and ``module``.
    rng
        Source of the draws.
    n_draws
        Draws, at least 1.

    Returns
    -------
    pandas.DataFrame
        Per module: ``module``, ``mean_weight`` (mean Pearson correlation among its genes),
        ``null_weight`` (mean over the draws), ``null_z`` (deviations of the draws between the
        two), ``null_p``, ``null_q`` (Benjamini-Hochberg over modules).

    Raises
    ------
    InputError
        When a gene of a module is not among ``genes``.
    """
    genes = np.sort(np.asarray(genes, dtype=np.int64))
    modules = np.unique(membership["module"].to_numpy(dtype=np.int64))
    place = _places(genes, membership)
    kind = like_genes(expression, genes)
    order = np.argsort(kind, kind="stable")
    starts = np.searchsorted(kind[order], np.arange(2 * _LEVELS + 1))
    correlation = correlation_matrix(expression, genes) if len(modules) else np.empty((0, 0))
    seen, mean, z, p = (np.zeros(len(modules)) for _ in range(4))
    for row, module in enumerate(modules):
        own = place[membership["module"].to_numpy() == module]
        wanted = np.bincount(kind[own], minlength=2 * _LEVELS)
        uniform = rng.random((n_draws, len(own)))
        draws = _drawn_weights(correlation, order, starts, wanted, uniform)
        seen[row] = _mean_weight(correlation, own)
        mean[row], spread = draws.mean(), draws.std()
        z[row] = (seen[row] - mean[row]) / spread if spread > 1e-12 else 0.0
        p[row] = (1 + (draws >= seen[row] - 1e-9).sum()) / (n_draws + 1)
    return tidy(
        {
            "module": modules,
            "mean_weight": seen,
            "null_weight": mean,
            "null_z": z,
            "null_p": p,
            "null_q": adjust(p),
        }
    )


def matched_modules(
    expression: sp.csr_matrix, genes: Ints, membership: pd.DataFrame, *, rng: np.random.Generator
) -> pd.DataFrame:
    """Return ``gene`` and ``module`` of random modules, one like each module in expression.

    Drawn as in :func:`matched_module_null`, of which the parameters are.
    """
    genes = np.sort(np.asarray(genes, dtype=np.int64))
    place, kind = _places(genes, membership), like_genes(expression, genes)
    pools = [np.flatnonzero(kind == one) for one in range(2 * _LEVELS)]
    label = membership["module"].to_numpy(dtype=np.int64)
    drawn, names = [], []
    for module in np.unique(label):
        wanted = np.bincount(kind[place[label == module]], minlength=2 * _LEVELS)
        for pool, n in zip(pools, wanted.tolist(), strict=True):
            drawn.append(genes[rng.choice(pool, n, replace=False)])
        names.append(np.full(wanted.sum(), module))
    if not drawn:
        return tidy({"gene": np.empty(0, np.int64), "module": np.empty(0, np.int64)})
    return tidy({"gene": np.concatenate(drawn), "module": np.concatenate(names)})


def donor_stability(
    membership: pd.DataFrame,
    donors: Ints | None,
    find: Callable[[Ints], Modules],
    *,
    rng: np.random.Generator,
    n_splits: int = 1,
) -> tuple[pd.DataFrame, float]:
    """Return how well each module is found again in halves of the donors.

    Donors are dealt at random into two halves of like numbers of cells, and modules are found in
    each half anew.

    Parameters
    ----------
    membership
        Columns ``gene`` and ``module`` of the modules of all cells.
    donors
        Donor of each cell, -1 where unknown; cells without one are left out.
    find
        Returns the modules of the cells whose positions it is given.
    rng
        Source of the splits.
    n_splits
        Ways to halve the donors.

    Returns
    -------
    stability
        ``module`` and ``donor_stability``: mean over halves of the Jaccard index with the best
        match there, NaN with fewer than 4 donors.
    agreement
        Mean over the modules of both halves of the Jaccard index with the best match in the other
        half, NaN with fewer than 4 donors or without modules.
    """
    ours = _sets(membership)
    nothing = tidy(
        {
            "module": np.array(list(ours), dtype=np.int64),
            "donor_stability": np.full(len(ours), np.nan),
        }
    )
    known = np.unique(donors[donors >= 0]) if donors is not None else np.empty(0)
    if donors is None or len(known) < MIN_DONORS:
        return nothing, float("nan")
    scores, agreement = [], []
    for _ in range(n_splits):
        halves = [
            list(_sets(find(np.flatnonzero(np.isin(donors, side))).membership).values())
            for side in _halves(donors, rng)
        ]
        scores += [[best_match(one, half) for one in ours.values()] for half in halves]
        agreement += [best_match(one, halves[1]) for one in halves[0]]
        agreement += [best_match(one, halves[0]) for one in halves[1]]
    table = nothing.assign(donor_stability=np.mean(scores, axis=0) if ours else [])
    return table, float(np.mean(agreement)) if agreement else float("nan")


def best_match(genes: set[int], others: list[set[int]]) -> float:
    """Return the highest Jaccard index of a set of genes with one of others, 0 without any."""
    return max((len(genes & one) / len(genes | one) for one in others), default=0.0)


def eigengenes(expression: sp.csr_matrix, membership: pd.DataFrame) -> Floats:
    """Return the eigengene of each module: (n_cells, n_modules), mean 0 and deviation 1 over cells.

    First principal component of the standardised values of its genes (Langfelder & Horvath 2007,
    BMC Syst Biol 1:54), with the sign by which it correlates with their mean. No dense cells by
    genes are made. A module whose genes do not vary has 0.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    membership
        Columns ``gene`` and ``module``; columns of the result are in the order of the modules.
    """
    rows = _sets(membership)
    found = np.zeros((expression.shape[0], len(rows)))
    for column, members in enumerate(rows.values()):
        genes = np.array(sorted(members))
        values = sp.csr_matrix(expression[:, genes], dtype=np.float64)
        mean = np.asarray(values.mean(axis=0)).ravel()
        square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        varies = spread > 1e-9
        if not varies.any():
            continue
        correlation = correlation_matrix(expression, genes[varies]).astype(np.float64)
        weight = np.zeros(len(genes))
        weight[varies] = np.linalg.eigh(correlation)[1][:, -1]
        scaled = np.divide(weight, spread, out=np.zeros_like(weight), where=varies)
        score = values @ scaled - mean @ scaled
        # covariance with the mean of the standardised genes is (R w) summed
        score *= np.sign((correlation @ weight[varies]).sum()) or 1.0
        found[:, column] = score / max(float(score.std()), 1e-12)
    return found


def _sets(membership: pd.DataFrame) -> dict[int, set[int]]:
    module = membership["module"].to_numpy(dtype=np.int64)
    gene = membership["gene"].to_numpy(dtype=np.int64)
    return {one: set(gene[module == one].tolist()) for one in np.unique(module).tolist()}


def _fractions(values: NDArray[Any], n: int) -> Ints:
    """Return the n-th part each value is in, by rank."""
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray(rank * n // max(len(values), 1), dtype=np.int64)


def _places(genes: Ints, membership: pd.DataFrame) -> Ints:
    members = membership["gene"].to_numpy(dtype=np.int64)
    place = np.searchsorted(genes, members).clip(max=max(len(genes) - 1, 0))
    missing = np.setdiff1d(members, genes)
    if len(missing):
        message = (
            f"modules hold {len(missing)} genes, such as position {missing[0]}, that are not among "
            f"the {len(genes)} genes given; expected all genes that could have been in a module; "
            "give the genes that were tested."
        )
        raise InputError(message)
    return np.asarray(place, dtype=np.int64)


def _halves(donors: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return two sets of donors, dealt by decreasing cells with a random first of each pair."""
    known, cells = np.unique(donors[donors >= 0], return_counts=True)
    order = known[np.lexsort((rng.random(len(known)), -cells))]
    first = rng.random((len(order) + 1) // 2) < 0.5
    left = np.repeat(first, 2)[: len(order)] ^ (np.arange(len(order)) % 2 == 1)
    return order[left], order[~left]


def _mean_weight(correlation: NDArray[Any], own: Ints) -> float:
    n = len(own)
    square = correlation[np.ix_(own, own)].astype(np.float64)
    return float((square.sum() - np.trace(square)) / max(n * (n - 1), 1))


@numba.njit(cache=True)
def _drawn_weights(correlation: Any, order: Any, starts: Any, wanted: Any, uniform: Any) -> Any:
    """Return the mean correlation among random genes of the wanted classes, per draw."""
    pool = order.copy()
    n_draws, n = uniform.shape
    chosen = np.empty(n, np.int64)
    found = np.empty(n_draws)
    for draw in range(n_draws):
        taken = 0
        for kind in range(len(wanted)):
            start, stop = starts[kind], starts[kind + 1]
            for i in range(start, start + wanted[kind]):
                j = i + int(uniform[draw, taken] * (stop - i))
                pool[i], pool[j] = pool[j], pool[i]
                chosen[taken] = pool[i]
                taken += 1
        total = 0.0
        for a in range(n):
            for b in range(a):
                total += correlation[chosen[a], chosen[b]]
        found[draw] = 2 * total / max(n * (n - 1), 1)
    return found
