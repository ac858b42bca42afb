"""Genes that rise or fall along the way from one state through a second to a third."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...kg.states import States
from ..statistics import Floats, Ints, adjust, tidy, two_sided
from .certificate import at_level
from .membership import one_hot, path_coordinate, soft_membership

CELLS = 1000
"""Most cells taken from each of the three states."""

MIN_DETECTED = 0.1
"""Share of these cells that must detect a gene."""

_MIN_DONOR_CELLS = 10
_GENES_AT_ONCE = 256


def monotone_genes(
    values: sp.csr_matrix,
    states: States,
    graph: sp.csr_matrix,
    *,
    triples: pd.DataFrame,
    donors: NDArray[Any] | None = None,
    rng: np.random.Generator,
    top: int = 50,
) -> pd.DataFrame:
    """Return the genes that rise or fall along the paths a-m-b.

    Spearman correlation of expression with :func:`path_coordinate` over the cells of the three
    states, ranked within donors: ``rho = sum S_d / sqrt(sum X_d sum T_d)`` with the products
    ``S_d`` and squares ``X_d, T_d`` of centred ranks of donor d. Null: the values of a gene are
    exchangeable over the cells of a donor, under which ``z = sum S_d / sqrt(sum X_d T_d / (n_d -
    1))`` has mean 0 and deviation 1 exactly; p is normal and two-sided, q Benjamini-Hochberg over
    all genes of all paths. A gene is kept at q < 0.05 where its mean in m lies between those in a
    and b. The coordinate comes from an embedding of the same cells: p says that a gene follows the
    order, not that the order is right, and cells of a donor are no replicates: see
    ``donors_agreeing``.

    Parameters
    ----------
    values
        log1p of counts per 10,000, shape (n_cells, n_genes).
    states, graph
        States and neighbour weights of the cells.
    triples
        Rows of :func:`intermediate_states`: ``state``, ``from_state``, ``to_state``.
    donors
        Donor of each cell, -1 unknown, or ``None``.
    rng
        Source of the choice of at most 1,000 cells of each state.
    top
        Genes to keep per path, by falling \\|rho\\|.

    Returns
    -------
    pandas.DataFrame
        ``state``, ``from_state``, ``to_state``, ``gene`` (positions), ``rho`` (positive rises
        towards ``to_state``, [-1, 1]), ``p``, ``q``, ``donors_agreeing`` of ``n_donors`` (donors
        with 10 of the cells, in two of the states, that detect the gene; agreeing when their own
        correlation has the sign of ``rho``; 0 of 0 where donors are unknown).
    """
    level = states.table["level"].to_numpy()
    columns = ["state", "from_state", "to_state"]
    tables = []
    for one in np.unique(level):
        part = triples[level[triples["state"].to_numpy(dtype=np.int64)] == one]
        if part.empty:
            continue
        member = at_level(states, int(one))
        shares = soft_membership(graph, member, len(states.table))
        for m, a, b in part[columns].itertuples(index=False):
            path = (int(a), int(m), int(b))
            cells = _choose(member, path, rng)
            place = path_coordinate(shares, (path[0], path[2]), cells)
            donor = None if donors is None else np.asarray(donors, dtype=np.int64)[cells]
            found = _along(values[cells], place, member[cells], path, donor)
            tables.append(found.assign(state=m, from_state=a, to_state=b))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_COLUMNS)
    table["q"] = adjust(table["p"].to_numpy(dtype=np.float64))
    kept = table[(table["q"] < 0.05) & table["ordered"].astype(bool)]
    kept = kept.assign(size=-kept["rho"].abs()).sort_values([*columns, "size", "gene"])
    kept = kept.groupby(columns, sort=False).head(top)
    names = [*columns, "gene", "rho", "p", "q", "donors_agreeing", "n_donors"]
    whole = {*columns, "gene", "donors_agreeing", "n_donors"}
    return tidy(
        {
            name: kept[name].to_numpy(dtype=np.int64 if name in whole else np.float64)
            for name in names
        }
    )


_COLUMNS = [
    "state",
    "from_state",
    "to_state",
    "gene",
    "rho",
    "p",
    "ordered",
    "donors_agreeing",
    "n_donors",
]


def _choose(member: Ints, path: Iterable[int], rng: np.random.Generator) -> Ints:
    """Return at most 1,000 cells of each state, in order."""
    chosen = []
    for state in path:
        inside = np.flatnonzero(member == state)
        chosen.append(rng.choice(inside, min(CELLS, len(inside)), replace=False))
    return np.sort(np.concatenate(chosen))


def _along(
    values: sp.csr_matrix,
    place: Floats,
    member: Ints,
    path: tuple[int, int, int],
    donor: Ints | None,
) -> pd.DataFrame:
    """Return the rank correlation with the coordinate of every gene that is detected enough."""
    stratum = np.zeros(len(place), np.int64)
    n_strata = 1
    if donor is not None:
        names, stratum = np.unique(donor, return_inverse=True)
        n_strata = len(names)
    strata = one_hot(stratum, n_strata)
    detected = np.bincount(values.indices[values.data > 0], minlength=values.shape[1])
    genes = np.flatnonzero(detected >= MIN_DETECTED * len(place))
    t = _centred_ranks(place[:, None], strata)
    group = one_hot(np.searchsorted(np.sort(path), member), 3)
    order = np.searchsorted(np.sort(path), path)
    size = np.asarray(group.sum(axis=1))
    parts = []
    for start in range(0, len(genes), _GENES_AT_ONCE):
        block = genes[start : start + _GENES_AT_ONCE]
        dense = np.asarray(values[:, block].todense(), dtype=np.float64)
        mean = (np.asarray(group @ dense) / size)[order]
        between = (mean[1] - mean[0]) * (mean[2] - mean[1]) >= 0
        x = _centred_ranks(dense, strata)
        parts.append((block, between, strata @ (x * t), strata @ (x * x)))
    if not parts:
        return pd.DataFrame(columns=_COLUMNS[3:])
    block, between = (np.concatenate([part[i] for part in parts]) for i in range(2))
    product, square = (np.concatenate([part[i] for part in parts], axis=1) for i in (2, 3))
    square_t = np.asarray(strata @ (t * t))
    n = np.asarray(strata.sum(axis=1))
    rho = product.sum(axis=0) / np.sqrt(np.maximum(square.sum(axis=0) * square_t.sum(), 1e-12))
    variance = (square * square_t / np.maximum(n - 1, 1)).sum(axis=0)
    p = two_sided(product.sum(axis=0) / np.sqrt(np.maximum(variance, 1e-12)))
    agreeing = asked = np.zeros(len(block), np.int64)
    if donor is not None:
        named = (names >= 0)[:, None] & (n >= _MIN_DONOR_CELLS)
        can = named & (square > 0) & (square_t > 0)
        asked = can.sum(axis=0)
        agreeing = (can & (np.sign(product) == np.sign(rho))).sum(axis=0)
    return pd.DataFrame(
        {
            "gene": block,
            "rho": rho,
            "p": p,
            "ordered": between,
            "donors_agreeing": agreeing,
            "n_donors": asked,
        }
    )


def _centred_ranks(values: Floats, strata: sp.csr_matrix) -> Floats:
    """Return mean ranks within strata, less their mean, column by column."""
    from scipy.stats import rankdata

    ranks = np.empty_like(values)
    for start, stop in zip(strata.indptr[:-1], strata.indptr[1:], strict=True):
        cells = strata.indices[start:stop]
        ranks[cells] = rankdata(values[cells], axis=0) - (len(cells) + 1) / 2
    return ranks
