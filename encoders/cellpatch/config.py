"""Sizes of a CellPatch model."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class CellPatchConfig:
    """Sizes and input of CellPatch; the defaults are those of the published model.

    Attributes
    ----------
    n_tokens
        Rows of the gene table; row 0 is padding and stands for no gene.
    n_patches
        Learned patch tokens.
    width
        Components of patches and genes.
    n_heads
        Attention heads; they share ``width`` evenly.
    hidden
        Width of the feed-forward parts.
    n_layers
        Self-attention blocks among the patches.
    bottleneck
        Components to which a patch is narrowed before decoding.
    dropout
        Share of each update that training drops, [0, 1).
    max_tokens
        Most expressed genes of a cell that are read.
    max_targets
        Most genes of a cell that training asks for.
    clip
        Largest value read, log1p of counts per 10,000; ``None`` reads all as they are.
    whole
        Whether values are cut to whole numbers, as the published fine-tuning does.
    """

    n_tokens: int
    n_patches: int = 64
    width: int = 32
    n_heads: int = 2
    hidden: int = 64
    n_layers: int = 2
    bottleneck: int = 10
    dropout: float = 0.1
    max_tokens: int = 3000
    max_targets: int = 1000
    clip: float | None = None
    whole: bool = False

    def as_read(self, values: np.ndarray) -> np.ndarray:
        """Return values as the encoder reads them: clipped, cut to whole numbers, or neither."""
        clipped = values if self.clip is None else np.minimum(values, np.float32(self.clip))
        return np.floor(clipped) if self.whole else clipped


def make_config(settings: Mapping[str, Any], *, n_tokens: int, source: str) -> CellPatchConfig:
    """Return checked sizes.

    Parameters
    ----------
    settings
        Fields of :class:`CellPatchConfig` except ``n_tokens``; those absent take their default.
    n_tokens
        Rows of the gene table.
    source
        Where the settings stand, for the message.

    Raises
    ------
    InputError
        A setting is unknown, of the wrong kind or out of range.
    """
    known = {item.name: item.default for item in fields(CellPatchConfig)}
    del known["n_tokens"]
    unknown = [name for name in settings if name not in known]
    if unknown:
        message = (
            f"{source}: CellPatch has no setting {', '.join(map(repr, unknown))}; "
            f"known: {', '.join(known)}. Remove or rename it."
        )
        raise InputError(message)
    for name, value in settings.items():
        expected = _expected(name, value, known[name])
        if expected:
            message = f"{source}: {name} is {value!r}; expected {expected}. Change it."
            raise InputError(message)
    config = CellPatchConfig(n_tokens=n_tokens, **settings)
    if config.width % config.n_heads:
        message = (
            f"{source}: width {config.width} cannot be shared by {config.n_heads} heads; expected "
            "a multiple of the heads. Change one of them."
        )
        raise InputError(message)
    return config


def _expected(name: str, value: Any, default: Any) -> str:
    """Return what a setting should be, empty text when it is that."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "clip":
        return "" if value is None or (number and value > 0) else "a positive number or none"
    if name == "whole":
        return "" if isinstance(value, bool) else "true or false"
    if name == "dropout":
        return "" if number and 0 <= value < 1 else "a number from 0 to below 1"
    least = 0 if name == "n_layers" else 1
    right = number and isinstance(value, int) and value >= least
    return "" if right else f"a whole number, {least} or more, such as {default}"
