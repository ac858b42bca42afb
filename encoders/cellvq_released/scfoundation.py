"""scFoundation as an encoder, with weights that the user brings."""

from pathlib import Path

import pandas as pd

from ..base import Progress
from ..cells import Cells
from ..coded import EmbeddingEncoder, Features
from .inference import MAX_GENES, attention_of_cell, inputs_of, parameters_of, read
from .layout import SCFOUNDATION
from .weights import load_published


class ScFoundationEncoder(EmbeddingEncoder):
    """scFoundation (Hao et al., Nat Methods 2024): the body of CellVQ without prior and codes.

    The embedding is the published "all" embedding: source depth token, target depth token, highest
    and mean value over the genes, 4 x width numbers. The attention is that of the two depth tokens
    in the last layer. The embedding of a gene is its position embedding.

    Parameters
    ----------
    path
        Checkpoint; the gene list lies beside it.
    mode
        Mode of the checkpoint: ``cell`` by default, ``rde`` or ``gene``.
    max_genes
        Most genes of a cell that are read; bounds the memory.

    Raises
    ------
    InputError
        The file holds no such weights; the message says what is wrong with them.
    """

    name = "scfoundation"

    def __init__(self, path: Path, mode: str | None = None, *, max_genes: int = MAX_GENES) -> None:
        self._published = load_published(path, mode, SCFOUNDATION)
        self._max_genes = max_genes

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return embedding, gene embedding and attention of checked cells; nothing is drawn."""
        inputs = inputs_of(self._published, cells, self._max_genes)
        reading = read(self._published, inputs, progress)
        return Features(
            embedding=reading.cell,
            gene_embedding=reading.gene,
            attention=reading.attention,
            weights_hash=self._published.weights_hash,
            parameters=parameters_of(self._published, self._max_genes),
            dropped_genes=inputs.dropped,
            notes=inputs.notes,
        )

    def attention(self, cells: Cells, cell: int, layers: list[int]) -> dict[int, pd.DataFrame]:
        """Return whole attention maps of one cell by layer: slow, length x length.

        Rows attend to columns, averaged over heads; see
        :func:`~scypher.encoders.cellvq_released.inference.attention_of_cell`.
        """
        inputs = inputs_of(self._published, cells, self._max_genes)
        return attention_of_cell(self._published, inputs, cell, layers)
