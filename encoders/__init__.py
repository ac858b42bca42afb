"""Encoders: from raw counts to cell codes, embeddings and attention.

:func:`encode` is the verb; :mod:`~scypher.encoders.base` holds the contract,
:mod:`~scypher.encoders.slots` the names of everything that is written.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .base import Encoder, Encoding
    from .cells import Cells, prepare
    from .registry import cards, get_encoder
    from .verbs import encode, encode_cells

__all__ = [
    "Cells",
    "Encoder",
    "Encoding",
    "cards",
    "encode",
    "encode_cells",
    "get_encoder",
    "prepare",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Encoder", "Encoding"],
        "cells": ["Cells", "prepare"],
        "registry": ["cards", "get_encoder"],
        "verbs": ["encode", "encode_cells"],
    },
)
