"""What scDMC is trained on: hidden genes of both streams, and their agreement on the cell."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..training.objective import Block, Objective
from .config import FIRST_GENE, MASK, read_settings
from .contrast import PastKeys, info_nce
from .hidden import hidden_gene_loss
from .model import Body, Prediction
from .streams import epe_stream, gene_medians, rank_stream, scale
from .vocabulary import Vocabulary
from .weights import NAME, save_pretrained

if TYPE_CHECKING:
    from ..training.source import Source


class ScDMCBatch(NamedTuple):
    """The two streams of ``n`` cells, of the same genes and so of the same length.

    Attributes
    ----------
    rank, epe
        (n, length) ids.
    value
        (n, length) values of the EPE stream.
    rank_hidden, epe_hidden
        (n, length) genes that are hidden from the network.
    """

    rank: Tensor
    epe: Tensor
    value: Tensor
    rank_hidden: Tensor
    epe_hidden: Tensor


class Losses(NamedTuple):
    """Parts of the loss, scalars: hidden genes of the streams, and the contrast; nats."""

    rank: Tensor
    epe: Tensor
    contrast: Tensor


class ScDMCObjective(Objective):
    r"""Training of scDMC (Guo et al., bioRxiv 2025.09.05.674596).

    .. math:: L = L_{rank} + L_{EPE} + \alpha L_{con}

    In both streams a share of the genes is replaced by the mask token and predicted from the rest;
    cls and eos are never hidden. With ``epe_mode`` ``weight`` the loss of a gene of the EPE stream
    is weighted by its value; with ``input`` its value enters the network and stays visible, since
    without it and without order nothing would tell hidden genes of a cell apart.

    :math:`L_{con}` is the mean of two :func:`~scypher.encoders.scdmc.contrast.info_nce`: the cls
    token of each stream, parts hidden, against that of the other stream as a momentum copy of the
    network (He et al., CVPR 2020) reads it, nothing hidden; past keys of the copy are further
    negatives. The copy moves after each step of the optimiser.

    Parameters
    ----------
    settings
        See :func:`~scypher.encoders.scdmc.config.read_settings`.
    source
        Names the genes, and gives the cells from which their medians are taken.

    Raises
    ------
    InputError
        A setting is not known or means nothing.
    """

    encoder = NAME

    def __init__(self, settings: Mapping[str, Any], source: "Source") -> None:
        super().__init__()
        genes = list(source.genes)
        self.config, self.training_config = read_settings(settings, len(genes))
        rng = np.random.default_rng(self.training_config.seed)
        sample = source.sample(self.training_config.median_cells, rng)
        self.vocabulary = Vocabulary.of(genes, gene_medians(sample.counts, sample.totals))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training_config.seed)
            self.body = Body(self.config)
            self.head = Prediction(self.config)
        self.momentum = copy.deepcopy(self.body).requires_grad_(False).eval()
        self.past_rank = PastKeys(self.training_config.queue, self.config.width)
        self.past_epe = PastKeys(self.training_config.queue, self.config.width)
        self._pending: list[tuple[Tensor, Tensor]] = []

    def prepare(self, block: Block, rng: np.random.Generator) -> ScDMCBatch:
        """Return the streams of a block and which of their genes are hidden."""
        scaled = scale(sparse.csr_matrix(block.counts), block.totals, self.vocabulary.medians)
        token, most = self.vocabulary.token, self.config.max_tokens
        rank = rank_stream(scaled, token, most)
        epe, value = epe_stream(scaled, token, most)
        share = self.training_config.mask_share
        hidden = [(ids >= FIRST_GENE) & (rng.random(ids.shape) < share) for ids in (rank, epe)]
        return ScDMCBatch(*(torch.from_numpy(item) for item in (rank, epe, value, *hidden)))

    def forward(self, batch: ScDMCBatch) -> Tensor:
        """Return the loss, a scalar."""
        parts = self.losses(batch)
        return parts.rank + parts.epe + self.training_config.alpha * parts.contrast

    def losses(self, batch: ScDMCBatch) -> Losses:
        """Return the parts of the loss, before they are weighted."""
        rank = self.body(batch.rank.masked_fill(batch.rank_hidden, MASK))
        epe = self._read_epe(self.body, batch.epe.masked_fill(batch.epe_hidden, MASK), batch.value)
        with torch.no_grad():
            key_rank = self.momentum(batch.rank)[:, 0]
            key_epe = self._read_epe(self.momentum, batch.epe, batch.value)[:, 0]
        tau = self.training_config.tau
        contrast = 0.5 * (
            info_nce(rank[:, 0], key_epe, self.past_epe(), tau=tau)
            + info_nce(epe[:, 0], key_rank, self.past_rank(), tau=tau)
        )
        if self.training:
            self._pending.append((key_rank, key_epe))
        weight = batch.value[batch.epe_hidden] if self.config.epe_mode == "weight" else None
        table = self.body.embeddings.word_embeddings.weight
        return Losses(
            hidden_gene_loss(
                self.head,
                table,
                rank[batch.rank_hidden],
                target=batch.rank[batch.rank_hidden],
                weight=None,
            ),
            hidden_gene_loss(
                self.head,
                table,
                epe[batch.epe_hidden],
                target=batch.epe[batch.epe_hidden],
                weight=weight,
            ),
            contrast,
        )

    def after_step(self) -> None:
        """Move the momentum copy towards the network, and keep the keys of the step."""
        rate = 1 - self.training_config.momentum
        with torch.no_grad():
            for slow, fast in zip(self.momentum.parameters(), self.body.parameters(), strict=True):
                slow.lerp_(fast, rate)
        for key_rank, key_epe in _of_all_processes(self._pending):
            self.past_rank.push(key_rank.to(self.past_rank.keys.device))
            self.past_epe.push(key_epe.to(self.past_epe.keys.device))
        self._pending.clear()

    def train(self, mode: bool = True) -> "ScDMCObjective":
        """Switch to training; the momentum copy never drops anything, so that keys are stable."""
        super().train(mode)
        self.momentum.eval()
        return self

    def save(self, folder: Path, *, history: list[dict[str, Any]]) -> None:
        """Write weights, sizes, genes and medians as the encoder reads them, and the history."""
        save_pretrained(self.body, self.head, self.vocabulary, folder=folder)
        (folder / "history.json").write_text(json.dumps(history, indent=1))

    def _read_epe(self, body: Body, token: Tensor, value: Tensor) -> Tensor:
        if self.config.epe_mode == "weight":
            read: Tensor = body(token)
        else:
            read = body(token, value, ordered=False)
        return read


def _of_all_processes(pending: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Return the keys of the step from every process that shares the run, in their order."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return pending
    gathered: list[list[tuple[Tensor, Tensor]]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(
        gathered, [(rank.cpu(), epe.cpu()) for rank, epe in pending]
    )
    return [pair for part in gathered for pair in part]
