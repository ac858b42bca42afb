"""The card of an encoder: what it is, whose it is, and how to make and train it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Encoder
    from .training.objective import Objective
    from .training.source import Source


@dataclass(frozen=True)
class Card:
    """Card of an encoder.

    Attributes
    ----------
    name
        What the user types; letters, digits and hyphens.
    summary
        One line.
    source
        Whom to cite.
    licence
        Under which terms its weights come: ours, or those of whoever made them.
    argument
        What stands after the colon in ``NAME:ARGUMENT``, for the user; empty when nothing may.
    make
        Called with the argument (``None`` without one) and whether the encoder may fit itself to
        the cells. Raises :class:`~scypher.encoders.errors.InputError` when the argument is wrong.
    pretrain
        Called with the ``[model]`` settings of a training configuration and the cells to train on;
        returns what the training loop trains. ``None`` when the encoder is not trained by Scypher.
    """

    name: str
    summary: str
    source: str
    licence: str
    argument: str
    make: "Callable[[str | None, bool], Encoder]"
    pretrain: "Callable[[Mapping[str, Any], Source], Objective] | None" = None
