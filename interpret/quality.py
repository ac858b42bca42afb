"""Measures of codes, states, embedding and attention, each beside its baseline."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders.leiden import leiden
from ..kg.build import Parts
from .variable_genes import select_genes

N_COMPONENTS = 50
N_NEIGHBOURS = 15
SILHOUETTE_CELLS = 2000


def measure_quality(
    parts: Parts, values: sparse.csr_matrix, markers: pd.DataFrame | None, *, seed: int
) -> dict[str, Any]:
    """Return measures beside baselines; those that need labels only where there are labels.

    Parameters
    ----------
    values
        CSR (n_cells, n_genes), log1p of counts per 10,000.
    markers
        ``MARKED_BY`` of labels, or of states without labels.

    Returns
    -------
    dict
        ``codes_total, codes_active, codes_perplexity``; ``graph_attention_auroc`` of held-out
        edges beside ``graph_attention_auroc_popularity``; ``marker_overlap_at_10``: mean share of
        the top 10 by attention among the top 10 by expression; ``nmi_codes_labels``,
        ``nmi_states_labels`` beside ``nmi_leiden_pca_labels``, ``silhouette_embedding_labels``
        beside ``silhouette_pca_labels``.
    """
    codes = parts.encoding.code
    usage = np.bincount(codes) / len(codes)
    used = usage[usage > 0]
    kept = parts.attention.history[parts.attention.history["kept"]].iloc[0]
    quality: dict[str, Any] = {
        "codes_total": len(parts.encoding.codebook),
        "codes_active": len(used),
        "codes_perplexity": float(np.exp(-(used * np.log(used)).sum())),
        "n_states": int((parts.states.table["level"] == 1).sum()),
        "graph_attention_auroc": float(kept["auroc"]),
        "graph_attention_auroc_popularity": float(kept["auroc_popularity"]),
    }
    if markers is not None:
        by_attention = markers["attention_rank"] <= 10
        both = (by_attention & (markers["expression_rank"] <= 10)).astype(float)
        per_group = both.groupby(markers["source"]).sum()
        asked = by_attention.astype(float).groupby(markers["source"]).sum()
        quality["marker_overlap_at_10"] = float((per_group / asked.clip(lower=1)).mean())
    labels = parts.metadata.get("cell_type")
    if labels is not None and len(labels.labels) > 1:
        quality |= _against_labels(parts, values, labels.values, seed)
    return {name: _rounded(value) for name, value in quality.items()}


def _against_labels(
    parts: Parts, values: sparse.csr_matrix, labels: np.ndarray, seed: int
) -> dict[str, float]:
    from sklearn.metrics import normalized_mutual_info_score, silhouette_score

    known = np.flatnonzero(labels >= 0)
    components = principal_components(values, seed=seed)
    baseline = leiden(_neighbour_graph(components), resolution=1.0, seed=seed)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(known, min(SILHOUETTE_CELLS, len(known)), replace=False))
    result = {
        "nmi_codes_labels": normalized_mutual_info_score(labels[known], parts.encoding.code[known]),
        "nmi_states_labels": normalized_mutual_info_score(
            labels[known], parts.states.cell[known, 0]
        ),
        "nmi_leiden_pca_labels": normalized_mutual_info_score(labels[known], baseline[known]),
    }
    if len(np.unique(labels[some])) > 1:
        result["silhouette_embedding_labels"] = silhouette_score(
            parts.encoding.embedding[some], labels[some]
        )
        result["silhouette_pca_labels"] = silhouette_score(components[some], labels[some])
    return {name: float(value) for name, value in result.items()}


def principal_components(values: sparse.csr_matrix, *, seed: int) -> np.ndarray:
    """Return up to 50 principal components of 2,000 variable genes: the usual baseline."""
    from sklearn.decomposition import PCA

    genes = select_genes(values, 2000)
    dense = np.asarray(values[:, genes].todense(), dtype=np.float32)
    dense -= dense.mean(axis=0)
    dense /= np.maximum(dense.std(axis=0), 1e-6)
    np.clip(dense, -10, 10, out=dense)
    n = min(N_COMPONENTS, min(dense.shape) - 1)
    return np.asarray(PCA(n, random_state=seed, svd_solver="randomized").fit_transform(dense))


def _neighbour_graph(components: np.ndarray) -> sparse.csr_matrix:
    from sklearn.neighbors import kneighbors_graph

    k = min(N_NEIGHBOURS, len(components) - 1)
    graph = kneighbors_graph(components, k, include_self=False)
    return sparse.csr_matrix(graph.maximum(graph.T))


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
