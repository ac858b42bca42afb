"""How far groups of cell codes come back when some of the cells are left out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders.leiden import leiden

N_DRAWS = 20
"""Samples of cells drawn."""

SHARE = 0.5
"""Share of the cells in a sample. Two halves have a quarter of the neighbour pairs of one in
common; with larger samples the noise of one neighbour graph comes back as if it were structure."""

MIN_STABILITY = 0.5
"""Agreement of samples below which a division of the codes is not called one."""

RESOLUTIONS = tuple(float(value) for value in np.round(np.geomspace(0.125, 2, 9), 3))
"""Resolutions tried: three octaves below 1 and one above, in half octaves."""


@dataclass(frozen=True)
class Resampled:
    """Graphs of codes from samples of the cells.

    Attributes
    ----------
    graph
        CSR (n_samples n_codes, n_samples n_codes), one block on the diagonal per sample: summed
        neighbour weights of the cells drawn.
    sizes
        (n_samples, n_codes) cells drawn of each code; 0 where a sample holds none.
    seed
        Of Leiden.
    """

    graph: sparse.csr_matrix
    sizes: np.ndarray
    seed: int


@dataclass(frozen=True)
class Choice:
    """A resolution, and how it was chosen.

    Attributes
    ----------
    resolution
        The resolution chosen.
    stability
        Its mean agreement between samples, see :func:`agreement`; below 0.5 where samples agree
        at no resolution, 0 where codes merge nowhere.
    tried
        One row per resolution: ``resolution``, ``n_states`` (mean over samples), ``stability``
        (mean agreement of two samples), ``deviation`` (standard deviation of that agreement).
    """

    resolution: float
    stability: float
    tried: pd.DataFrame


def resample(
    code: np.ndarray,
    graph: sparse.csr_matrix,
    n_codes: int,
    *,
    rng: np.random.Generator,
    n_draws: int = N_DRAWS,
    share: float = SHARE,
) -> Resampled:
    """Return graphs of codes from random samples of the cells, drawn without replacement.

    Parameters
    ----------
    code
        (n_cells,) position of the code of each cell, from 0 to ``n_codes`` - 1.
    graph
        CSR (n_cells, n_cells), symmetric neighbour weights.
    rng
        Draws the samples and the seeds of Leiden.
    """
    cells = graph.tocoo()
    pair = code[cells.row].astype(np.int64) * n_codes + code[cells.col]
    pairs, position = np.unique(pair, return_inverse=True)
    ends = (pairs // n_codes, pairs % n_codes)
    kept = max(1, round(share * len(code)))
    graphs, sizes = [], np.zeros((n_draws, n_codes), dtype=np.int64)
    for number in range(n_draws):
        drawn = np.zeros(len(code), dtype=bool)
        drawn[rng.choice(len(code), kept, replace=False)] = True
        used = drawn[cells.row] & drawn[cells.col]
        weight = np.bincount(position[used], cells.data[used], minlength=len(pairs))
        graphs.append(sparse.csr_matrix((weight, ends), shape=(n_codes, n_codes)))
        sizes[number] = np.bincount(code[drawn], minlength=n_codes)
    blocks = sparse.csr_matrix(sparse.block_diag(graphs, format="csr"))
    blocks.eliminate_zeros()
    return Resampled(blocks, sizes, int(rng.integers(0, 2**31 - 1)))


def partitions(
    drawn: Resampled, resolution: float, *, parent: np.ndarray | None = None
) -> np.ndarray:
    """Return the group of each code in each sample by Leiden, (n_samples, n_codes).

    Groups are numbered over all samples; -1 where a sample holds no cell of a code. All samples
    are grouped in one run: with blocks of equal weight and the resolution times their number, the
    modularity of the whole is the sum of those of the blocks.

    Parameters
    ----------
    parent
        (n_codes,) parent of each code, from 0: each parent is divided by itself. One parent when
        not given.
    """
    n_samples, n_codes = drawn.sizes.shape
    if parent is None:
        parent = np.zeros(n_codes, dtype=np.int64)
    n_parents = int(parent.max()) + 1
    block = (np.arange(n_samples)[:, None] * n_parents + parent).ravel()
    edges = drawn.graph.tocoo()
    inside = block[edges.row] == block[edges.col]
    row, column, weight = edges.row[inside], edges.col[inside], edges.data[inside]
    total = np.bincount(block[row], weight, minlength=n_samples * n_parents)
    filled = int((total > 0).sum())
    weight = weight * (total.sum() / max(filled, 1) / total[block[row]])
    graph = sparse.csr_matrix((weight, (row, column)), shape=drawn.graph.shape)
    group = leiden(graph, resolution=resolution * max(filled, 1), seed=drawn.seed)
    return np.where(drawn.sizes > 0, group.reshape(n_samples, n_codes), -1)


def agreement(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return how far partitions of the codes agree, chance corrected: at most 1, 0 at chance.

    The adjusted Rand index (Hubert & Arabie 1985, J Classif 2:193) over the pairs of cells of
    *different* codes. Cells of one code are together in every partition; to count those pairs
    would make any partition into single codes look perfectly stable. With ``T`` pairs that both
    partitions join, ``A`` and ``B`` that each joins, of ``N`` in all,
    ``(T - A B / N) / ((A + B) / 2 - A B / N)``; 0 where no pair is joined, or every pair, for such
    partitions say nothing.

    Parameters
    ----------
    labels
        (n_partitions, n_codes) group of each code, -1 where it is absent: such codes are left out
        of the comparisons of that partition.
    sizes
        (n_codes,) cells of each code.

    Returns
    -------
    numpy.ndarray
        (n_partitions, n_partitions), symmetric.
    """
    n = len(labels)
    member, owner = _indicator(labels)
    shared = member.T @ sparse.diags(sizes.astype(np.float64)) @ member
    by_owner = sparse.csr_matrix(
        (np.ones(len(owner)), (np.arange(len(owner)), owner)), shape=(len(owner), n)
    )
    within_group = np.asarray((shared @ by_owner).todense())
    present = (labels >= 0).astype(np.float64)
    of_one_code = (present * _pairs(sizes)) @ present.T
    total = _pairs(np.asarray(by_owner.T @ within_group)) - of_one_code
    first = np.asarray(by_owner.T @ _pairs(within_group)) - of_one_code
    joint = sparse.csr_matrix(shared)
    joint.data = _pairs(joint.data)
    both = np.asarray((by_owner.T @ joint @ by_owner).todense()) - of_one_code
    expected = np.divide(first * first.T, total, out=np.zeros_like(total), where=total > 0)
    room = (first + first.T) / 2 - expected
    found: np.ndarray = np.divide(
        both - expected, room, out=np.zeros_like(room), where=room > 1e-9 * np.maximum(total, 1)
    )
    return found


