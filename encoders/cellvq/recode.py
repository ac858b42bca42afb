"""Encode changed counts by what was fitted before: nothing is fitted anew."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ..codes import assign_codes
from ..counts import COUNTS_PER_CELL, normalise
from ..reading import keep_top, to_columns
from ..response import Response
from .inference import read_cells
from .model import CellVQ
from .tokens import tokenise


@dataclass(frozen=True)
class FittedCellVQ:
    """A model as it was fitted to a data set, for cells with the same genes.

    Attributes
    ----------
    model
        With own components and codebook when ``adapted``.
    column
        (n_genes,) column of each gene of the data set in the model, -1 for genes it does not read.
    share
        Share of all counts that the measured genes usually have.
    adapted
        Whether the model was fitted to the data set.
    """

    model: CellVQ
    column: np.ndarray
    share: float
    adapted: bool

    def __call__(self, counts: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
        """Return the code of each cell, (n,).

        Parameters
        ----------
        counts
            CSR (n, n_genes) counts.
        totals
            (n,) counts of each cell before anything was cut out of it.
        """
        embedding, _ = self._read(counts, totals)
        return assign_codes(self.model.discretise, embedding).code

    def respond(self, counts: sparse.csr_matrix, totals: np.ndarray) -> Response:
        """Return code, embedding, attention and decoded expression of each cell.

        Parameters
        ----------
        counts, totals
            As in the call.
        """
        embedding, attention = self._read(counts, totals)
        code = assign_codes(self.model.discretise, embedding).code
        read = np.flatnonzero(self.column >= 0)
        attended = attention[:, self.column[read]].tocoo()
        expression = np.zeros(counts.shape, np.float32)
        expression[:, read] = self._expected(embedding, self.column[read])
        return Response(
            code,
            # The model has columns for own components, whether or not it has any.
            embedding if self.adapted else embedding[:, : self.model.config.width],
            sparse.csr_matrix(
                (attended.data, (attended.row, read[attended.col])), shape=counts.shape
            ),
            expression,
        )

    def _read(
        self, counts: sparse.csr_matrix, totals: np.ndarray
    ) -> tuple[np.ndarray, sparse.csr_matrix]:
        config = self.model.config
        depth = totals / self.share
        values = to_columns(counts, self.column, config.n_genes)
        values = keep_top(normalise(values, depth), config.max_tokens)
        embedding, attention = read_cells(self.model, values, depth)
        own = np.zeros((len(embedding), config.own_width), np.float32)
        if self.adapted:
            with torch.no_grad():
                own = self.model.own(tokenise(values, depth)).numpy()
        return np.hstack([embedding, own]), attention

    @torch.no_grad()
    def _expected(self, embedding: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Return log1p of the mean of the zero-inflated distribution at a depth of 10,000."""
        cell = torch.from_numpy(np.ascontiguousarray(embedding[:, : self.model.config.width]))
        mean, _, dropout = self.model.decode_all(cell, torch.from_numpy(genes), COUNTS_PER_CELL)
        expected: np.ndarray = torch.log1p(mean * torch.sigmoid(-dropout)).numpy()
        return expected
