"""Check what is to be changed in cells, and choose genes alike as its null, group by group."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.counts import normalise
from ..statistics import Floats, Ints, refuse
from .changed_counts import Changes, high_levels, matched_sets, rows_of
from .cuts import alike


@dataclass(frozen=True)
class Question:
    """What is asked of all groups.

    ``counts`` (n_cells, n_genes), ``totals`` (n_cells,) their sums, ``values`` log1p of counts per
    10,000, ``shares`` of the counts of a cell; positions of the genes to remove (``cut``) and to
    raise; ``usable`` (n_genes,) genes that the encoder reads and that some cell expresses.
    """

    counts: sp.csr_matrix
    totals: Floats
    values: sp.csr_matrix
    shares: sp.csc_matrix
    cut: Ints
    raised: Ints
    usable: NDArray[np.bool_]


def checked(
    counts: sp.csr_matrix,
    asked: tuple[Ints, Ints | None],
    groups: Ints,
    readable: NDArray[np.bool_] | None,
    *,
    n_null: int,
    max_cells: int,
) -> Question:
    """Return the question; :class:`~scypher.encoders.errors.InputError` where it cannot be asked.

    ``asked`` are positions of genes to remove and of genes to raise, the others as in
    :func:`~scypher.interpret.perturbation.changes.perturb`.
    """
    n_cells, n_genes = counts.shape
    cut = np.unique(asked[0]).astype(np.int64)
    raised = np.unique(np.zeros(0) if asked[1] is None else asked[1]).astype(np.int64)
    readable = np.ones(n_genes, dtype=bool) if readable is None else readable
    if groups.shape != (n_cells,) or readable.shape != (n_genes,) or min(n_null, max_cells) < 1:
        refuse(
            f"{groups.size} groups and {readable.size} readable genes for {counts.shape}, n_null "
            f"{n_null}, max_cells {max_cells} were given",
            "one group per cell, one flag per gene, numbers of at least 1",
            "pass arrays of the same cells and genes",
        )
    every = np.concatenate([cut, raised])
    if not len(every) or every.min() < 0 or every.max() >= n_genes or len(set(every)) < len(every):
        refuse(
            f"{len(cut)} genes to remove and {len(raised)} to raise were given",
            f"at least one, positions from 0 to {n_genes - 1}, none of them in both",
            "pass positions of genes, not names",
        )
    expressed = np.bincount(counts.indices[counts.data > 0], minlength=n_genes)
    usable = readable & (expressed > 0)
    if not usable[every].all():
        refuse(
            f"the genes at {every[~usable[every]][:5].tolist()} were given",
            "genes that the encoder reads and that some cell expresses",
            "leave these out: nothing can be removed, and to no level can they be raised",
        )
    if not (groups >= 0).any():
        refuse("no cell is in a group", "at least one cell with a group", "number groups from 0")
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    positive = np.maximum(totals, 1)
    shares = counts.multiply(1 / positive[:, None]).tocsc()
    return Question(counts, totals, normalise(counts, positive), shares, cut, raised, usable)


def changes_of(
    cells: Question, inside: Ints, n_null: int, rng: np.random.Generator
) -> tuple[Changes, int]:
    """Return what is done to the cells of a group, and how many genes are changed in it.

    Genes to remove that no cell of the group expresses are left out.
    """
    n_genes = cells.counts.shape[1]
    mean, detected = _profile(sp.csr_matrix(cells.values[inside]))
    cut = cells.cut[detected[cells.cut] > 0]
    free = np.setdiff1d(
        np.flatnonzero(cells.usable), np.concatenate([cells.cut, cells.raised]), assume_unique=True
    )
    sets: dict[str, Ints] = {"cut": np.empty((n_null + 1, 0), dtype=np.int64)}
    sets["raised"] = sets["cut"]
    for name, genes in (("cut", cut), ("raised", cells.raised)):
        if not len(genes):
            continue
        others = free[detected[free] > 0] if name == "cut" else free
        if len(others) < n_null:
            refuse(
                f"{len(others)} other genes that cells of a group express",
                f"at least the {n_null} null genes",
                "take fewer null genes, or larger groups",
            )
        of = (mean, detected, len(inside))
        if name == "raised":
            of = (*_profile(cells.values), cells.values.shape[0])
        near = alike(*of, genes=genes, others=others, n_null=n_null)
        sets[name] = np.vstack([genes, matched_sets(near, n_genes, rng)])
    every = np.unique(sets["raised"])
    level = high_levels(cells.shares, every)[np.searchsorted(every, sets["raised"])]
    changes = Changes(rows_of(sets["cut"], n_genes), rows_of(sets["raised"], n_genes, level))
    return changes, len(cut) + len(cells.raised)


def _profile(values: sp.csr_matrix) -> tuple[Floats, Ints]:
    """Return mean and number of expressing cells of every gene."""
    mean = np.asarray(values.sum(axis=0), dtype=np.float64).ravel() / max(values.shape[0], 1)
    detected = np.bincount(values.indices[values.data > 0], minlength=values.shape[1])
    return mean, detected
