"""What can be asked of a trained network of :mod:`scypher.kg.attention`.

Imports torch: load it only where a network is trained.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_matrix

from .batches import Bipartite, Popularity, see
from .model import Network

if TYPE_CHECKING:
    from .config import Floats, GraphAttentionConfig, Integers


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with the graph it was trained on.

    Parameters
    ----------
    graph, network, popularity, config
        As in training.
    """

    graph: Bipartite
    network: Network
    popularity: Popularity
    config: "GraphAttentionConfig"

    def read(self) -> "tuple[Floats, dict[str, Floats], Floats]":
        """Return attention x in-degree of genes and fields, and the states, over all edges.

        Returns
        -------
        tuple
            (nnz of the tokens,), field -> (n_cells,), (n_cells, hidden); see
            :class:`~scypher.kg.attention.GraphAttention`.
        """
        graph = self.graph
        genes = np.zeros(graph.tokens.nnz, np.float32)
        fields = np.full(graph.values.shape, np.nan, np.float32)
        embedding = np.zeros((len(graph.cells), self.config.hidden), np.float32)
        with self._reading():
            for rows in row_batches(np.arange(len(graph.cells)), self.config.batch_cells):
                cell, position = graph.positions(rows)
                values = graph.values[rows]
                batch = see(
                    graph,
                    rows,
                    graph.edges(cell, position),
                    codes=graph.codes[rows],
                    values=values,
                    popularity=self.popularity,
                )
                cells, _, attention = self.network(batch, weights=True)
                embedding[rows] = cells.numpy()
                degree = np.bincount(cell, minlength=len(rows))
                genes[position] = attention["gene"].mean(1).numpy() * degree[cell]
                if "value" in attention:
                    known = values >= 0
                    block = np.full(values.shape, np.nan, np.float32)
                    block[known] = attention["value"].mean(1).numpy()
                    fields[rows] = block * known.sum(axis=1, keepdims=True)
        return (
            genes,
            {field: fields[:, f].copy() for f, field in enumerate(graph.fields)},
            embedding,
        )

    def code_log_probability(
        self, tokens: csr_matrix | None = None, rows: "Integers | None" = None
    ) -> "Floats":
        """Return the log probability of every code of every cell, its own code withheld.

        Parameters
        ----------
        tokens
            (n_cells, n_genes) other genes for the same cells, such as those of training without
            some entries; those of training when not given. Genes that training never saw are
            passed over.
        rows
            Cells asked for; all when not given.

        Returns
        -------
        ndarray
            (n_rows, n_codes) log probabilities, nats; column j is code ``graph.present_codes[j]``.
        """
        graph = self.graph if tokens is None else replace(self.graph, tokens=self._known(tokens))
        rows = np.arange(len(graph.cells)) if rows is None else rows
        found = np.zeros((len(rows), len(graph.codebook)), np.float32)
        with self._reading():
            for place in row_batches(np.arange(len(rows)), self.config.batch_cells):
                some = rows[place]
                batch = see(
                    graph,
                    some,
                    graph.edges(*graph.positions(some)),
                    codes=np.full(len(some), -1),
                    values=graph.values[some],
                    popularity=self.popularity,
                )
                cells, _, _ = self.network(batch)
                found[place] = self.network.code_scores(cells).log_softmax(dim=1).numpy()
        return found

    def _known(self, tokens: csr_matrix) -> csr_matrix:
        """Return tokens without genes that were none in training."""
        known = self.graph.gene_number[tokens.indices] >= 0
        if known.all():
            return tokens
        before = np.concatenate([[0], np.cumsum(known)])
        return csr_matrix(
            (tokens.data[known], tokens.indices[known], before[tokens.indptr]), shape=tokens.shape
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self.network.eval()
        with use_threads(self.config.threads), torch.inference_mode():
            yield


@contextmanager
def use_threads(number: int) -> Iterator[None]:
    """Let torch use a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def row_batches(rows: "Integers", size: int) -> "Iterator[Integers]":
    """Return rows in batches."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
