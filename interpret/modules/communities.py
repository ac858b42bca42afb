"""Modules: groups of genes that co-vary, found as communities of the network of closest pairs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, Ints, tidy
from ..variable_genes import select_genes
from .gene_pairs import co_regulation
from .pair_correlation import correlation_matrix

__all__ = ["Modules", "co_regulation", "find_modules", "select_genes"]

_PARTNERS, _VOTES = 20, 3


@dataclass(frozen=True)
class Modules:
    """Modules numbered from 0 by size.

    ``membership`` has ``gene`` (position), ``module``, ``strength`` (mean correlation with the
    other genes of the module, [-1, 1]) and ``hub_rank`` (1 for the gene of most strength in its
    module), by module and hub rank; ``modules`` has ``module``, ``size``, ``stability`` (mean
    best-match Jaccard index over the other seeds, [0, 1]) and ``mean_weight`` (mean correlation
    among its genes).
    """

    membership: pd.DataFrame
    modules: pd.DataFrame


def find_modules(
    pairs: pd.DataFrame,
    n_genes: int,
    *,
    rng: np.random.Generator,
    expression: sp.csr_matrix | None = None,
    n_seeds: int = 5,
    min_size: int = 5,
    min_correlation: float = 0.1,
) -> Modules:
    """Find communities in the network of mutual closest partners.

    Two genes are joined, with their correlation as weight, when it has q < 0.05, is at least
    ``min_correlation``, each is among the 20 strongest partners of the other, and both share a
    further partner: programs close triangles, chance makes chains. Communities are those of the
    best of ``n_seeds`` runs of Leiden (Traag 2019, Sci Rep 9:5233; modularity, resolution 1). A
    gene outside them then follows more than half of its own 20 strongest partners, three at least,
    into their community: in a program of more than 20 genes the weaker ones are nobody's closest.
    The stability of a module is the mean, over the other runs, of the Jaccard index with its best
    match there.

    Parameters
    ----------
    pairs
        Columns ``source``, ``target``, ``correlation``, ``correlation_q`` of
        :func:`~scypher.interpret.modules.gene_pairs.co_regulation`.
    n_genes
        Number of genes that the positions refer to.
    rng
        Source of the seeds.
    expression
        Values to compute the correlations within modules from, shape (n_cells, n_genes); without
        it they come from ``pairs``, and pairs that are not listed count as 0.
    n_seeds
        Runs, at least 1; with one run every stability is 1.
    min_size
        Genes that a module must have.
    min_correlation
        Weakest correlation that joins two genes, above 0: with thousands of cells significance
        alone would join nearly all.
    """
    partners = _partners(pairs, n_genes, min_correlation)
    runs = _partitions(_mutual(partners), rng, n_seeds)
    if not runs:
        return Modules(_MEMBERSHIP.copy(), _MODULES.copy())
    best = max(range(len(runs)), key=lambda run: runs[run][0])
    runs = [(quality, _adopt(label, partners, min_size)) for quality, label in runs]
    label = runs[best][1]
    others = [partition for run, (_, partition) in enumerate(runs) if run != best]
    found = [np.flatnonzero(label == one) for one in np.unique(label[label >= 0])]
    found = sorted(
        (genes for genes in found if len(genes) >= min_size),
        key=lambda genes: (-len(genes), genes[0]),
    )
    if not found:
        return Modules(_MEMBERSHIP.copy(), _MODULES.copy())
    weights = [_correlations(genes, pairs, expression) for genes in found]
    strength = [(weight.sum(1) - np.diag(weight)) / max(len(weight) - 1, 1) for weight in weights]
    sizes = [len(genes) for genes in found]
    hubs = [np.argsort(-one, kind="stable") for one in strength]
    membership = {
        "gene": np.concatenate([genes[hub] for genes, hub in zip(found, hubs, strict=True)]),
        "module": np.repeat(np.arange(len(found)), sizes),
        "strength": np.concatenate([one[hub] for one, hub in zip(strength, hubs, strict=True)]),
        "hub_rank": np.concatenate([np.arange(1, size + 1) for size in sizes]),
    }
    modules = {
        "module": np.arange(len(found)),
        "size": sizes,
        "stability": [_stability(genes, others) for genes in found],
        "mean_weight": [float(one.mean()) for one in strength],
    }
    return Modules(tidy(membership), tidy(modules))


_MEMBERSHIP = tidy(
    {
        "gene": np.empty(0, int),
        "module": np.empty(0, int),
        "strength": np.empty(0),
        "hub_rank": np.empty(0, int),
    }
)
_MODULES = tidy(
    {
        "module": np.empty(0, int),
        "size": np.empty(0, int),
        "stability": np.empty(0),
        "mean_weight": np.empty(0),
    }
)


def _partners(pairs: pd.DataFrame, n_genes: int, weakest: float) -> sp.csr_matrix:
    """Return the correlation of each gene, in rows, with its strongest partners."""
    good = pairs[(pairs["correlation_q"] < 0.05) & (pairs["correlation"] >= weakest)]
    source, target = good["source"].to_numpy(), good["target"].to_numpy()
    ends = np.concatenate([source, target]), np.concatenate([target, source])
    weight = np.tile(good["correlation"].to_numpy(), 2)
    order = np.lexsort((ends[1], -weight, ends[0]))
    first = np.searchsorted(ends[0][order], ends[0][order])
    near = order[np.arange(len(order)) - first < _PARTNERS]
    return sp.csr_matrix((weight[near], (ends[0][near], ends[1][near])), shape=(n_genes,) * 2)


def _mutual(partners: sp.csr_matrix) -> sp.csr_matrix:
    """Return the symmetric network of mutual partners that share a third one."""
    mutual = partners.minimum(partners.T).tocsr()
    joined = mutual.sign()
    return mutual.multiply((joined @ joined) > 0).tocsr()


def _adopt(label: Ints, partners: sp.csr_matrix, min_size: int) -> Ints:
    """Return labels where genes in no community of ``min_size`` followed most of their partners."""
    size = np.bincount(label + 1)
    size[0] = 0
    label = np.where(size[label + 1] >= min_size, label, -1)
    inside = np.flatnonzero(label >= 0)
    if not len(inside):
        return label
    member = sp.csr_matrix(
        (np.ones(len(inside)), (inside, label[inside])), shape=(len(label), label.max() + 1)
    )
    votes = partners.sign() @ member
    most = np.asarray(votes.max(axis=1).todense()).ravel()
    follows = (label < 0) & (most >= _VOTES) & (2 * most > np.diff(partners.indptr))
    return np.where(follows, np.asarray(votes.argmax(axis=1)).ravel(), label)


def _partitions(
    network: sp.csr_matrix, rng: np.random.Generator, n_seeds: int
) -> list[tuple[float, NDArray[np.int64]]]:
    """Return quality and community per gene (-1 for genes without a partner) of every run."""
    from graspologic_native import leiden_csr

    linked = np.flatnonzero(np.diff(network.indptr))
    if not len(linked):
        return []
    part = network[linked][:, linked]
    part.sort_indices()
    runs = []
    for seed in rng.integers(0, 2**31, n_seeds):
        quality, community = leiden_csr(
            part.indptr.astype(np.int64),
            part.indices.astype(np.int32),
            part.data.astype(np.float64),
            len(linked),
            iterations=5,
            seed=int(seed),
        )
        label = np.full(network.shape[0], -1)
        label[linked] = [community[node] for node in range(len(linked))]
        runs.append((float(quality), label))
    return runs


def _stability(genes: Ints, others: list[NDArray[np.int64]]) -> float:
    scores = []
    for label in others:
        there, shared = np.unique(label[genes], return_counts=True)
        size = np.array([(label == one).sum() for one in there])
        scores.append(float((shared / (size + len(genes) - shared)).max()))
    return float(np.mean(scores)) if scores else 1.0


def _correlations(genes: Ints, pairs: pd.DataFrame, expression: sp.csr_matrix | None) -> Floats:
    if expression is not None:
        return correlation_matrix(expression, genes).astype(np.float64)
    inside = pairs[pairs["source"].isin(genes) & pairs["target"].isin(genes)]
    place = (np.searchsorted(genes, inside[end].to_numpy()) for end in ("source", "target"))
    weight = np.eye(len(genes))
    row, column = place
    weight[row, column] = weight[column, row] = inside["correlation"]
    return weight
