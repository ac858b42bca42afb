"""scDMC, a BERT over genes in two streams; weights are trained here or given by the user."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..card import Card

if TYPE_CHECKING:
    from ..base import Encoder
    from ..training.objective import Objective
    from ..training.source import Source


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from pathlib import Path

    from ..errors import InputError
    from ..scdmc.encoder import ScDMCEncoder

    if not argument:
        message = (
            "scdmc comes without weights; expected scdmc:PATH with a folder that `scypher "
            "pretrain` wrote, or a checkpoint of the authors. Train weights or fetch them first."
        )
        raise InputError(message)
    return ScDMCEncoder(Path(argument))


def _pretrain(settings: Mapping[str, Any], source: "Source") -> "Objective":
    from ..scdmc.objective import ScDMCObjective

    return ScDMCObjective(settings, source)


CARD = Card(
    "scdmc",
    "scDMC: one BERT over genes by rank and genes by value, trained to agree on the cell",
    "Guo et al., bioRxiv 2025, doi 10.1101/2025.09.05.674596",
    "Apache-2.0 for weights trained here; the authors' state no licence",
    "folder written by `scypher pretrain`, or a checkpoint with config.json and vocab.json",
    _make,
    _pretrain,
)
