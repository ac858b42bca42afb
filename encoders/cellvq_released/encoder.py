"""The published CellVQ as an encoder, with weights that the user brings."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from ..base import Encoder, Encoding, Progress
from ..cells import Cells
from ..codes import code_health
from ..errors import InputError
from .inference import MAX_GENES, attention_of_cell, inputs_of, parameters_of, read
from .layout import CELLVQ
from .weights import load_published


class CellVQReleasedEncoder(Encoder):
    """CellVQ as published (Wang et al., Nat Commun 2026).

    The embedding is the published "all" embedding: source depth token, target depth token, highest
    and mean value over the genes, 4 x width numbers. The code is made of the highest value over
    all tokens. The attention is that of the two depth tokens in the last layer. The embedding of a
    gene is its position embedding plus its prior.

    Parameters
    ----------
    path
        Checkpoint; the gene list lies beside it.
    mode
        Mode of the checkpoint, ``m1`` by default.
    max_genes
        Most genes of a cell that are read; bounds the memory.

    Raises
    ------
    InputError
        The file holds no such weights; the message says what is wrong with them.
    """

    name = "cellvq_released"

    def __init__(self, path: Path, mode: str | None = None, *, max_genes: int = MAX_GENES) -> None:
        self._published = load_published(path, mode, CELLVQ)
        self._max_genes = max_genes

    def _encode(self, cells: Cells, seed: int, progress: Progress) -> Encoding:
        published = self._published
        inputs = inputs_of(published, cells, self._max_genes)
        reading = read(published, inputs, progress)
        discretise = published.model.cell_vq
        if discretise is None:
            message = f"{published.checkpoint} makes no codes; give weights of CellVQ."
            raise InputError(message)
        with torch.no_grad():
            codebook = discretise.codebook()
            codes = discretise.assign(torch.from_numpy(reading.highest), codebook)
        n_bits = discretise.embedding.shape[1]
        return Encoding(
            *codes,
            embedding=reading.cell,
            gene_embedding=reading.gene,
            attention=reading.attention,
            codebook=codebook.numpy(),
            bits=[format(index, f"0{n_bits}b") for index in range(len(codebook))],
            weights_hash=published.weights_hash,
            parameters={
                **parameters_of(published, self._max_genes),
                "encoder": self.name,
                "seed": seed,
            },
            dropped_genes=inputs.dropped,
            notes=[*inputs.notes, code_health(codes.code, len(codebook))],
        )

    def attention(self, cells: Cells, cell: int, layers: list[int]) -> dict[int, pd.DataFrame]:
        """Return whole attention maps of one cell by layer: slow, length x length.

        Rows attend to columns, averaged over heads; see
        :func:`~scypher.encoders.cellvq_released.inference.attention_of_cell`.
        """
        inputs = inputs_of(self._published, cells, self._max_genes)
        return attention_of_cell(self._published, inputs, cell, layers)

    def property_logits(self, embedding: np.ndarray) -> dict[str, np.ndarray]:
        """Return the logits of the property heads that the weights hold.

        What the classes mean was not published: the columns are numbers only.

        Parameters
        ----------
        embedding
            (n_cells, 4 width) as :meth:`encode` gives it.

        Returns
        -------
        dict of str to ndarray
            (n_cells, n_classes) by property: ``cell_type, tissue, disease, sex, age``.

        Raises
        ------
        InputError
            The weights hold no such head, or the embedding has another width.
        """
        width = 4 * self._published.model.sizes.width
        if not self._published.heads:
            message = (
                f"{self._published.checkpoint} holds no property heads; give a checkpoint with "
                "cell_type, tissue, disease, sex or age."
            )
            raise InputError(message)
        if embedding.ndim != 2 or embedding.shape[1] != width:
            message = (
                f"the embedding has shape {embedding.shape}, expected (n_cells, {width}). Give the "
                "one that encode returned."
            )
            raise InputError(message)
        given = torch.from_numpy(np.ascontiguousarray(embedding, dtype=np.float32))
        return {
            name: functional.linear(given, weight, bias).numpy()
            for name, (weight, bias) in self._published.heads.items()
        }
