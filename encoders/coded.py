"""Encoders without codes of their own: a codebook is fitted to whatever embedding they give."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from .base import Encoder, Encoding, Progress
from .cells import Cells
from .codes import fit_codes


@dataclass(frozen=True)
class Features:
    """What an encoder without codes says of ``n_cells`` cells and ``n_genes`` genes.

    The attributes are those of :class:`~scypher.encoders.base.Encoding`; ``attention`` has no
    entries where an encoder has no attention.
    """

    embedding: np.ndarray
    gene_embedding: np.ndarray
    attention: sparse.csr_matrix
    weights_hash: str
    parameters: dict[str, Any]
    dropped_genes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class EmbeddingEncoder(Encoder):
    """An encoder whose cell codes come from a codebook fitted to its embedding.

    Subclasses implement :meth:`embed`. The codebook is that of
    :func:`~scypher.encoders.codes.fit_codes`, so every embedding enters the graph the same way.
    """

    @abstractmethod
    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return embedding, gene embedding and attention of checked cells."""

    def _encode(self, cells: Cells, seed: int, progress: Progress) -> Encoding:
        features = self.embed(cells, seed, progress)
        codes = fit_codes(features.embedding, seed=seed, progress=progress)
        return Encoding(
            code=codes.code,
            second=codes.second,
            probability=codes.probability,
            entropy=codes.entropy,
            embedding=features.embedding,
            gene_embedding=features.gene_embedding,
            attention=features.attention,
            codebook=codes.codebook,
            bits=codes.bits,
            weights_hash=features.weights_hash,
            parameters={**features.parameters, "encoder": self.name, "seed": seed},
            dropped_genes=features.dropped_genes,
            notes=[*features.notes, codes.health],
        )
