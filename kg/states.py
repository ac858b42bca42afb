"""States: groups of cell codes that the data cannot tell apart, on two nested levels."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders.leiden import by_size, leiden
from .stability import (
    MIN_STABILITY,
    RESOLUTIONS,
    choose_resolution,
    group_stability,
    partitions,
    resample,
)

MIN_CELLS = 10


@dataclass(frozen=True)
class States:
    """Nested states.

    Attributes
    ----------
    table
        One row per state: ``name`` (S1, S1.2), ``level`` (1 or 2), ``parent`` (row, -1 for none),
        ``size``, ``stability`` in [0, 1]: how far the state comes back from half
        of the cells (mean best Jaccard index, see :func:`.stability.group_stability`; NaN where no
        sample holds it).
    cell
        (n_cells, 2) row of the state of each level, -1 where a coarse state has no finer ones.
    code
        code -> rows of its states.
    connectivity
        CSR (n_states, n_states): neighbour weight between two states over what their sizes would
        give at random; 1 = random. Within one level only.
    resolution
        Resolution of Leiden at which the coarse states were found, NaN where unknown.
    tried
        Resolutions tried for the coarse states and their stability, see
        :class:`.stability.Choice`; one row when the resolution was given.
    """

    table: pd.DataFrame
    cell: np.ndarray
    code: dict[int, list[int]]
    connectivity: sparse.csr_matrix
    resolution: float = float("nan")
    tried: pd.DataFrame = field(default_factory=pd.DataFrame)


def find_states(
    codes: np.ndarray,
    graph: sparse.csr_matrix,
    *,
    seed: int,
    resolution: float | None = None,
) -> States:
    """Merge codes into states by Leiden on the neighbour graph of their cells.

    Cells of one code stay together: the graph of codes holds the summed neighbour weights of their
    cells, so its modularity is that of the cell graph. States of fewer than 10 cells join the
    state they are most connected to. Inside each state the same is done once more.

    Parameters
    ----------
    codes
        (n_cells,) code of each cell.
    graph
        CSR (n_cells, n_cells), symmetric neighbour weights.
    seed
        Of Leiden and of the samples of cells.
    resolution
        Of Leiden, on both levels. When not given, the finest that is about as stable as the most
        stable one is chosen (see :func:`.stability.choose_resolution`), anew inside each coarse
        state, which is divided only where samples of its cells agree on how (agreement of 0.5 or
        more).
    """
    present, code = np.unique(codes, return_inverse=True)
    member = _membership(code, len(present))
    between = sparse.csr_matrix(member @ graph @ member.T)
    sizes = np.bincount(code)
    drawn = resample(code, graph, len(present), rng=np.random.default_rng(seed))
    tried = RESOLUTIONS if resolution is None else (resolution,)
    found = {value: partitions(drawn, value) for value in tried}
    choice = choose_resolution(found, sizes)
    coarse = _absorb_small(leiden(between, resolution=choice.resolution, seed=seed), between, sizes)
    back = group_stability(coarse, found[choice.resolution], sizes)
    rows: list[tuple[str, int, int, int, float]] = []
    of_code = np.full((len(present), 2), -1)
    for position, state in enumerate(_largest_first(coarse, sizes)):
        inside = np.flatnonzero(coarse == state)
        of_code[inside, 0] = position
        rows.append((f"S{position + 1}", 1, -1, int(sizes[inside].sum()), float(back[state])))
    n_coarse = len(rows)
    found = {value: partitions(drawn, value, parent=of_code[:, 0]) for value in tried}
    for position in range(n_coarse):
        inside = np.flatnonzero(of_code[:, 0] == position)
        local = choose_resolution(found, sizes, codes=inside)
        if resolution is None and local.stability < MIN_STABILITY:
            continue
        within = sparse.csr_matrix(between[inside][:, inside])
        fine = _absorb_small(
            leiden(within, resolution=local.resolution, seed=seed), within, sizes[inside]
        )
        if fine.max() == 0:
            continue
        back = group_stability(fine, found[local.resolution][:, inside], sizes[inside])
        for number, state in enumerate(_largest_first(fine, sizes[inside])):
            chosen = inside[fine == state]
            of_code[chosen, 1] = len(rows)
            name = f"S{position + 1}.{number + 1}"
            rows.append((name, 2, position, int(sizes[chosen].sum()), float(back[state])))
    cell = of_code[code]
    return States(
        pd.DataFrame(rows, columns=["name", "level", "parent", "size", "stability"]),
        cell,
        {int(present[i]): [int(s) for s in of_code[i] if s >= 0] for i in range(len(present))},
        _connectivity(graph, cell, len(rows)),
        choice.resolution,
        choice.tried,
    )


def _largest_first(group: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.argsort(-np.bincount(group, weights=sizes), kind="stable")


def _membership(group: np.ndarray, n_groups: int) -> sparse.csr_matrix:
    ones = np.ones(len(group))
    return sparse.csr_matrix((ones, (group, np.arange(len(group)))), shape=(n_groups, len(group)))


def _absorb_small(state: np.ndarray, between: sparse.csr_matrix, sizes: np.ndarray) -> np.ndarray:
    """Join states of too few cells to the state with most neighbour weight per own cell."""
    while True:
        state = by_size(state)
        cells = np.bincount(state, weights=sizes)
        small = np.flatnonzero(cells < MIN_CELLS)
        if not len(small) or len(cells) == 1:
            return state
        smallest = small[np.argmin(cells[small])]
        member = _membership(state, len(cells))
        weight = np.asarray((member @ between @ member.T)[[smallest]].todense()).ravel()
        weight[smallest] = -1
        state = np.where(state == smallest, int(np.argmax(weight)), state)


def _connectivity(graph: sparse.csr_matrix, cell: np.ndarray, n_states: int) -> sparse.csr_matrix:
    """Return observed over expected neighbour weight between states of one level."""
    total = sparse.csr_matrix((n_states, n_states))
    degree = np.asarray(graph.sum(axis=1)).ravel()
    for level in range(cell.shape[1]):
        used = np.flatnonzero(cell[:, level] >= 0)
        member = sparse.csr_matrix(
            (np.ones(len(used)), (cell[used, level], used)), shape=(n_states, len(cell))
        )
        weight = (member @ graph @ member.T).tocoo()
        strength = member @ degree
        expected = strength[weight.row] * strength[weight.col] / degree.sum()
        ratio = np.where(weight.row == weight.col, 0, weight.data / np.maximum(expected, 1e-12))
        total = total + sparse.csr_matrix((ratio, (weight.row, weight.col)), shape=total.shape)
    total.eliminate_zeros()
    return sparse.csr_matrix(total)
