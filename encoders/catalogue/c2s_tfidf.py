"""TF-IDF of cell sentences, the baseline without a model."""

from typing import TYPE_CHECKING

from ..card import Card

if TYPE_CHECKING:
    from ..base import Encoder


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from ..cell2sentence.choice import split_argument
    from ..cell2sentence.tfidf import TfidfEncoder
    from ..errors import InputError

    rest, genes = split_argument(argument)
    if rest is not None:
        message = (
            f"c2s-tfidf:{rest} was given; expected nothing, genes=N or genes=FILE: it has no "
            "weights and fits itself to the cells. Leave it out."
        )
        raise InputError(message)
    return TfidfEncoder(genes=genes)


CARD = Card(
    "c2s-tfidf",
    "TF-IDF of cell sentences and a truncated SVD, fitted to the cells; needs no weights",
    "baseline of Scypher on the sentences of Levine et al., ICML 2024",
    "none needed",
    "nothing, or genes=N or genes=FILE for fewer words",
    _make,
)
