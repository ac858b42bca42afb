"""The network of :mod:`scypher.kg.clique`: tokens, one block, cell codes, counts.

Imports torch: load it only where a network is trained.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...encoders.cellvq.zinb import zinb_nll
from ...encoders.cellvq_released.layers import ValueEmbedding
from ...encoders.codes import code_terms
from ...encoders.counts import COUNTS_PER_CELL
from ...encoders.scd import Discretised, SoftConditionalDiscretisation
from .batches import Batch, Questions
from .block import Block
from .data import CliqueData

if TYPE_CHECKING:
    from .config import CliqueConfig

CELLS_PER_CODE = 3
_ANSWERS = 4


class CliqueNetwork(nn.Module):
    r"""A cell token and the tokens of the cell's genes in one block; codes and counts from it.

    The token of a gene is its learned embedding, a linear map of its features, and a soft value
    embedding; that of a metadata value its learned embedding; that of a cell a linear map of what
    is given of the cell. With the state :math:`c` of the cell after the block, :math:`\hat c` from
    its discretisation, gene embeddings :math:`e_g` and states :math:`s_g` of the genes asked for,
    two decoders answer with a value, a log rate, a log dispersion and a dropout logit:

    .. math::

        (U_k \hat c) \cdot e_g / \sqrt{d} + w_k \cdot e_g + b_k, \qquad
        u_k \cdot s_g + w_k \cdot e_g + b_k

    Only genes that are asked for are decoded: no layer has an output per gene of the data set.

    Parameters
    ----------
    data
        Sizes are read from it.
    config
        Sizes.
    """

    def __init__(self, data: CliqueData, config: "CliqueConfig") -> None:
        super().__init__()
        size = config.hidden
        n_cells, width = data.cells.shape
        self.cell_in = nn.Linear(width, size)
        self.gene_in = nn.Linear(data.features.shape[1], size, bias=False)
        self.gene_own = nn.Embedding(len(data.genes), size)
        self.value_in = ValueEmbedding(config.value_bins, size, 1.0)
        self.metadata_own = nn.Embedding(max(int(data.first[-1]), 1), size)
        self.block = Block(
            size, config.heads, feed_forward=config.feed_forward, dropout=config.dropout
        )
        most = max(int(math.log2(max(n_cells / CELLS_PER_CODE, 2))), 1)
        self.discretise = SoftConditionalDiscretisation(
            size,
            size,
            n_bits=min(config.bits, most),
            code_width=config.code_width,
            condition_width=config.condition_width,
        )
        self.from_cell = nn.Linear(size, _ANSWERS * size, bias=False)
        self.from_gene = nn.Linear(size, _ANSWERS, bias=False)
        self.offset = nn.Linear(size, _ANSWERS)
        # Start the answers at their mean, or its error drowns all else; half of what is asked for
        # is a token, half is nothing.
        value = data.tokens.data.astype(np.float64)
        with torch.no_grad():
            self.offset.bias[0] = value.mean() / 2
            self.offset.bias[1] = np.log(max(np.expm1(value).mean() / 2, 1e-3))
        self.usage = config.usage
        self.reads_metadata = bool(data.fields)
        self.register_buffer("features", torch.from_numpy(data.features), persistent=False)

    features: Tensor

    def tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the tokens of cells, (n, 1 + length, hidden), the cell first, and what is there.

        The second is (n, 1 + length) bool.
        """
        cell = self.cell_in(batch.cells).unsqueeze(1)
        if self.reads_metadata:
            others = self.metadata_own(batch.token)
        else:
            others = self.genes(batch.token) + self.value_in(batch.value)
        own = torch.ones(len(cell), 1, dtype=torch.bool)
        return torch.cat([cell, others], dim=1), torch.cat([own, batch.present], dim=1)

    def genes(self, number: Tensor) -> Tensor:
        """Return the embedding of genes, any shape, the width last."""
        found, place = torch.unique(number, return_inverse=True)
        rows: Tensor = self.gene_own(found) + self.gene_in(self.features[found])
        return rows[place]

    def forward(self, batch: Batch) -> Tensor:
        """Return the state of all tokens after the block, (n, 1 + length, hidden)."""
        tokens, present = self.tokens(batch)
        states: Tensor = self.block(tokens, tokens, present)
        return states

    def answer(
        self,
        batch: Batch,
        questions: Questions,
        temperature: float,
        *,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor, Discretised]:
        """Return the answers of the cell and of the gene tokens, (n, m, 4) each, and the codes.

        A gene that is asked for enters with the embedding of a masked value and is attended to by
        no one: neither its count nor that it was chosen can be read off its cell.
        """
        tokens, present = self.tokens(batch)
        embedding = self.genes(questions.gene)
        masked = embedding + self.value_in.emb_mask.weight
        asked = torch.cat([tokens[:, :1], masked], dim=1)
        states = self.block(asked, tokens, present)
        codes = self.discretise(states[:, 0], temperature, generator)
        weights = self.from_cell(codes.quantised).view(len(tokens), _ANSWERS, -1)
        offset = self.offset(embedding)
        by_cell = embedding @ weights.transpose(1, 2) / math.sqrt(embedding.shape[-1]) + offset
        return by_cell, self.from_gene(states[:, 1:]) + offset, codes

    def losses(
        self,
        batch: Batch,
        questions: Questions,
        temperature: float,
        *,
        generator: torch.Generator | None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the terms of the loss, and the (n, m) values that the cell answers with."""
        by_cell, by_gene, codes = self.answer(batch, questions, temperature, generator=generator)
        terms = {"code": code_terms(self.discretise, codes, self.usage)}
        for name, answers in (("cell", by_cell), ("gene", by_gene)):
            there = questions.there
            if not there.any():
                continue
            given = answers[there]
            error = given[:, 0] - questions.target[there]
            terms[f"value_{name}"] = error.square().mean()
            total = questions.total.expand_as(there)[there]
            mean = total / COUNTS_PER_CELL * torch.exp(given[:, 1].clamp(-9, 9.2))
            dispersion = torch.exp(given[:, 2].clamp(-6, 6))
            likelihood = zinb_nll(questions.count[there], mean, dispersion, given[:, 3])
            terms[f"count_{name}"] = likelihood.mean()
        return terms, by_cell[..., 0]
