"""The null of ligand-receptor pairs that sets pairs of matched genes beside them."""

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.compiled import use_threads_of_torch
from ..statistics import Floats, Ints
from .scores import TIES, relative, smallest_of

BIN_SIZES = (20, 100)
"""Fewest and most genes that are matched with each other; an eighth of all genes in between."""

DETECTION_BINS = 2
"""Bins of genes of like mean, by detection."""


def matched_bins(
    mean: Floats, detected: Floats, *, among: NDArray[np.bool_], size: int | None = None
) -> Ints:
    """Return bins of genes alike in mean and detection, -1 for genes that are not ``among`` them.

    Genes are parted by mean into runs of :data:`DETECTION_BINS` bins, and each run by detection
    into as many, so that a gene is as good a match of another as the other of it.

    Parameters
    ----------
    mean, detected
        (n_genes,) mean value and share of cells with a count.
    among
        (n_genes,) whether a gene can be a match.
    size
        Genes in a bin, at least; by default an eighth of these genes within
        :data:`BIN_SIZES`.
    """
    expressed = np.flatnonzero(among)
    least = size or int(np.clip(len(expressed) // 8, *BIN_SIZES))
    order = expressed[np.argsort(mean[expressed], kind="stable")]
    bins = np.full(len(mean), -1, dtype=np.int64)
    n_bins = 0
    for run in np.array_split(order, max(1, len(order) // (DETECTION_BINS * least))):
        by_detection = run[np.argsort(detected[run], kind="stable")]
        for part in np.array_split(
            by_detection, int(np.clip(len(run) // least, 1, DETECTION_BINS))
        ):
            bins[part] = n_bins
            n_bins += 1
    return bins


def decoy_p(
    means: Floats,
    bins: Ints,
    ligand: Ints,
    receptor: Ints,
    *,
    known: sp.csr_matrix,
    rng: np.random.Generator,
) -> tuple[Floats, Ints]:
    """Return p of the specificity of each pair and two groups among matched pairs of genes.

    The specificity is the score over its mean over all ordered two groups. Decoys of a pair are
    all pairs of a gene of the bin of the ligand and one of the bin of the receptor that are no
    known partners; of a complex, genes drawn for each subunit, as many draws as the bin has genes.
    ``p = (b + 1) / (B + 1)``, ``b`` the decoys that are anywhere, between any two groups, at least
    as specific: p is adjusted for all two groups that a pair is asked about (Westfall & Young
    1993, Resampling-Based Multiple Testing). Null: the partners were drawn from their bins.

    Parameters
    ----------
    means
        Mean of each gene in each group, shape (n_groups, n_genes).
    bins
        From :func:`matched_bins`.
    ligand, receptor
        Positions of the subunits of expressed genes, (n_pairs, most), filled up with -1.
    known
        Partners, symmetric, shape (n_genes, n_genes): their pairs are no decoys.

    Returns
    -------
    tuple
        p, shape (n_pairs, n_groups, n_groups), by source and target, and the decoys ``B`` of each
        pair.
    """
    if not len(ligand):
        return np.empty((0, len(means), len(means))), np.empty(0, dtype=np.int64)
    use_threads_of_torch()
    sending = _matched(means, bins, ligand, rng)
    taking = _matched(means, bins, receptor, rng)
    shape = (len(ligand), len(means), len(means))
    count = np.zeros(shape, dtype=np.int64)
    n_decoys = np.zeros(len(ligand), dtype=np.int64)
    partners = (known.indptr, known.indices)
    _count_decoys(sending, taking, partners, 1 - TIES, count, n_decoys)
    p: Floats = (count + 1) / (n_decoys[:, None, None] + 1)
    return p, n_decoys


def q_by_pair(p: Floats) -> Floats:
    """Return q of p that are adjusted within each pair, shape (n_pairs, n_groups, n_groups).

    ``q = min over t >= p of m t / #{pairs whose smallest p <= t}`` of ``m`` pairs: Benjamini &
    Hochberg over pairs, and within the called pairs the level that the calling leaves (Benjamini
    & Bogomolov 2014, J R Stat Soc B 76:297).
    """
    if not p.size:
        return p.copy()
    smallest = np.sort(p.min(axis=(1, 2)))
    levels, place = np.unique(p, return_inverse=True)
    called = np.searchsorted(smallest, levels, side="right")
    q = np.minimum(levels * len(smallest) / called, 1.0)
    running: Floats = np.minimum.accumulate(q[::-1])[::-1]
    return running[place.reshape(p.shape)]


def _matched(
    means: Floats, bins: Ints, genes: Ints, rng: np.random.Generator
) -> tuple[Floats, Ints, Floats, Ints, Ints]:
    """Return the specificity of the side of each pair by group, and which side it is.

    Then the decoys of each side: their largest specificity, their genes, and where they start.
    """
    unique, of = np.unique(genes, axis=0, return_inverse=True)
    members = np.argsort(bins, kind="stable")
    first = np.searchsorted(bins[members], np.arange(bins.max(initial=-1) + 2))
    drawn, lengths = [], []
    # One pass per ligand or receptor, not per cell or pair of groups.
    for side in unique:
        own = bins[side[side >= 0]]
        start, n = first[own], first[own + 1] - first[own]
        if len(own) == 1:
            found = members[start[0] : start[0] + n[0], None]
        else:
            place = (rng.random((int(n.min()), len(own))) * n).astype(np.int64)
            found = members[start + place]
            # A complex is of different genes, and so are its decoys.
            ordered = np.sort(found, axis=1)
            found = found[(np.diff(ordered, axis=1) > 0).all(axis=1)]
        padded = np.full((len(found), genes.shape[1]), -1, dtype=np.int64)
        padded[:, : len(own)] = found
        # Like the pairs that are tested, decoys are expressed by some group.
        padded = padded[smallest_of(means, padded).any(axis=0)]
        drawn.append(padded)
        lengths.append(len(padded))
    decoys = np.concatenate(drawn)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    seen = relative(smallest_of(means, unique)).T[of.ravel()]
    largest = relative(smallest_of(means, decoys)).max(axis=0)
    return (
        np.ascontiguousarray(seen),
        of.ravel().astype(np.int64),
        largest,
        decoys,
        starts,
    )


@numba.njit(cache=True)
def _partners(left: Any, right: Any, indptr: Any, indices: Any) -> bool:
    """Return whether a gene of one side is a known partner of one of the other, or the same."""
    for gene in left:
        if gene < 0:
            continue
        for other in right:
            if other == gene:
                return True
            if other < 0:
                continue
            for entry in range(indptr[gene], indptr[gene + 1]):
                if indices[entry] == other:
                    return True
    return False


@numba.njit(cache=True, parallel=True)
def _count_decoys(
    sending: Any, taking: Any, partners: Any, near: Any, count: Any, n_decoys: Any
) -> None:
    send, sender, sends, ligands, ligand_starts = sending
    take, taker, takes, receptors, receptor_starts = taking
    indptr, indices = partners
    n_groups = send.shape[1]
    for pair in numba.prange(len(send)):
        seen = np.empty(n_groups * n_groups)
        for a in range(n_groups):
            for b in range(n_groups):
                seen[a * n_groups + b] = send[pair, a] * take[pair, b] * near
        order = np.argsort(seen)
        ranked = seen[order]
        reached = np.zeros(len(seen) + 1, np.int64)
        side, other = sender[pair], taker[pair]
        for i in range(ligand_starts[side], ligand_starts[side + 1]):
            for j in range(receptor_starts[other], receptor_starts[other + 1]):
                if _partners(ligands[i], receptors[j], indptr, indices):
                    continue
                n_decoys[pair] += 1
                reached[np.searchsorted(ranked, sends[i] * takes[j], side="right")] += 1
        above = 0
        for place in range(len(seen) - 1, -1, -1):
            above += reached[place + 1]
            here = order[place]
            count[pair, here // n_groups, here % n_groups] = above
