"""What a fitted encoder says of changed cells: code, embedding, attention, decoded expression."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Response:
    """What a fitted encoder says of ``n`` cells with the genes of its data set.

    Attributes
    ----------
    code
        (n,) index in the codebook.
    embedding
        (n, width) float32.
    attention
        CSR (n, n_genes) float32 as in :class:`~scypher.encoders.base.Encoding`.
    expression
        (n, n_genes) float32, log1p of the expected counts per 10,000 that the decoder gives, 0 for
        genes that it does not read; ``None`` where there is no decoder.
    """

    code: np.ndarray
    embedding: np.ndarray
    attention: sparse.csr_matrix
    expression: np.ndarray | None


@runtime_checkable
class Responds(Protocol):
    """A fitted encoder that tells all it says of cells, nothing of it fitted anew."""

    def respond(self, counts: sparse.csr_matrix, totals: np.ndarray) -> Response:
        """Return what it says of CSR (n, n_genes) counts, given the depth (n,) of each cell."""
        ...
