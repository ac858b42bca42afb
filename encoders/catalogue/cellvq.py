"""CellVQ with latent tokens, the encoder that comes with weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..card import Card

if TYPE_CHECKING:
    from ..base import Encoder
    from ..training.objective import Objective
    from ..training.source import Source


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from pathlib import Path

    from ..cellvq.encoder import CellVQEncoder
    from ..cellvq.weights import SHIPPED

    return CellVQEncoder(Path(argument) if argument else SHIPPED, adapt=adapt)


def _pretrain(settings: Mapping[str, Any], source: "Source") -> "Objective":
    from ..cellvq.objective import make_objective

    return make_objective(settings, source)


CARD = Card(
    "cellvq",
    "CellVQ mini: latent tokens read expressed genes, one discrete code per cell",
    "Wang et al., Nat Commun 2026, doi 10.1038/s41467-026-70071-5",
    "Apache-2.0 (own weights, shipped)",
    "folder with weights written by `scypher pretrain`",
    _make,
    _pretrain,
)
