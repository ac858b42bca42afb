"""Cut genes out of the cells of groups, and genes expressed alike as the null."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..statistics import Floats, Ints, adjust, refuse, tidy

_CELLS_AT_ONCE = 4096

Respond = Callable[[sp.csr_matrix, Ints], Floats]
"""Answers of a model, (n, n_answers), to changed rows of a matrix; the second says which rows."""


@dataclass(frozen=True)
class GroupPlan:
    """A group with what is asked of it.

    ``rows`` are the cells drawn, ``genes`` the genes asked, ``matched`` (n_asked, n_null) their
    null genes, ``detected`` (n_genes,) the share of all its cells that express a gene.
    """

    number: int
    rows: Ints
    genes: Ints
    matched: Ints
    detected: Floats


@dataclass(frozen=True)
class Cuts:
    """Sets of genes that are cut: CSR (n_cuts, n_genes), which are asked, which are their null."""

    members: sp.csr_matrix
    asked: Ints
    null: Ints
    gene: Ints


def plan_cuts(
    values: sp.csr_matrix,
    asked: pd.DataFrame,
    groups: Ints,
    readable: NDArray[np.bool_] | None,
    *,
    n_null: int,
    max_cells: int,
    rng: np.random.Generator,
) -> list[GroupPlan]:
    """Check the questions, draw cells and match null genes within each group."""
    n_cells, n_genes = values.shape
    readable = np.ones(n_genes, dtype=bool) if readable is None else readable
    if groups.shape != (n_cells,) or readable.shape != (n_genes,) or n_null < 1 or max_cells < 1:
        refuse(
            f"{groups.size} groups and {readable.size} readable genes for {values.shape}, n_null "
            f"{n_null}, max_cells {max_cells} were given",
            "one group per cell, one flag per gene, numbers of at least 1",
            "pass arrays of the same cells and genes",
        )
    pairs = asked[["gene", "group"]].drop_duplicates()
    if not len(pairs) or pairs["gene"].min() < 0 or pairs["gene"].max() >= n_genes:
        refuse(
            f"{len(pairs)} questions about genes {pairs['gene'].min()} to {pairs['gene'].max()}",
            f"at least one, positions from 0 to {n_genes - 1}",
            "pass positions of genes, not names",
        )
    plan = []
    for number, part in pairs.groupby("group", sort=True):
        genes = np.sort(part["gene"].to_numpy(dtype=np.int64))
        inside = np.flatnonzero(groups == number)
        block = sp.csr_matrix(values[inside])
        mean = np.asarray(block.sum(axis=0)).ravel() / max(len(inside), 1)
        detected = np.bincount(block.indices[block.data > 0], minlength=n_genes)
        usable = np.flatnonzero(readable & (detected > 0))
        lost = genes[~np.isin(genes, usable)]
        if len(lost):
            refuse(
                f"genes at {lost[:5].tolist()} were asked of group {number}",
                "genes that the model reads and that cells of the group hold",
                "leave these out: nothing can be cut",
            )
        others = np.setdiff1d(usable, genes)
        if len(others) < n_null:
            refuse(
                f"{len(others)} genes of group {number} that are not asked about",
                f"at least the {n_null} null genes",
                "ask about fewer genes, or take fewer null genes",
            )
        near = alike(mean, detected, len(inside), genes=genes, others=others, n_null=n_null)
        drawn = rng.choice(inside, min(max_cells, len(inside)), replace=False)
        plan.append(
            GroupPlan(int(str(number)), np.sort(drawn), genes, near, detected / len(inside))
        )
    return plan


def alike(
    mean: Floats, detected: Ints, n_cells: int, *, genes: Ints, others: Ints, n_null: int
) -> Ints:
    """Return the genes nearest in log mean and logit detection, (n_genes, n_null), nearest first.

    Parameters
    ----------
    mean, detected
        Of every gene: mean expression and number of cells that express it, of ``n_cells``.
    genes
        Positions asked about.
    others
        Positions to choose from.
    n_null
        How many to return of each.
    """
    place = np.stack([np.log(np.maximum(mean, 1e-6)), _logit(detected, n_cells)], axis=1)
    near = cKDTree(place[others]).query(place[genes], k=range(1, n_null + 1))[1]
    found: Ints = others[near]
    return found


def _logit(detected: Ints, n: int) -> Floats:
    """Return the log odds of a share, finite at its ends."""
    odds: Floats = np.log((detected + 0.5) / (n - detected + 0.5))
    return odds


def cuts_alone(group: GroupPlan) -> Cuts:
    """Cut each gene once, whether asked or null of several."""
    genes = np.unique(np.concatenate([group.genes, group.matched.ravel()]))
    shape = (len(genes), len(group.detected))
    members = sp.csr_matrix((np.ones(len(genes)), (np.arange(len(genes)), genes)), shape=shape)
    asked, null = np.searchsorted(genes, group.genes), np.searchsorted(genes, group.matched)
    return Cuts(members, asked, null, group.genes)


def cuts_together(group: GroupPlan, n_null: int, rng: np.random.Generator) -> Cuts:
    """Cut all asked genes at once, then ``n_null`` sets with one matched gene for each."""
    drawn = rng.permuted(group.matched, axis=1)
    genes = np.concatenate([group.genes[:, None], drawn], axis=1)
    cut = np.broadcast_to(np.arange(n_null + 1), genes.shape)
    members = sp.csr_matrix(
        (np.ones(genes.size), (cut.ravel(), genes.ravel())),
        shape=(n_null + 1, len(group.detected)),
    )
    return Cuts(members, np.array([0]), np.arange(1, n_null + 1)[None], np.array([-1]))


def ask(
    matrix: sp.csr_matrix, rows: Ints, members: sp.csr_matrix, respond: Respond
) -> tuple[Floats, Ints]:
    """Return the answers to every cut in every cell that it changes, and the cut of each."""
    block = sp.csr_matrix(matrix[rows])
    hit = sp.csr_matrix(members @ (block > 0).T.astype(np.float64)).tocoo()
    order = np.lexsort((hit.col, hit.row))
    cut, cell = hit.row[order].astype(np.int64), hit.col[order].astype(np.int64)
    found = [
        respond(without(block, cell[part], members, cut[part]), rows[cell[part]])
        for part in _parts(len(cut))
    ]
    return np.concatenate(found), cut


def without(block: sp.csr_matrix, cell: Ints, members: sp.csr_matrix, cut: Ints) -> sp.csr_matrix:
    """Return rows of a matrix, each without the entries of the genes of its cut."""
    stacked = sp.csr_matrix(block[cell])
    length = np.diff(stacked.indptr)
    n_genes = stacked.shape[1]
    number = np.repeat(np.arange(members.shape[0]), np.diff(members.indptr))
    gone = np.sort(number * n_genes + members.indices)
    key = np.repeat(cut, length) * n_genes + stacked.indices
    kept = gone[np.minimum(np.searchsorted(gone, key), len(gone) - 1)] != key
    before = np.concatenate([[0], np.cumsum(kept)])
    return sp.csr_matrix(
        (stacked.data[kept], stacked.indices[kept], before[stacked.indptr]), shape=stacked.shape
    )


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, start + _CELLS_AT_ONCE) for start in range(0, n, _CELLS_AT_ONCE))


def mean_answers(answers: Floats, cut: Ints, cuts: Cuts, n_cells: int) -> Floats:
    """Return the mean answer of every cut over the cells of its group, (n_cuts, n_answers)."""
    sums = [np.bincount(cut, column, cuts.members.shape[0]) for column in answers.T]
    means: Floats = np.stack(sums, axis=1) / max(n_cells, 1)
    return means


def against_null(
    group: GroupPlan, cuts: Cuts, cut: Ints, means: Floats, *, names: tuple[str, str]
) -> dict[str, NDArray[np.generic]]:
    """Return the columns of a group, without q: every answer against its null."""
    n = len(cuts.asked)
    alone = len(cuts.gene) == len(group.genes) and cuts.gene[0] >= 0
    detected, null_detected = group.detected[group.genes], group.detected[group.matched]
    table: dict[str, NDArray[np.generic]] = {
        "gene": cuts.gene,
        "group": np.full(n, group.number),
        "n_genes": np.full(n, 1 if alone else len(group.genes)),
        "n_cells": np.full(n, len(group.rows)),
        "n_cut": np.bincount(cut, minlength=cuts.members.shape[0])[cuts.asked],
        "detected": detected if alone else detected.mean(keepdims=True),
        "null_detected": null_detected.mean(axis=1) if alone else null_detected.mean().reshape(1),
    }
    for column, (name, prefix) in enumerate(zip(names, ("", "state_"), strict=True)):
        observed, null = means[cuts.asked, column], means[cuts.null, column]
        table |= {name: observed} | beside_null(observed, null, prefix)
    return table


def beside_null(observed: Floats, null: Floats, prefix: str = "") -> dict[str, Floats]:
    """Return ``null_mean``, ``null_sd``, ``z`` (NaN where the null does not vary) and one-sided p.

    Parameters
    ----------
    observed
        (n,) answers.
    null
        (n, n_null) answers under the null.
    prefix
        Put before the names.
    """
    mean, sd = null.mean(axis=1), null.std(axis=1)
    # Rounding must not make a tie look like less.
    reached = (null >= observed[:, None] - 1e-12).sum(axis=1)
    moves = sd > 1e-12
    return {
        f"{prefix}null_mean": mean,
        f"{prefix}null_sd": sd,
        f"{prefix}z": np.where(moves, (observed - mean) / np.where(moves, sd, 1), np.nan),
        f"{prefix}p": (reached + 1) / (null.shape[1] + 1),
    }


def joined(tables: list[pd.DataFrame], n_null: int) -> pd.DataFrame:
    """Join groups and adjust p over all rows."""
    table = pd.concat(tables, ignore_index=True)
    for prefix in ("", "state_"):
        place = list(table.columns).index(f"{prefix}p") + 1
        table.insert(place, f"{prefix}q", adjust(table[f"{prefix}p"].to_numpy()))
    table["n_null"] = n_null
    return tidy({str(name): table[name].to_numpy() for name in table})