def choose_resolution(
    labels: Mapping[float, np.ndarray], sizes: np.ndarray, *, codes: np.ndarray | None = None
) -> Choice:
    """Return the finest resolution that is about as stable as the most stable one.

    The stability of a resolution is the mean :func:`agreement` over all pairs of samples. Chosen
    is the largest resolution whose stability is within one standard deviation (over the pairs, at
    the best resolution) of the best, and at least 0.5; the smallest resolution tried where none
    is. Labels of cells play no part.

    Parameters
    ----------
    labels
        Resolution -> :func:`partitions` at it; in increasing order.
    sizes
        (n_codes,) cells of each code, all cells counted.
    codes
        Positions of the codes to look at, all when not given.
    """
    codes = np.arange(len(sizes)) if codes is None else codes
    rows = []
    for resolution, found in labels.items():
        groups = found[:, codes]
        pairs = agreement(groups, sizes[codes])[np.triu_indices(len(groups), 1)]
        n_states = np.mean([len(np.unique(row[row >= 0])) for row in groups])
        rows.append((resolution, n_states, pairs.mean(), pairs.std()))
    tried = pd.DataFrame(rows, columns=["resolution", "n_states", "stability", "deviation"])
    best = tried.loc[tried["stability"].idxmax()]
    least = max(best["stability"] - best["deviation"], MIN_STABILITY)
    near = tried[tried["stability"] >= least]
    chosen = tried.iloc[0] if near.empty else near.iloc[-1]
    return Choice(float(chosen["resolution"]), float(chosen["stability"]), tried)


def group_stability(group: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return how far each group comes back: the mean over samples of its best Jaccard index.

    Hennig 2007, Comput Stat Data Anal 52:258: of each sample, the group with the largest ratio of
    shared to joint cells, over the codes that the sample holds.

    Parameters
    ----------
    group
        (n_codes,) group of each code, from 0.
    labels
        (n_samples, n_codes) groups found in each sample, -1 where a code is absent.
    sizes
        (n_codes,) cells of each code.

    Returns
    -------
    numpy.ndarray
        (n_groups,) in [0, 1]; NaN for a group of which no sample holds a cell.
    """
    n_groups = int(group.max()) + 1
    own, _ = _indicator(group[None])
    member, owner = _indicator(labels)
    weight = sparse.diags(sizes.astype(np.float64))
    shared = np.asarray((own.T @ weight @ member).todense())
    theirs = np.asarray(member.T @ sizes).ravel()
    ours = np.asarray(own.T @ ((labels >= 0) * sizes).T)
    ratio = shared / (ours[:, owner] + theirs - shared).clip(1)
    best = np.zeros((n_groups, len(labels)))
    np.maximum.at(best.T, owner, ratio.T)
    held = ours > 0
    found: np.ndarray = np.where(
        held.any(axis=1), (best * held).sum(axis=1) / held.sum(axis=1).clip(1), np.nan
    )
    return found


def _indicator(labels: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return membership (n_codes, groups of all partitions) and the partition of each group."""
    partition, code = np.nonzero(labels >= 0)
    key = partition * (int(labels.max(initial=0)) + 1) + labels[partition, code]
    groups, column = np.unique(key, return_inverse=True)
    shape = (labels.shape[1], len(groups))
    member = sparse.csr_matrix((np.ones(len(code)), (code, column)), shape=shape)
    owner = np.zeros(len(groups), dtype=np.int64)
    owner[column] = partition
    return member, owner


def _pairs(count: np.ndarray) -> np.ndarray:
    pairs: np.ndarray = count * (count - 1.0) / 2
    return pairs
