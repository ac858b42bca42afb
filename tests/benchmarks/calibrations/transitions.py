"""Simulated doublet clusters that are refused, and simulated transitions that are kept.

Both are made from two types of a labelled data set. Half of the cells of either type are taken out
of the data and serve as parents; what is made of them is put in as a state of its own. A doublet is
the sum of the counts of two parents. A cell on the way keeps each count of its first parent with
probability 1 - t and each of its second with probability t, t uniform in [0, 1]: its expected
expression moves from one type to the other at normal depth. Twenty of the rarest genes are switched
on half-way, in the share given, or none. A doublet cluster is refused where no triple with it in
the middle is certified or provisional; a transition is kept where the triple of its two types is.
"""

import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from rows import Row, row

from scypher.encoders.counts import normalise
from scypher.interpret.intermediate import intermediate_states
from scypher.interpret.intermediate.paths import widest_path
from scypher.interpret.quality import principal_components
from scypher.kg.states import States

SETS = ("blood_pbmc3k", "celllines_sc_mixology")
N_OWN = 20
MIN_PARENTS = 40
KINDS = {"doublets": None, "transition, 20 own genes": 0.01, "transition, no own genes": 0.0}


def simulate_doublets(
    first: sp.csr_matrix, second: sp.csr_matrix, n: int, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return sums of random pairs of cells, none in two of them."""
    i, j = (rng.choice(part.shape[0], n, replace=False) for part in (first, second))
    return sp.csr_matrix(first[i] + second[j])


def simulate_transition(
    first: sp.csr_matrix,
    second: sp.csr_matrix,
    n: int,
    *,
    own_genes: np.ndarray,
    own_share: float,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Return cells on the way from one type to the other.

    Parameters
    ----------
    first, second
        Counts of parents.
    n
        Cells to make.
    own_genes, own_share
        Genes switched on, and the share of a cell's counts that they add at t = 1 / 2; the height
        is ``4 t (1 - t)``.
    """
    i, j = (rng.choice(part.shape[0], n, replace=False) for part in (first, second))
    t = rng.random(n)
    cells = sp.csr_matrix(_thin(first[i], 1 - t, rng) + _thin(second[j], t, rng))
    depth = np.asarray(cells.sum(axis=1)).ravel()
    rate = own_share * depth * 4 * t * (1 - t) / max(len(own_genes), 1)
    added = sp.lil_matrix(cells.shape)
    added[:, own_genes] = rng.poisson(np.repeat(rate[:, None], len(own_genes), axis=1))
    return sp.csr_matrix(cells + added.tocsr())


def _thin(counts: sp.csr_matrix, share: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    part = counts.copy()
    share = np.repeat(share, np.diff(part.indptr))
    part.data = rng.binomial(part.data.astype(np.int64), share).astype(np.float64)
    part.eliminate_zeros()
    return part


def label_states(labels: np.ndarray, graph: sp.csr_matrix) -> States:
    """Return labels as states of one level, with observed over expected neighbour weight."""
    n = int(labels.max()) + 1
    member = sp.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    weight = np.asarray((member @ graph @ member.T).todense())
    strength = weight.sum(axis=1)
    ratio = weight * strength.sum() / np.maximum(np.outer(strength, strength), 1e-12)
    np.fill_diagonal(ratio, 0)
    table = pd.DataFrame({"name": [f"S{i + 1}" for i in range(n)], "level": 1, "parent": -1})
    table["size"] = np.bincount(labels, minlength=n)
    return States(table, np.column_stack([labels, np.full(len(labels), -1)]), {}, _csr(ratio))


def _csr(matrix: Any) -> sp.csr_matrix:
    return sp.csr_matrix(matrix)


def neighbours(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return neighbour weights in 50 principal components of log-normalised counts."""
    values = normalise(counts, np.asarray(counts.sum(axis=1), dtype=np.float64).ravel())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scanpy as sc

        data = anndata.AnnData(principal_components(values, seed=0).astype(np.float32))
        sc.pp.neighbors(data, n_neighbors=15, use_rep="X", transformer="sklearn")
    return sp.csr_matrix(data.obsp["connectivities"], dtype=np.float64)


def plant(
    counts: sp.csr_matrix,
    labels: np.ndarray,
    pair: tuple[int, int],
    *,
    own_share: float | None,
    n: int,
    rng: np.random.Generator,
) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return counts and labels with a simulated cluster, labelled last, put in for its parents.

    ``own_share`` is that of :func:`simulate_transition`, ``None`` for doublets.
    """
    parents = []
    for one in pair:
        inside = np.flatnonzero(labels == one)
        parents.append(rng.choice(inside, len(inside) // 2, replace=False))
    kept = np.setdiff1d(np.arange(len(labels)), np.concatenate(parents))
    first, second = counts[parents[0]], counts[parents[1]]
    n = min(n, first.shape[0], second.shape[0])
    if own_share is None:
        made = simulate_doublets(first, second, n, rng)
    else:
        cells = np.bincount(counts.indices, minlength=counts.shape[1])
        rarest = np.argsort(np.where(cells > 0, cells, np.inf), kind="stable")
        rare = rng.choice(rarest[: len(rarest) // 10], N_OWN, replace=False)
        made = simulate_transition(first, second, n, own_genes=rare, own_share=own_share, rng=rng)
    whole = sp.csr_matrix(sp.vstack([counts[kept], made]), dtype=np.float32)
    return whole, np.concatenate([labels[kept], np.full(n, labels.max() + 1)])


def judge(
    counts: sp.csr_matrix,
    labels: np.ndarray,
    pair: tuple[int, int],
    *,
    own_share: float | None,
    n: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return the certificates with the simulated cluster in the middle; ``asked``: of its pair."""
    whole, label = plant(counts, labels, pair, own_share=own_share, n=n, rng=rng)
    graph = neighbours(whole)
    found = intermediate_states(whole, label_states(label, graph), graph, rng=rng)
    found = found[found["state"] == label.max()]
    ends = found[["from_state", "to_state"]].to_numpy()
    return found.assign(asked=(ends == np.sort(pair)).all(axis=1))


def read_types(path: Path, column: str = "cell_type") -> tuple[sp.csr_matrix, np.ndarray]:
    """Return counts and types, those of fewer than twice 40 cells among them."""
    data = anndata.read_h5ad(path)
    types = data.obs[column].astype(str).to_numpy()
    known = types != "unknown"
    counts = sp.csr_matrix(data.X, dtype=np.float32)[known]
    _, labels = np.unique(types[known], return_inverse=True)
    return counts, labels


def pairs_of(labels: np.ndarray) -> list[tuple[int, int]]:
    """Return all pairs of types with parents enough."""
    large = np.flatnonzero(np.bincount(labels) >= 2 * MIN_PARENTS)
    return [(int(a), int(b)) for i, a in enumerate(large) for b in large[i + 1 :]]


def measure_set(path: Path, n_pairs: int) -> pd.DataFrame:
    """Return, per simulated cluster, its kind, whether its types lie apart, and what was found.

    Types lie apart where no path joins them that is wider than neighbours at random give. Between
    others a planted transition need not be on the widest path, and is then no intermediate state.
    """
    counts, labels = read_types(path)
    rng = np.random.default_rng(0)
    width = widest_path(label_states(labels, neighbours(counts)).connectivity)
    pairs = pairs_of(labels)
    found = []
    for kind, own_share in KINDS.items():
        for one in rng.permutation(len(pairs))[:n_pairs]:
            n = int(rng.integers(30, 120))
            certificates = judge(counts, labels, pairs[one], own_share=own_share, n=n, rng=rng)
            kept = certificates["verdict"] != "refused"
            found.append(
                {
                    "kind": kind,
                    "apart": width[pairs[one]] < 1,
                    "in_the_middle": kept.any(),
                    "between_its_types": (kept & certificates["asked"]).any(),
                    "tested": certificates["doublet_score"].notna().any(),
                }
            )
    return pd.DataFrame(found)


def rows(data: Path, quick: bool) -> list[Row]:
    """Return the shares of doublet clusters refused and of transitions kept."""
    shown = []
    for name in SETS[1:] if quick else SETS:
        found = measure_set(data / f"{name}.h5ad", 3 if quick else 10)
        for kind, own_share in KINDS.items():
            part = found[found["kind"] == kind]
            doublets = own_share is None
            cases = {"all": part}
            if doublets:
                cases["that reach the doublet test"] = part[part["tested"]]
            else:
                cases["between types apart"] = part[part["apart"]]
            for words, case in cases.items():
                right = ~case["in_the_middle"] if doublets else case["between_its_types"]
                if case.empty:
                    continue
                shown.append(
                    row(
                        f"{name}, simulated {kind}, {words} ({len(case)})",
                        "refused" if doublets else "kept",
                        unit="share",
                        ours=float(right.mean()),
                        peer=0.95 if doublets else 0.8,
                        peer_name="nominal",
                    )
                )
    return shown
