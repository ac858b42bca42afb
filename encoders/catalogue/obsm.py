"""An embedding of the user's own, given cell codes like any other."""

from typing import TYPE_CHECKING

from ..card import Card
from ..errors import InputError

if TYPE_CHECKING:
    from ..base import Encoder

ARGUMENT = "key of obsm that holds the embedding"


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from ..foreign import ObsmEncoder

    if argument is None:
        message = f"obsm was given without a key; expected obsm:KEY, the {ARGUMENT}. Name the key."
        raise InputError(message)
    return ObsmEncoder(argument)


CARD = Card(
    "obsm",
    "an embedding that is already in the data, from whatever model",
    "whoever made the embedding",
    "that of whoever made the embedding",
    ARGUMENT,
    _make,
)
