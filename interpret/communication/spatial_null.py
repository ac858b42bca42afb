"""The null of neighbouring ligand-receptor pairs: spots change places within their stratum."""

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp

from ...encoders.compiled import use_threads_of_torch
from ..permutations import shuffles
from ..statistics import Floats, Ints
from .ligand_receptor import PairGenes

TIES = 1e-6
"""Relative difference below which two sums are equal: roots are single precision."""

_DRAWS, _PAIRS = 64, 64


def permuted_edge_sums(
    values: sp.csr_matrix,
    pairs: PairGenes,
    edges: tuple[Ints, Ints, Floats, Ints],
    stratum: Ints,
    n_slots: int,
    rng: np.random.Generator,
    n_permutations: int,
) -> tuple[Floats, Floats, Floats, Ints]:
    """Return sums observed, sums and squares of those under the null, and draws at least as large.

    All of shape (n_pairs, n_slots).

    Parameters
    ----------
    values
        Shape (n_spots, n_genes).
    edges
        Source, target, weight and slot of each edge; sums are over the edges of a slot.
    stratum
        (n_spots,) from 0, within which spots change places.
    """
    use_threads_of_torch()
    n_spots = values.shape[0]
    order = np.argsort(stratum, kind="stable")
    size = np.bincount(stratum)
    first = np.concatenate([[0], np.cumsum(size)])[stratum]
    rank = np.empty(n_spots, dtype=np.int64)
    rank[order] = np.arange(n_spots)
    rank -= first
    columns = sp.csc_matrix(values)
    shape = (len(pairs), n_slots)
    seen, total, square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    count = np.zeros(shape, dtype=np.int64)
    blocks = [slice(start, start + _PAIRS) for start in range(0, len(pairs), _PAIRS)]
    for block in blocks:
        send, take = (_roots(columns, side[block]) for side in (pairs.ligand, pairs.receptor))
        here = np.arange(n_spots)[None, :]
        seen[block] = _edge_sums(send, take, here, *edges, n_slots)[0]
    for start in range(0, n_permutations, _DRAWS):
        drawn = shuffles(rank, stratum, rng, n=min(_DRAWS, n_permutations - start)).T
        moved = order[first + drawn]
        for block in blocks:
            send, take = (_roots(columns, side[block]) for side in (pairs.ligand, pairs.receptor))
            null = _edge_sums(send, take, moved, *edges, n_slots)
            total[block] += null.sum(axis=0)
            square[block] += (null**2).sum(axis=0)
            count[block] += (null >= seen[block] * (1 - TIES)).sum(axis=0)
    return seen, total, square, count


def _roots(columns: sp.csc_matrix, genes: Ints) -> np.ndarray:
    """Return roots of the smallest subunit in each spot, shape (n_spots, n_pairs)."""
    out = columns[:, genes[:, 0]].toarray().astype(np.float32)
    for place in range(1, genes.shape[1]):
        rows = np.flatnonzero(genes[:, place] >= 0)
        out[:, rows] = np.minimum(out[:, rows], columns[:, genes[rows, place]].toarray())
    return np.ascontiguousarray(np.sqrt(out))


@numba.njit(cache=True, parallel=True)
def _edge_sums(
    send: Any, take: Any, moved: Any, source: Any, target: Any, weight: Any, slot: Any, n_slots: Any
) -> Any:
    """Return weighted sums of products over the edges of each slot: (n_draws, n_pairs, n_slots)."""
    n_draws, n_pairs = len(moved), send.shape[1]
    out = np.zeros((n_draws, n_pairs, n_slots))
    for draw in numba.prange(n_draws):
        sums = np.zeros((n_slots, n_pairs))
        for edge in range(len(source)):
            sender, taker = moved[draw, source[edge]], moved[draw, target[edge]]
            here = sums[slot[edge]]
            for pair in range(n_pairs):
                here[pair] += weight[edge] * send[sender, pair] * take[taker, pair]
        out[draw] = sums.T
    return out
