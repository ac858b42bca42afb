"""CellPatch, whose weights the user brings or trains."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..card import Card
from ..errors import InputError

if TYPE_CHECKING:
    from ..base import Encoder
    from ..training.objective import Objective
    from ..training.source import Source

ARGUMENT = "checkpoint with gene2tok.json beside it, or folder written by `scypher pretrain`"


def _make(argument: str | None, adapt: bool) -> "Encoder":
    if argument is None:
        message = (
            "cellpatch was given without weights, and none come with Scypher; expected "
            f"cellpatch:PATH, a {ARGUMENT}. Give such a path."
        )
        raise InputError(message)
    from pathlib import Path

    from ..cellpatch.encoder import CellPatchEncoder

    return CellPatchEncoder(Path(argument))


def _pretrain(settings: Mapping[str, Any], source: "Source") -> "Objective":
    import torch

    from ..cellpatch.objective import CellPatchObjective

    given = dict(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(given.pop("seed", 0)))
        return CellPatchObjective(given, source.genes)


CARD = Card(
    "cellpatch",
    "CellPatch: 64 learned patch tokens read expressed genes by cross-attention",
    "CellPatch preprint, Research Square rs-7138411",
    "weights of the authors: all rights reserved; own weights: yours",
    ARGUMENT,
    _make,
    _pretrain,
)
