"""scFoundation, for a checkpoint that the user brings."""

from typing import TYPE_CHECKING

from ..card import Card

if TYPE_CHECKING:
    from ..base import Encoder


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from ..cellvq_released.layout import split_argument
    from ..cellvq_released.scfoundation import ScFoundationEncoder
    from ..errors import InputError

    if argument is None:
        message = (
            "scfoundation comes without weights; expected the published checkpoint. Give its "
            "path: scfoundation:PATH or scfoundation:PATH#MODE."
        )
        raise InputError(message)
    return ScFoundationEncoder(*split_argument(argument))


CARD = Card(
    "scfoundation",
    "scFoundation: 12 Transformer layers over 19,264 genes; codes are fitted to its embedding",
    "Hao et al., Nat Methods 2024, doi 10.1038/s41592-024-02305-7",
    "Weights of its authors, for non-commercial research only; bring your own",
    "checkpoint, the gene list beside it; #cell (default), #rde or #gene names the mode",
    _make,
)
