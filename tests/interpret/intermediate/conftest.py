"""Toy cells of three types, and a fourth cluster planted between the first two."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph

from scypher.kg.states import States

N_GENES = 300
OWN = np.arange(100, 112)


class Toy(NamedTuple):
    """Counts, labels (0 and 1 the ends, 2 another type, 3 the planted cluster), graph, states."""

    counts: sp.csr_matrix
    labels: np.ndarray
    graph: sp.csr_matrix
    states: States


def states_of(labels: np.ndarray, graph: sp.csr_matrix) -> States:
    """Return labels as states of one level."""
    n = int(labels.max()) + 1
    weight = np.zeros((n, n))
    coo = graph.tocoo()
    np.add.at(weight, (labels[coo.row], labels[coo.col]), coo.data)
    strength = weight.sum(axis=1)
    ratio = weight * strength.sum() / np.outer(strength, strength)
    np.fill_diagonal(ratio, 0)
    table = pd.DataFrame({"name": [f"S{i}" for i in range(n)], "level": 1, "parent": -1})
    table["size"] = np.bincount(labels)
    cell = np.column_stack([labels, np.full(len(labels), -1)])
    return States(table, cell, {}, sp.csr_matrix(ratio))


@pytest.fixture(scope="session")
def make_states() -> Callable[..., States]:
    """Labels as states."""
    return states_of


@pytest.fixture(scope="session")
def make_toy() -> Callable[..., Toy]:
    """Toy cells; ``kind`` is doublet, transition or graded (a transition without own genes)."""

    def make(kind: str, seed: int = 0, n: int = 60) -> Toy:
        rng = np.random.default_rng(seed)
        base = rng.gamma(0.6, 1.0, N_GENES) + 0.02
        base[OWN] = 0.02
        profile = np.tile(base, (3, 1))
        for one in range(3):
            profile[one, 20 * one : 20 * one + 20] += 4
        profile /= profile.sum(axis=1, keepdims=True)

        def depth(size: int) -> np.ndarray:
            return 3000 * rng.lognormal(0, 0.6, size)

        plain = np.repeat([0, 1, 2], 120)
        parts = [rng.poisson(profile[plain] * depth(len(plain))[:, None])]
        if kind == "doublet":
            first, second = (rng.poisson(profile[one] * depth(n)[:, None]) for one in (0, 1))
            parts.append(first + second)
        else:
            t = rng.random(n)[:, None]
            rate = (1 - t) * profile[0] + t * profile[1]
            if kind == "transition":
                rate[:, OWN] += 4 * t * (1 - t) * 0.002
            parts.append(rng.poisson(rate * depth(n)[:, None]))
        counts = np.concatenate(parts).astype(np.float32)
        labels = np.concatenate([plain, np.full(n, 3)])
        # without a logarithm, or depth alone would part doublets from all others
        values = counts / counts.sum(axis=1, keepdims=True)
        near = kneighbors_graph(PCA(10, random_state=0).fit_transform(values), 15)
        graph = sp.csr_matrix(near.maximum(near.T))
        return Toy(sp.csr_matrix(counts), labels, graph, states_of(labels, graph))

    return make
