"""Pretraining of CellVQ: reconstruct hidden counts from the embedding, then learn the codes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..base import Progress
from ..codes import CodesConfig, assign_codes, initialise_projection, perplexity, train_codes
from ..counts import normalise
from ..errors import InputError
from ..training.objective import Block, Objective
from ..training.source import Source
from .config import CellVQConfig
from .corruption import Corruption, Target, corrupt, measured_share, whole_target
from .inference import read_cells
from .model import CellVQ
from .svd import corpus_svd
from .tokens import Tokens
from .weights import save_model
from .zinb import zinb_nll

NO_BATCH = 0.25
"""Share of cells decoded without their batch term, so that the embedding cannot lean on it."""

GENE_RATE = 0.1
"""Factor on the learning rate of the gene loadings, which start as the corpus SVD."""

PROPERTY_WEIGHT = 0.1

ANCHOR_WEIGHT = 0.3
"""Weight of the distance to the linear embedding of the whole cell: what training adds is to make
up for depth and genes that are missing, not to forget what the linear embedding knew."""

CODE_CELLS = 16_000
"""Cells the codebook is trained on."""


class CellVQBatch(NamedTuple):
    """Tensors of a block.

    Attributes
    ----------
    tokens, target
        Input and counts to reconstruct.
    batch
        (n,) batch, 0 for none.
    labels
        (n, n_properties), -1 where unknown.
    whole
        (n, width) linear embedding of the cells before anything was taken from them.
    """

    tokens: Tokens
    target: Target
    batch: Tensor
    labels: Tensor
    whole: Tensor


class CellVQObjective(Objective):
    """CellVQ with its zero-inflated negative binomial objective.

    A batch term in the decoder takes up what differs between batches; it is dropped afterwards.
    The body learns first and the codebook on the finished embedding, so that discrete codes never
    make the embedding coarser.

    Parameters
    ----------
    model
        The model, its loadings set to the corpus SVD.
    source
        The cells.
    how
        What is taken from the input.
    """

    encoder = "cellvq"

    def __init__(self, model: CellVQ, source: Source, how: Corruption) -> None:
        super().__init__()
        self.model = model
        self._how = how
        self._genes = source.genes
        self._names = source.names
        self._measured = source.measured
        self._profile = model.profile.numpy().copy()
        # The linear encoder as it was at the start, for the anchor.
        self._linear = (model.loadings / model.scale.unsqueeze(1)).detach().numpy().copy()
        self._centre = model.centre.numpy().copy()
        self.batch_term = nn.Embedding(source.n_batches + 1, model.config.width, padding_idx=0)
        nn.init.zeros_(self.batch_term.weight)
        # The codebook learns afterwards; left in, it would only cost.
        self.model.discretise.requires_grad_(False)

    def prepare(self, block: Block, rng: np.random.Generator) -> CellVQBatch:
        """Return the tensors of a block."""
        tokens, target = corrupt(block, self._measured, self._profile, how=self._how, rng=rng)
        batch = np.where(rng.random(len(block.batch)) < NO_BATCH, 0, block.batch + 1)
        names = list(self.model.config.properties)
        labels = np.stack([block.labels[name] for name in names], 1) if names else np.zeros((0, 0))
        depth = block.totals / measured_share(self._measured[block.dataset], self._profile)
        whole = normalise(block.counts, depth) @ self._linear - self._centre
        return CellVQBatch(
            tokens,
            target,
            torch.from_numpy(batch),
            torch.from_numpy(labels.astype(np.int64)),
            torch.from_numpy(np.asarray(whole, dtype=np.float32)),
        )

    def forward(self, batch: CellVQBatch) -> Tensor:
        """Return the mean loss of the cells of a block, nats."""
        cell = self.model.read(batch.tokens).cell
        loss = reconstruction(self.model, cell + self.batch_term(batch.batch), batch.target)
        loss = loss + ANCHOR_WEIGHT * functional.smooth_l1_loss(cell, batch.whole)
        for place, head in enumerate(self.model.heads):
            label = batch.labels[:, place]
            each = functional.cross_entropy(head(cell), label, ignore_index=-1, reduction="sum")
            loss = loss + PROPERTY_WEIGHT * each / len(label)
        return loss

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the gene loadings with a smaller rate, and the rest."""
        tables = [self.model.loadings]
        rest = [p for p in self.parameters() if p.requires_grad and p is not tables[0]]
        return [{"params": tables, "lr": rate * GENE_RATE}, {"params": rest, "lr": rate}]

    def finish(self, source: Source, seed: int, progress: Progress) -> dict[str, Any]:
        """Train the codebook on embeddings of training cells; return its health."""
        block = source.sample(CODE_CELLS, np.random.default_rng(seed))
        share = measured_share(self._measured[block.dataset], self._profile)
        depth = block.totals / share
        model = self.model.cpu().eval()
        cells, _ = read_cells(model, normalise(block.counts, depth), depth, progress=progress)
        padded = np.pad(cells, ((0, 0), (0, model.config.own_width)))
        initialise_projection(model.discretise, padded)
        model.discretise.requires_grad_(True)
        config = CodesConfig(steps=2500, usage=0.1)
        train_codes(model.discretise, padded, seed=seed, progress=progress, config=config)
        return {**code_figures(model, padded, block), "cells": len(cells)}

    def save(self, folder: Path, *, history: list[dict[str, Any]]) -> None:
        """Write the model, without batch terms."""
        save_model(self.model, self._genes, folder, trained_on=self._names, history=history)


