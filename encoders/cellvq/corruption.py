"""Make a task of a block of cells: what the model is given, and what it must reconstruct."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..counts import normalise
from ..training.objective import Block
from .tokens import DEEPEST, Tokens, tokenise


class Target(NamedTuple):
    """Counts to reconstruct, ragged: hidden expressed genes and as many sampled zeros a cell.

    Attributes
    ----------
    indptr, gene
        Which genes of each cell.
    asked
        (nnz,) their counts.
    totals
        (nnz,) counts of the cell of each entry.
    weight
        (nnz,) weight of each entry; those of the expressed genes of a cell sum to 1/2, those of
        its zeros too.
    """

    indptr: Tensor
    gene: Tensor
    asked: Tensor
    totals: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Corruption:
    """How much is taken from the input.

    Attributes
    ----------
    hidden
        Share of the expressed genes of a cell that are hidden and asked for, [0, 1].
    whole_depth
        Share of cells that keep their depth; the others are thinned to between a fifth and all.
    panels
        Share of blocks of which only a panel of genes is shown, because users measure panels.
    smallest_panel
        Smallest share of the genes that a panel has; panel sizes are log-uniform from there to 1.
    read_tokens
        Most expressed genes read of a cell, a random sample that stands for all of them.
    max_targets
        Most hidden genes asked for of a cell.
    """

    hidden: float = 0.25
    whole_depth: float = 0.3
    panels: float = 0.15
    smallest_panel: float = 0.01
    read_tokens: int = 1024
    max_targets: int = 256


def corrupt(
    block: Block,
    measured: np.ndarray,
    profile: np.ndarray,
    *,
    how: Corruption,
    rng: np.random.Generator,
) -> tuple[Tokens, Target]:
    """Return the input and the target of a block.

    Counts are thinned binomially to at most 20,000 a cell, inputs further, so that protocols of
    different depth meet at a common one.

    Parameters
    ----------
    block
        Cells.
    measured
        (n_files, n_genes) which genes a file measured; others are never asked for.
    profile
        (n_genes,) share of the counts of a cell, for the depth behind a panel.
    """
    n, n_genes = block.counts.shape
    row = np.repeat(np.arange(n), np.diff(block.counts.indptr))
    gene = block.counts.indices
    keep = np.minimum(1, DEEPEST * rng.uniform(0.25, 1, n) / block.totals)
    totals = block.totals * keep
    count = rng.binomial(block.counts.data.astype(np.int64), keep[row])
    fraction = np.where(rng.random(n) < how.whole_depth, 1.0, rng.uniform(0.2, 1, n))
    given = rng.binomial(count, fraction[row]).astype(np.float32)
    shown = np.ones(n_genes, bool)
    if rng.random() < how.panels:
        size = np.exp(rng.uniform(np.log(how.smallest_panel), 0))
        shown = rng.random(n_genes) < size
    expressed = count > 0
    asked = expressed & (rng.random(len(count)) < how.hidden)
    target = _target(
        _sample_rows(row, asked, how.max_targets, rng),
        row=row,
        gene=gene,
        count=count,
        totals=totals,
        measured=measured[block.dataset],
        rng=rng,
    )
    read = (given > 0) & ~asked & shown[gene]
    # Hidden genes are part of the depth, as they would be for a user.
    seen = totals * fraction
    if not shown.all():
        seen = np.bincount(row, weights=given * shown[gene], minlength=n)
    depth = seen / measured_share(measured[block.dataset] & shown, profile)
    depth = np.maximum(depth, 1)
    length = np.bincount(row[read], minlength=n)
    read = _sample_rows(row, read, how.read_tokens, rng)
    counts = sparse.csr_matrix((given[read], (row[read], gene[read])), shape=block.counts.shape)
    tokens = tokenise(
        normalise(counts, depth),
        depth,
        target_depth=np.log10(np.maximum(totals, 1)),
        length=length,
    )
    return tokens, target


def measured_share(measured: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return the share of all counts of a cell that the measured genes usually have, (0, 1].

    Counts over a panel, divided by it, are an estimate of the counts over all genes.

    Parameters
    ----------
    measured
        (..., n_genes) whether a gene was measured.
    profile
        (n_genes,) share of the counts of a cell.
    """
    share: np.ndarray = np.maximum((measured * profile).sum(axis=-1) / profile.sum(), 1e-4)
    return share


def whole_target(
    counts: sparse.csr_matrix, totals: np.ndarray, measured: np.ndarray, rng: np.random.Generator
) -> Target:
    """Return all expressed genes and as many zeros of each cell as a target.

    Parameters
    ----------
    counts, totals
        Cells.
    measured
        (n_genes,) genes that may be asked for.
    """
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    return _target(
        np.flatnonzero(counts.data > 0),
        row=row,
        gene=counts.indices,
        count=counts.data,
        totals=totals,
        measured=np.broadcast_to(measured, counts.shape),
        rng=rng,
    )


def _sample_rows(
    row: np.ndarray, chosen: np.ndarray, most: int, rng: np.random.Generator
) -> np.ndarray:
    """Return positions of chosen entries, at random at most ``most`` a row, in their order."""
    place = np.flatnonzero(chosen)
    counts = np.bincount(row[place])
    if counts.max(initial=0) <= most:
        return place
    order = np.lexsort((rng.random(len(place)), row[place]))
    begin = np.cumsum(counts) - counts
    rank = np.arange(len(place)) - begin[row[place][order]]
    return np.sort(place[order[rank < most]])


def _target(
    asked: np.ndarray,
    *,
    row: np.ndarray,
    gene: np.ndarray,
    count: np.ndarray,
    totals: np.ndarray,
    measured: np.ndarray,
    rng: np.random.Generator,
) -> Target:
    """Join the entries asked for with as many measured genes of the same cells without a count."""
    n, n_genes = measured.shape
    drawn_row = row[asked]
    drawn = rng.integers(0, n_genes, len(drawn_row))
    # Entries ascend by cell and gene, so that membership is a search among their joint numbers.
    known = row.astype(np.int64) * n_genes + gene
    wanted = drawn_row.astype(np.int64) * n_genes + drawn
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    is_zero = measured[drawn_row, drawn]
    if len(known):
        is_zero &= (known[place] != wanted) | (count[place] == 0)
    zero_row, zero_gene = drawn_row[is_zero], drawn[is_zero]
    rows = np.concatenate([drawn_row, zero_row])
    order = np.argsort(rows, kind="stable")
    half = [
        0.5 / np.maximum(np.bincount(part, minlength=n), 1)[part] for part in (drawn_row, zero_row)
    ]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    genes = np.concatenate([gene[asked], zero_gene])[order]
    counts = np.concatenate([count[asked], np.zeros(len(zero_row))])[order]
    return Target(
        torch.from_numpy(indptr.astype(np.int64)),
        torch.from_numpy(genes.astype(np.int64)),
        torch.from_numpy(counts.astype(np.float32)),
        torch.from_numpy(totals[rows[order]].astype(np.float32)),
        torch.from_numpy(np.concatenate(half)[order].astype(np.float32)),
    )
