"""Run a language model over prompts and bring its states and attention back to words."""

from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from .pieces import Pieces


class Chunk(NamedTuple):
    """What the model says of the words of some prompts.

    The words of all prompts stand in one row, prompt after prompt.

    Attributes
    ----------
    embedding
        (n_prompts, width) mean state.
    state
        (n_words, width) mean state of the pieces of each word.
    share
        (n_words,) share of the attention that each word gets; the words of a prompt sum to 1.
    """

    embedding: Tensor
    state: Tensor
    share: Tensor


class Rollout:
    r"""Attention rollout (Abnar and Zuidema, ACL 2020), layer by layer while the model runs.

    .. math:: R_l = \tfrac12 (\bar A_l + I) R_{l-1}, \quad R_0 = I

    with the attention :math:`\bar A_l` of layer l averaged over heads. Only the product is kept,
    so the memory is that of one layer.

    Parameters
    ----------
    model
        GPT-NeoX without head, whose attention layers return their weights.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [layer.attention for layer in model.layers]  # type: ignore[union-attr]  # nn.Module types its children loosely
        self._handles: list[Any] = []
        self._product: Tensor | None = None

    def __enter__(self) -> "Rollout":
        self._handles = [layer.register_forward_hook(self._add) for layer in self._layers]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _add(self, layer: nn.Module, given: Any, output: tuple[Tensor, Tensor]) -> None:
        mean = output[1].mean(dim=1)
        step = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2
        self._product = step if self._product is None else step @ self._product

    def of(self, piece: Tensor) -> Tensor:
        """Return what one piece of every prompt gathers from each piece, (n_prompts, length)."""
        if self._product is None:
            message = "no attention was seen; expected a model with layers that ran. Run it first."
            raise InputError(message)
        return self._product[torch.arange(len(piece)), piece]


@torch.inference_mode()
def read(model: nn.Module, pieces: Pieces, *, whole_prompt: bool) -> Chunk:
    """Return embeddings, word states and attention of prompts.

    Padding stands on the right, is masked, and every piece has its own position, so that a prompt
    does not depend on those beside it.

    Parameters
    ----------
    model
        GPT-NeoX without head.
    pieces
        Prompts, each with at least one word.
    whole_prompt
        Mean over all pieces of a prompt for the embedding, not over those of the sentence alone.
    """
    device = next(model.parameters()).device
    ids, word, present = _padded(pieces)
    length = ids.shape[1]
    with Rollout(model) as rollout:
        hidden: Tensor = model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(present).to(device, torch.long),
            position_ids=torch.arange(length, device=device).expand(len(ids), length),
            use_cache=False,
        ).last_hidden_state
    inside = word >= 0
    last = length - 1 - inside[:, ::-1].argmax(axis=1)
    attention = rollout.of(torch.from_numpy(last))
    pooled = torch.from_numpy(present if whole_prompt else inside).to(hidden)
    embedding = torch.einsum("nl,nlw->nw", pooled, hidden) / pooled.sum(dim=1, keepdim=True)
    # Word of a piece -> place among the words of all prompts.
    offset = np.cumsum(pieces.n_words) - pieces.n_words
    place = torch.from_numpy((word + offset[:, None])[inside]).to(device)
    row, column = (torch.from_numpy(item) for item in np.nonzero(inside))
    n = int(pieces.n_words.sum())
    state = hidden.new_zeros(n, hidden.shape[2]).index_add_(0, place, hidden[row, column])
    weight = hidden.new_zeros(n).index_add_(0, place, attention[row, column])
    n_pieces = hidden.new_zeros(n).index_add_(0, place, hidden.new_ones(len(place)))
    owner = torch.from_numpy(np.repeat(np.arange(len(ids)), pieces.n_words)).to(device)
    total = hidden.new_zeros(len(ids)).index_add_(0, owner, weight)
    return Chunk(
        embedding.cpu(),
        (state / n_pieces.clamp_min(1)[:, None]).cpu(),
        (weight / total[owner]).cpu(),
    )


def _padded(pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = pieces.length
    present = np.arange(lengths.max())[None, :] < lengths[:, None]
    ids = np.zeros(present.shape, np.int64)
    word = np.full(present.shape, -1)
    ids[present] = np.concatenate(pieces.ids)
    word[present] = np.concatenate(pieces.word)
    return ids, word, present
