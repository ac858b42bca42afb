"""Encode changed counts by what was fitted before: nothing is fitted anew."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ..codes import assign_codes
from ..counts import normalise
from ..reading import keep_top, to_columns
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
        config = self.model.config
        depth = totals / self.share
        values = to_columns(counts, self.column, config.n_genes)
        values = keep_top(normalise(values, depth), config.max_tokens)
        embedding, _ = read_cells(self.model, values, depth)
        own = np.zeros((len(embedding), config.own_width), np.float32)
        if self.adapted:
            with torch.no_grad():
                own = self.model.own(tokenise(values, depth)).numpy()
        return assign_codes(self.model.discretise, np.hstack([embedding, own])).code
