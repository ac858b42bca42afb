"""How well unsupervised groups of an embedding agree with labels."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..leiden import leiden
from .communities import neighbour_graph
from .frame import Value

SILHOUETTE_CELLS = 2000
"""Cells that the silhouette looks at, because it compares all pairs."""


def cluster(
    embedding: np.ndarray, labels: np.ndarray, seeds: Sequence[int] = (0,)
) -> Iterator[Value]:
    """Yield how Leiden groups (resolution 1, 15 neighbours) and distances agree with labels.

    Adjusted Rand index (at most 1, 0 by chance), normalised mutual information [0, 1], number of
    groups, and the silhouette of the labels in the embedding [-1, 1] over up to 2,000 cells.

    Parameters
    ----------
    embedding, labels
        (n_cells, width) and (n_cells,), cells with a label only.
    seeds
        Of Leiden, and of the cells that the silhouette looks at.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    graph = neighbour_graph(embedding)
    for seed in seeds:
        groups = leiden(graph, seed=seed)
        n = len(np.unique(groups))
        nmi = normalized_mutual_info_score(labels, groups)
        yield Value("clustering", "all", "ARI", float(adjusted_rand_score(labels, groups)), seed)
        yield Value("clustering", "all", "NMI", float(nmi), seed)
        yield Value("clustering", "all", "Leiden groups", float(n), seed)
        rng = np.random.default_rng(seed)
        some = rng.choice(len(labels), min(SILHOUETTE_CELLS, len(labels)), replace=False)
        if 1 < len(np.unique(labels[some])) < len(some):
            silhouette = silhouette_score(embedding[some], labels[some])
            yield Value("clustering", "all", "silhouette", float(silhouette), seed)
