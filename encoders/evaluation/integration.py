"""Batch integration, by the metrics of scib."""

import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from .frame import Value

MOST_CELLS = 3000
"""Cells looked at; the silhouettes compare all pairs."""

N_NEIGHBOURS = 90
N_CONNECTED = 15

LABEL_MEASURES = ("silhouette label", "cLISI", "graph connectivity")
BATCH_MEASURES = ("BRAS", "iLISI", "kBET")


def integrate(
    embedding: np.ndarray, labels: np.ndarray, batch: np.ndarray | None, *, seed: int = 0
) -> Iterator[Value]:
    """Yield measures of scib (Luecken et al., Nat Methods 2022), each in [0, 1], more is better.

    Kept biology: silhouette of labels, cLISI, connectivity of the neighbour graph of each label.
    Removed batches, where there are some: BRAS (the silhouette of batches, corrected), iLISI, kBET.
    Without the optional package ``scib-metrics``, one row that says so.

    Parameters
    ----------
    embedding, labels, batch
        Cells with a label only; up to 3,000 of them are drawn.
    seed
        Of the cells drawn.
    """
    if find_spec("scib_metrics") is None:
        note = "scib-metrics is not installed: pip install scib-metrics"
        yield Value("integration", "all", "scib", float("nan"), note=note)
        return
    some = np.random.default_rng(seed).permutation(len(labels))[:MOST_CELLS]
    chosen = None if batch is None else batch[some]
    with warnings.catch_warnings():
        # Its libraries warn of their own deprecations and of devices they would like to have.
        warnings.simplefilter("ignore")
        found = _measure(np.ascontiguousarray(embedding[some]), labels[some], chosen)
    for measure, value in found.items():
        yield Value("integration", "all", measure, value, seed)


def _measure(
    embedding: np.ndarray, labels: np.ndarray, batch: np.ndarray | None
) -> dict[str, float]:
    from sklearn.neighbors import NearestNeighbors

    scib = import_module("scib_metrics")
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBOURS, len(embedding) - 1)).fit(embedding)
    distances, indices = search.kneighbors(embedding)
    near = scib.nearest_neighbors.NeighborsResults(indices=indices, distances=distances)
    nearest = near.subset_neighbors(n=min(N_CONNECTED, indices.shape[1]))
    labels = np.unique(labels.astype(str), return_inverse=True)[1]
    found = {
        "silhouette label": scib.silhouette_label(embedding, labels),
        "cLISI": scib.clisi_knn(near, labels),
        "graph connectivity": scib.graph_connectivity(nearest, labels),
    }
    if batch is not None:
        batch = np.unique(batch.astype(str), return_inverse=True)[1]
        found |= {
            "BRAS": scib.bras(embedding, labels, batch),
            "iLISI": scib.ilisi_knn(near, batch),
            "kBET": scib.kbet(near, batch)[0],
        }
    return {name: float(value) for name, value in found.items()}
