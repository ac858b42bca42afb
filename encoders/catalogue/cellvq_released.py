"""CellVQ as published, for a checkpoint that the user brings."""

from typing import TYPE_CHECKING

from ..card import Card

if TYPE_CHECKING:
    from ..base import Encoder


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from ..cellvq_released.encoder import CellVQReleasedEncoder
    from ..cellvq_released.layout import split_argument
    from ..errors import InputError

    if argument is None:
        message = (
            "cellvq-released comes without weights; expected the published checkpoint. Give its "
            "path: cellvq-released:PATH or cellvq-released:PATH#MODE."
        )
        raise InputError(message)
    return CellVQReleasedEncoder(*split_argument(argument))


CARD = Card(
    "cellvq-released",
    "CellVQ as published: 12 Transformer layers over 19,264 genes, a 12-bit code per cell",
    "Wang et al., Nat Commun 2026, doi 10.1038/s41467-026-70071-5",
    "Weights of its authors, without a licence file: take as non-commercial; bring your own",
    "checkpoint, the gene list beside it; #m1 (default) or #m2 names the mode",
    _make,
)
