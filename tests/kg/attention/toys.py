"""Small graphs with planted truth, shared by the tests of graph attention."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from scypher.kg.attention import (
    GraphAttention,
    GraphAttentionConfig,
    Relations,
    attend,
    batches,
)

GROUPS, GENES = 4, 80
SMALL = GraphAttentionConfig(hidden=16, heads=2, epochs=2, batch_cells=32)


def planted(n_cells: int = 400, seed: int = 0) -> dict[str, Any]:
    """Cells whose code is told by one gene alone: gene g marks group g, values say nothing.

    Groups 0 and 1 share the program 4..29, groups 2 and 3 the program 30..55; the embedding is
    noise, so that only messages can tell.
    """
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, n_cells)
    weight = np.full((n_cells, GENES), 0.2)
    weight[np.ix_(group < 2, np.arange(4, 30))] = 1
    weight[np.ix_(group >= 2, np.arange(30, 56))] = 1
    weight[:, :GROUPS] = 0
    weight[np.arange(n_cells), group] = np.inf
    # Exponential races draw without replacement in proportion to the weights.
    with np.errstate(divide="ignore"):
        race = rng.exponential(size=weight.shape) / weight
    chosen = np.sort(np.argsort(race, axis=1)[:, :15], axis=1)
    values = rng.uniform(1, 3, chosen.size).astype(np.float32)
    tokens = csr_matrix(
        (values, chosen.ravel(), np.arange(0, chosen.size + 1, 15)), shape=(n_cells, GENES)
    )
    return {
        "cells": rng.normal(size=(n_cells, 8)).astype(np.float32),
        "tokens": tokens,
        "gene_features": np.zeros((GENES, 4), np.float32),
        "codes": group,
        "codebook": np.eye(GROUPS, dtype=np.float32),
        "metadata": {"donor": rng.integers(0, 3, n_cells), "batch": rng.integers(-1, 2, n_cells)},
    }


def run(
    data: dict[str, Any], seed: int = 0, relations: Relations | None = None, **config: Any
) -> GraphAttention:
    """Train a small network on such data."""
    rest = {name: value for name, value in data.items() if name != "cells"}
    chosen = replace(SMALL, **config)
    generator = np.random.default_rng(seed)
    return attend(data["cells"], generator=generator, relations=relations, config=chosen, **rest)


def batch_of(data: dict[str, Any], relations: Relations | None = None) -> Any:
    """Return the graph, all of its edges as known, and the popularity of its genes."""
    graph = batches.Bipartite.of(
        data["cells"],
        data["tokens"],
        data["gene_features"],
        codes=data["codes"],
        codebook=data["codebook"],
        metadata=data["metadata"],
        relations=relations,
    )
    known = np.ones(graph.tokens.nnz, dtype=bool)
    return graph, known, batches.Popularity.of(graph, known)
