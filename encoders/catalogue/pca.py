"""Principal components, the baseline without a model."""

from typing import TYPE_CHECKING

from ..card import Card
from ..errors import InputError

if TYPE_CHECKING:
    from ..base import Encoder


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from ..foreign import PcaEncoder

    if argument is not None:
        message = (
            f"pca:{argument} was given; expected pca alone: it has no weights and fits itself to "
            "the cells. Leave the argument out."
        )
        raise InputError(message)
    return PcaEncoder()


CARD = Card(
    "pca",
    "50 principal components of 2,000 variable genes, fitted to the cells; needs no weights",
    "baseline of Scypher; genes by Lause et al., Genome Biol 2021, doi 10.1186/s13059-021-02451-7",
    "none needed",
    "",
    _make,
)
