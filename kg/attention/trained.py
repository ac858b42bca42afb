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
from torch import Tensor

from .attributions import integrated_gradients
from .batches import Messages, see, zero_attributes
from .bipartite import Bipartite, Bools, Popularity
from .model import Network, fresh_network
from .relations import entries_of

if TYPE_CHECKING:
    from .config import Floats, GraphAttentionConfig, Integers


@dataclass(frozen=True)
class Reading:
    """Attention x in-degree and states of the cells, as in :class:`GraphAttention`.

    ``genes`` is (nnz of the tokens,), ``fields`` field -> (n_cells,), ``cells`` (n_cells, hidden)
    and ``near`` (nnz of the neighbours,), ``None`` without neighbours.
    """

    genes: "Floats"
    fields: "dict[str, Floats]"
    cells: "Floats"
    near: "Floats | None"


@dataclass(frozen=True)
class Sources:
    """States that cells draw on, before any message of a batch, all of width ``hidden``.

    ``genes`` is (n_genes, hidden), zeros for a gene without cells; ``codes`` has a row for each of
    ``graph.present_codes``; ``values`` is field -> (1 + highest number, hidden), zeros for a value
    without cells.
    """

    genes: "Floats"
    codes: "Floats"
    values: "dict[str, Floats]"


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

        Attention is that of cells whose embedding and code are withheld: what the network weighs
        when genes and metadata alone must tell what a cell is. States are those of cells of which
        everything is seen.

        Returns
        -------
        tuple
            (nnz of the tokens,), field -> (n_cells,), (n_cells, hidden); see
            :class:`~scypher.kg.attention.GraphAttention`.
        """
        reading = self.read_all()
        return reading.genes, reading.fields, reading.cells

    def read_all(self) -> Reading:
        """Return what :meth:`read` does, and the attention to neighbours."""
        graph, near = self.graph, self.graph.relations.near
        genes = np.zeros(graph.tokens.nnz, np.float32)
        fields = np.full(graph.values.shape, np.nan, np.float32)
        states = np.zeros((len(graph.cells), self.config.hidden), np.float32)
        to_near = None if near is None else np.zeros(near.nnz, np.float32)
        with self._reading(), torch.inference_mode():
            for rows in row_batches(np.arange(len(graph.cells)), self.config.batch_cells):
                cell, position = graph.positions(rows)
                _, _, attention = self.network(self._see_blind(rows), weights=True)
                cells, _, _ = self.network(self._see(rows))
                states[rows] = cells.numpy()
                genes[position] = _by_degree(attention["gene"], cell)
                if "value" in attention:
                    known = graph.values[rows] >= 0
                    block = np.full(known.shape, np.nan, np.float32)
                    block[known] = _by_degree(attention["value"], np.nonzero(known)[0])
                    fields[rows] = block
                if near is not None and to_near is not None:
                    cell, position = entries_of(near, rows)
                    to_near[position] = _by_degree(attention["near"], cell)
        by_field = {field: fields[:, f].copy() for f, field in enumerate(graph.fields)}
        return Reading(genes, by_field, states, to_near)

    def sources(self) -> Sources:
        """Return the states of genes, codes and metadata values, in the space of the network."""
        graph, network = self.graph, self.network
        with self._reading(), torch.inference_mode():
            numbers = torch.arange(len(graph.gene_features))
            known = network.genes(numbers, torch.from_numpy(graph.gene_features)).numpy()
            codes = network.codes().numpy()
            values = network.value_own.weight.numpy()
        genes = np.zeros((len(graph.gene_number), known.shape[1]), np.float32)
        genes[graph.gene_number >= 0] = known
        by_field = {}
        for field, first, found in zip(
            graph.fields, graph.first[:-1], graph.present_values, strict=True
        ):
            states = np.zeros((found.max(initial=-1) + 1, known.shape[1]), np.float32)
            states[found] = values[first : first + len(found)]
            by_field[field] = states
        return Sources(genes, codes.copy(), by_field)

    def code_log_probability(
        self, tokens: csr_matrix | None = None, rows: "Integers | None" = None
    ) -> "Floats":
        """Return the log probability of every code of every cell by its genes and metadata alone.

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
        asked = self if tokens is None else self._with(tokens)
        rows = np.arange(len(self.graph.cells)) if rows is None else rows
        found = np.zeros((len(rows), len(self.graph.codebook)), np.float32)
        with self._reading(), torch.inference_mode():
            for place in row_batches(np.arange(len(rows)), self.config.batch_cells):
                batch = asked._see_blind(rows[place])
                found[place] = self._scores(batch).numpy()
        return found

    def attributions(self, rows: "Integers | None" = None, *, steps: int = 16) -> "Floats":
        r"""Return how much each gene edge adds to the log probability of its cell's own code.

        Integrated gradients (Sundararajan, Taly and Yan 2017) along the straight line from the
        attributes of an edge of value zero to its own, by Gauss-Legendre quadrature, summed over
        the attributes of the edge: over the edges of a cell they sum to the difference between the
        log probability given the genes and given their presence alone. Embedding and code of the
        cell are withheld.

        Parameters
        ----------
        rows
            Cells asked for; all when not given.
        steps
            Points of the line at which gradients are taken, at least 1.

        Returns
        -------
        ndarray
            (n edges of those rows,) nats, in the order of the tokens of the rows; ``NaN`` for the
            edges of a cell without code.

        Raises
        ------
        InputError
            If ``steps`` is not positive.
        """
        graph = self.graph
        rows = np.arange(len(graph.cells)) if rows is None else rows
        found = [np.zeros(0, np.float32)]
        with self._reading():
            for some in row_batches(rows, self.config.batch_cells):
                batch = self._see_blind(some)
                edges = graph.edges(*graph.positions(some))
                baseline = torch.from_numpy(zero_attributes(edges, self.popularity))
                codes = graph.codes[some]
                with_code = torch.from_numpy(np.flatnonzero(codes >= 0))
                own = torch.from_numpy(codes[codes >= 0])

                def own_code(
                    attributes: Tensor,
                    batch: Messages = batch,
                    with_code: Tensor = with_code,
                    own: Tensor = own,
                ) -> Tensor:
                    scores = self._scores(replace(batch, gene_attributes=attributes))
                    return scores[with_code, own].sum()

                edge = integrated_gradients(own_code, batch.gene_attributes, baseline, steps=steps)
                edge[codes[edges.cell] < 0] = np.nan
                found.append(edge)
        return np.concatenate(found)

    def randomised(self, seed: int) -> "TrainedNetwork":
        """Return the same network before any training, its weights drawn anew from a seed."""
        return replace(self, network=fresh_network(self.graph, self.config, seed))

    def _see(self, rows: "Integers") -> Messages:
        """Return a batch of which everything is seen."""
        return self._batch(rows, self.graph.codes[rows], np.zeros(len(rows), dtype=bool))

    def _see_blind(self, rows: "Integers") -> Messages:
        """Return a batch of which genes and metadata alone are seen."""
        return self._batch(rows, np.full(len(rows), -1), np.ones(len(rows), dtype=bool))

    def _batch(self, rows: "Integers", codes: "Integers", blind: Bools) -> Messages:
        graph = self.graph
        return see(
            graph,
            rows,
            graph.edges(*graph.positions(rows)),
            codes=codes,
            values=graph.values[rows],
            blind=blind,
            popularity=self.popularity,
        )

    def _scores(self, batch: Messages) -> Tensor:
        cells, _, _ = self.network(batch)
        return self.network.code_scores(cells).log_softmax(dim=1)

    def _with(self, tokens: csr_matrix) -> "TrainedNetwork":
        return replace(self, graph=replace(self.graph, tokens=self._known(tokens)))

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
        with use_threads(self.config.threads):
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


def _by_degree(attention: Tensor, cell: "Integers") -> "Floats":
    """Return the mean over heads times the number of edges of the cell."""
    degree = np.bincount(cell, minlength=1)
    weighed: Floats = (attention.mean(1).numpy() * degree[cell]).astype(np.float32)
    return weighed


def row_batches(rows: "Integers", size: int) -> "Iterator[Integers]":
    """Return rows in batches."""
    return (rows[start : start + size] for start in range(0, len(rows), size))
