"""What can be asked of a trained network of :mod:`scypher.kg.clique`.

Imports torch: load it only where a network is trained.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ...encoders.codes import assign_codes
from ...encoders.errors import InputError
from ..attention.trained import row_batches, use_threads
from .batches import Batch, see
from .data import CliqueData
from .model import CliqueNetwork

if TYPE_CHECKING:
    from ..attention.config import Floats, Integers
    from .config import CliqueConfig


@dataclass(frozen=True)
class TrainedClique:
    """A trained network with the data it was trained on.

    Parameters
    ----------
    data, network, config
        As in training.
    """

    data: CliqueData
    network: CliqueNetwork
    config: "CliqueConfig"

    def read(self) -> "tuple[Floats, Floats, Floats, Integers]":
        """Return attention to tokens and fields, states and codes of all cells.

        Returns
        -------
        tuple
            (nnz of the tokens,) attention x number of genes, zeros when metadata is read;
            (n_cells, n_fields) attention x number of known fields, ``NaN`` where unknown;
            (n_cells, hidden); (n_cells,).
        """
        data = self.data
        genes = np.zeros(data.tokens.nnz, np.float32)
        fields = np.full(data.values.shape, np.nan, np.float32)
        states = np.zeros((data.tokens.shape[0], self.config.hidden), np.float32)
        with self._reading():
            for rows, batch in self._batches(np.arange(len(states))):
                tokens, present = self.network.tokens(batch)
                asked = tokens[:, :1]
                states[rows] = self.network.block(asked, tokens, present)[:, 0].numpy()
                weight = self.network.block.weights(asked, tokens, present)[:, 0, 1:].numpy()
                total = weight.sum(axis=1, keepdims=True)
                there = batch.present.numpy()
                number = there.sum(axis=1, keepdims=True)
                lift = weight * number / np.where(number > 0, total, 1)
                if data.fields:
                    block = np.full((len(rows), len(data.fields)), np.nan, np.float32)
                    block[data.values[rows] >= 0] = lift[there]
                    fields[rows] = block
                else:
                    genes[data.edges_of(rows)[1]] = lift[there]
            codes = assign_codes(self.network.discretise, states).code
        return genes, fields, states, codes

    def gene_pairs(self, rows: "Integers") -> csr_matrix:
        """Return the attention between genes summed over cells.

        Parameters
        ----------
        rows
            Cells.

        Returns
        -------
        csr_matrix
            float64 (n_genes, n_genes), above the diagonal only: entry (i, j), i < j, is the head
            mean of the attention of i to j plus that of j to i, summed over the cells that hold
            both. In a cell of n genes uniform attention gives 2 / (n + 1).

        Raises
        ------
        InputError
            If the network read metadata in place of genes.
        """
        data = self.data
        if data.fields:
            message = (
                f"attention between genes was asked of a network that reads {data.fields}; "
                "expected one that reads genes; train it without metadata."
            )
            raise InputError(message)
        shape = (len(data.genes),) * 2
        total = csr_matrix(shape, dtype=np.float64)
        with self._reading():
            for _, batch in self._batches(np.asarray(rows)):
                tokens, present = self.network.tokens(batch)
                asked = tokens[:, 1:]
                weight = self.network.block.weights(asked, tokens, present)[:, :, 1:].numpy()
                cell, i, j = np.nonzero(present[:, 1:, None].numpy() & present[:, None, 1:].numpy())
                gene = batch.token.numpy()
                ends = np.stack([gene[cell, i], gene[cell, j]])
                apart = ends[0] != ends[1]
                low, high = ends.min(axis=0)[apart], ends.max(axis=0)[apart]
                value = weight[cell, i, j][apart].astype(np.float64)
                total = total + csr_matrix((value, (low, high)), shape=shape)
        found = total.tocoo()
        n_genes = data.tokens.shape[1]
        place = (data.genes[found.row], data.genes[found.col])
        return csr_matrix((found.data, place), shape=(n_genes, n_genes))

    def _batches(self, rows: "Integers") -> "Iterator[tuple[Integers, Batch]]":
        for some in row_batches(rows, self.config.batch_cells):
            yield some, see(self.data, some, *self.data.edges_of(some))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self.network.eval()
        with use_threads(self.config.threads), torch.inference_mode():
            yield
