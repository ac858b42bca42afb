"""Training of CellPatch: hidden genes ask the patches for their values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..counts import normalise
from ..errors import InputError
from ..training.objective import Block, Objective
from .config import make_config
from .decoder import PromptDecoder
from .model import PatchEncoder
from .sampling import split
from .tokens import Tokens, pad
from .weights import save_model


class Batch(NamedTuple):
    """A block as tensors; see :class:`~scypher.encoders.cellpatch.tokens.Tokens`.

    Attributes
    ----------
    gene, value, present
        (n, length) what the encoder reads.
    asked_gene, asked_value, asked
        (n, length) what the decoder is asked for.
    """

    gene: Tensor
    value: Tensor
    present: Tensor
    asked_gene: Tensor
    asked_value: Tensor
    asked: Tensor


class CellPatchObjective(Objective):
    r"""Reconstruction of hidden genes (CellPatch preprint, Research Square rs-7138411).

    Thirty percent of the expressed genes of a cell and half as many others are hidden from the
    encoder; the loss is the squared error of their log1p of counts per 10,000,

    .. math:: \frac{1}{N} \sum_c \frac{1}{|A_c|} \sum_{g \in A_c} (\hat v_{cg} - v_{cg})^2

    over the :math:`N` cells that are asked for anything.

    Parameters
    ----------
    settings
        Fields of :class:`~scypher.encoders.cellpatch.config.CellPatchConfig` but ``n_tokens``.
    genes
        Ensembl ids of the genes of the blocks, in their order.

    Raises
    ------
    InputError
        A setting is unknown or out of range, or there are no genes.
    """

    encoder = "cellpatch"

    def __init__(self, settings: Mapping[str, Any], genes: Sequence[str]) -> None:
        super().__init__()
        if not genes:
            message = (
                "CellPatch was given no genes; expected at least one. Train on data with genes."
            )
            raise InputError(message)
        self.genes = list(genes)
        config = make_config(settings, n_tokens=len(self.genes) + 1, source="[model]")
        self.model = PatchEncoder(config)
        self.decoder = PromptDecoder(config)

    def prepare(self, block: Block, rng: np.random.Generator) -> Batch:
        """Return what is read and what is asked for, chosen at random."""
        config = self.model.config
        # A cell without counts has nothing to normalise.
        values = normalise(block.counts, np.maximum(block.totals, 1))
        values.sort_indices()
        chosen = split(values, rng, max_tokens=config.max_tokens, max_targets=config.max_targets)
        level = config.as_read(chosen.read_value)
        n = values.shape[0]
        # Row 0 of the gene table is padding.
        read = pad(chosen.read_row, chosen.read_gene + 1, level, n)
        asked = pad(chosen.asked_row, chosen.asked_gene + 1, chosen.asked_value, n)
        return Batch(*read, *asked)

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean squared error of a cell, averaged over the cells."""
        asked = Tokens(batch.asked_gene, batch.asked_value, batch.asked)
        patches = self.model(batch.gene, batch.value, batch.present)
        guess = self.decoder(patches, self.model.gene(asked.gene), asked.present)
        error = (guess - asked.value).square() * asked.present
        count = asked.present.sum(dim=1)
        by_cell = error.sum(dim=1) / count.clamp_min(1)
        loss: Tensor = by_cell.sum() / (count > 0).sum().clamp_min(1)
        return loss

    def save(self, folder: Path, *, history: list[dict[str, Any]]) -> None:
        """Write encoder, decoder, sizes and genes, as the encoder reads them."""
        save_model(self.model, self.decoder, self.genes, folder, history=history)