def make_objective(settings: Mapping[str, Any], source: Source) -> CellVQObjective:
    """Return what the training loop trains.

    Parameters
    ----------
    settings
        ``preset`` and sizes (:class:`~scypher.encoders.cellvq.config.CellVQConfig`), and the
        attributes of :class:`~scypher.encoders.cellvq.corruption.Corruption`.
    source
        The cells; its properties become property heads.

    Raises
    ------
    InputError
        A setting is unknown, sizes do not fit each other, or there are fewer genes than components.
    """
    given = dict(settings)
    seed = int(given.pop("seed", 0))
    taken = {name: given.pop(name) for name in Corruption.__dataclass_fields__ if name in given}
    if source.values:
        given["properties"] = source.values
    config = CellVQConfig.from_settings(given, len(source.genes))
    if config.width > config.n_genes:
        message = (
            f"width asks for {config.width} components of {config.n_genes} genes; give cells with "
            "more genes or a smaller width."
        )
        raise InputError(message)
    how = Corruption(**taken)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CellVQ(config)
    svd = corpus_svd(source, config.width, seed=seed)
    with torch.no_grad():
        for name in ("loadings", "scale", "centre", "profile"):
            getattr(model, name).copy_(torch.from_numpy(getattr(svd, name)))
        model.gene_bias.copy_(torch.from_numpy(np.log(np.maximum(svd.profile, 1e-9))))
    return CellVQObjective(model, source, how)


def reconstruction(model: CellVQ, cell: Tensor, target: Target) -> Tensor:
    """Return the mean over cells of the ZINB loss, nats: hidden expressed genes and zeros halved.

    Nine of ten counts are zero; at full weight they would drown what is expressed.
    """
    mean, dispersion, dropout = model.decode(cell, target.indptr, target.gene, target.totals)
    loss = zinb_nll(target.asked, mean, dispersion, dropout)
    return (loss * target.weight).sum() / len(cell)


@torch.no_grad()
def code_figures(model: CellVQ, cells: np.ndarray, block: Block) -> dict[str, Any]:
    """Return the health of the codebook: use, mixing of batches, and what quantising costs.

    ``batch_entropy`` is the entropy of the batches within codes over that of all cells, [0, 1];
    ``zinb`` and ``zinb_of_codes`` are reconstruction losses from the embedding and from the code.
    """
    code = assign_codes(model.discretise, cells).code
    width = model.config.width
    rng = np.random.default_rng(0)
    rows = rng.choice(len(code), min(1000, len(code)), replace=False)
    target = whole_target(
        block.counts[rows], block.totals[rows], np.ones(model.config.n_genes, bool), rng
    )
    given = torch.from_numpy(cells[rows])
    back = model.discretise.expand(model.discretise.codebook()[torch.from_numpy(code[rows])])
    overall = _entropy(np.bincount(block.batch))
    sizes = np.bincount(code)
    within = sum(
        _entropy(np.bincount(block.batch[code == c])) * n for c, n in enumerate(sizes) if n
    )
    return {
        "active_codes": int((sizes > 0).sum()),
        "codes": model.config.n_codes,
        "perplexity": round(perplexity(code), 1),
        "dead_share": round(1 - float((sizes > 0).sum()) / model.config.n_codes, 4),
        "batch_entropy": round(float(within / len(code) / overall), 4) if overall > 0 else None,
        "zinb": round(float(reconstruction(model, given[:, :width], target)), 4),
        "zinb_of_codes": round(float(reconstruction(model, back[:, :width], target)), 4),
    }


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
