"""Soft membership of cells in states, and its test against permuted labels."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, Ints

CELLS = 500
"""Most cells of a state whose labels are permuted."""

_ROUNDING = 1e-12


def one_hot(member: NDArray[Any], n_states: int) -> sp.csr_matrix:
    """Return the indicator of membership, shape (n_states, n_cells); -1 belongs to no state."""
    cell = np.flatnonzero(member >= 0)
    return sp.csr_matrix((np.ones(len(cell)), (member[cell], cell)), shape=(n_states, len(member)))


def soft_membership(graph: sp.csr_matrix, member: NDArray[Any], n_states: int) -> sp.csr_matrix:
    """Return the probability that a walk of two steps from each cell ends in each state.

    ``P = (D^-1 G)^2 M`` with neighbour weights ``G``, their row sums ``D`` and the one-hot
    membership ``M``; one step would know some fifteen cells only. It stands for the soft
    probability of states because every encoder has neighbours, while a soft probability of codes
    needs the projection to the codebook, which an encoding made elsewhere does not carry (its slots
    keep the first and the second code only).

    Parameters
    ----------
    graph
        Neighbour weights, shape (n_cells, n_cells).
    member
        State of each cell, -1 for none, shape (n_cells,).
    n_states
        Number of states.

    Returns
    -------
    scipy.sparse.csr_matrix
        Shape (n_cells, n_states), values in [0, 1]; rows sum to 1 where all cells within two steps
        have a state.
    """
    weight = np.asarray(graph.sum(axis=1)).ravel()
    step = sp.diags(1 / np.where(weight > 0, weight, 1)) @ graph
    return sp.csr_matrix(step @ (step @ one_hot(member, n_states).T))


def membership_test(
    shares: sp.csr_matrix,
    member: NDArray[Any],
    triples: NDArray[Any],
    *,
    strata: NDArray[Any],
    rng: np.random.Generator,
    n_permutations: int,
) -> Floats:
    """Test whether the cells of a state lean to either end more than those of the other end do.

    For state m between a and b: the mean soft membership in b is larger in the cells of m than in
    those of a, and the mean soft membership in a larger than in those of b. Null of each: the
    labels m and a (m and b) are permuted among their cells, within strata; ``p = (b + 1) / (B +
    1)`` for the ``b`` of ``B`` permuted means that reach the observed one. The larger p counts:
    both must hold. Cells of other states have no part in it, so that a sibling of one end does not
    hide the state between.

    Parameters
    ----------
    shares
        Soft membership, shape (n_cells, n_states).
    member
        State of each cell, -1 for none, shape (n_cells,).
    triples
        States m, a and b, shape (n_triples, 3).
    strata
        Donor of each cell, shape (n_cells,).
    rng
        Source of the permutations, and of the choice of at most 500 cells of a state.
    n_permutations
        Permutations, at least 1.

    Returns
    -------
    numpy.ndarray
        p of each triple, shape (n_triples,).
    """
    columns = shares.tocsc()
    wanted = np.unique(triples)
    cells = {
        int(state): _some(np.flatnonzero(np.asarray(member) == state), rng) for state in wanted
    }
    known: dict[tuple[int, int, int], float] = {}
    p = np.empty(len(triples))
    for row, (state, first, second) in enumerate(triples.tolist()):
        for near, far in ((first, second), (second, first)):
            if (state, near, far) not in known:
                known[state, near, far] = _permutation_p(
                    columns[:, [far]], cells[state], cells[near], strata, rng, n_permutations
                )
        p[row] = max(known[state, first, second], known[state, second, first])
    return p


def _some(cells: Ints, rng: np.random.Generator) -> Ints:
    return np.asarray(rng.choice(cells, min(CELLS, len(cells)), replace=False))


def _permutation_p(
    lean: sp.csc_matrix,
    inside: Ints,
    outside: Ints,
    strata: NDArray[Any],
    rng: np.random.Generator,
    n_permutations: int,
) -> float:
    """Return the one-sided permutation p of a larger mean inside, labels permuted in strata."""
    cells = np.concatenate([inside, outside])
    values = np.asarray(lean[cells].todense(), dtype=np.float64).ravel()
    _, stratum = np.unique(strata[cells], return_inverse=True)
    place = np.argsort(stratum, kind="stable")
    is_inside = np.arange(len(cells)) < len(inside)
    # Sorted by stratum and then at random, each permuted row keeps the labels of every stratum.
    order = np.argsort(stratum + rng.random((n_permutations, len(cells))), axis=1)
    drawn = values[order] @ is_inside[place]
    reached = int((drawn >= values[is_inside].sum() * (1 - _ROUNDING)).sum())
    return (reached + 1) / (n_permutations + 1)


def mean_membership(shares: sp.csr_matrix, member: NDArray[Any]) -> Floats:
    """Return the mean soft membership of the cells of each state, shape (n_states, n_states)."""
    n_states = shares.shape[1]
    sums = np.asarray((one_hot(member, n_states) @ shares).todense(), dtype=np.float64)
    size = np.bincount(member[member >= 0], minlength=n_states)
    mean: Floats = sums / np.maximum(size, 1)[:, None]
    return mean


def path_coordinate(shares: sp.csr_matrix, ends: tuple[int, int], cells: Ints) -> Floats:
    """Return where cells lie on the way from one state to another, in [-1, 1].

    Soft membership in the second state less that in the first.

    Parameters
    ----------
    shares
        Soft membership, shape (n_cells, n_states).
    ends
        The two states.
    cells
        Positions of the cells asked for.
    """
    near = shares[cells]
    lean: Floats = np.asarray((near[:, [ends[1]]] - near[:, [ends[0]]]).todense()).ravel()
    return lean
