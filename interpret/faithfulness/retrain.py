"""Train the network of a graph again, on some of its cells and from other seeds."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from ..statistics import Ints
from .asked import Asked, Train

if TYPE_CHECKING:
    from ...kg.attention import GraphAttentionConfig
    from ...kg.attention.bipartite import Bipartite
    from ...kg.attention.trained import TrainedNetwork

EPOCHS, BATCH_CELLS = 8, 64
"""A short training: few cells, so smaller batches for as many steps as a longer one has."""


def retrainer(network: "TrainedNetwork", *, config: "GraphAttentionConfig | None" = None) -> Train:
    """Return a function that trains such a network anew from a seed on some of its cells.

    Parameters
    ----------
    network
        The trained network, whose graph is used; its weights are not.
    config
        Size and training; by default those of the network with 8 epochs of batches of 64 cells.
    """
    chosen = config or replace(network.config, epochs=EPOCHS, batch_cells=BATCH_CELLS)

    def train_again(seed: int, rows: Ints) -> Asked:
        # Torch takes seconds to load: here, not with the package.
        from ...kg.attention.training import train

        return train(part_of(network.graph, rows), chosen, seed, _silent)[0]

    return train_again


def part_of(graph: "Bipartite", rows: Ints) -> "Bipartite":
    """Return the graph of some cells, numbered anew; neighbours among these cells alone stay."""
    from ...kg.attention.bipartite import Bipartite

    genes = np.flatnonzero(graph.gene_number >= 0)
    n_genes = len(graph.gene_number)
    features = np.zeros((n_genes, graph.gene_features.shape[1]), np.float32)
    features[genes] = graph.gene_features
    near, links = graph.relations.near, graph.relations.links
    if links is not None:
        ends = links.tocoo()
        links = csr_matrix((ends.data, (genes[ends.row], genes[ends.col])), (n_genes, n_genes))
    values = graph.values[rows]
    return Bipartite.of(
        graph.cells[rows],
        graph.tokens[rows],
        features,
        codes=graph.codes[rows],
        codebook=graph.codebook,
        metadata={
            field: np.where(values[:, f] >= 0, values[:, f] - graph.first[f], -1)
            for f, field in enumerate(graph.fields)
        },
        relations=replace(
            graph.relations,
            near=None if near is None else csr_matrix(near[rows][:, rows]),
            links=links,
        ),
    )


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
