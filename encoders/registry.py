"""The encoders by name, found in the catalogue."""

import json
import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path

from . import catalogue
from .base import Encoder
from .card import Card
from .errors import InputError


@cache
def cards() -> dict[str, Card]:
    """Return the card of every encoder by its name, in alphabetical order."""
    modules = sorted(item.name for item in pkgutil.iter_modules(catalogue.__path__))
    found = [import_module(f"{catalogue.__name__}.{name}").CARD for name in modules]
    return {card.name: card for card in sorted(found, key=lambda card: card.name)}


def find_encoder(spec: str) -> tuple[Card, str | None]:
    """Return the card and the argument that a specification means.

    Parameters
    ----------
    spec
        ``NAME``; ``NAME:ARGUMENT`` (weights, or whatever the card says); or a folder of weights
        that Scypher wrote, whose ``config.json`` names the encoder.

    Raises
    ------
    InputError
        There is no such encoder or folder; the message lists what exists.
    """
    name, _, argument = spec.partition(":")
    if name in cards():
        return cards()[name], argument or None
    if spec and Path(spec).is_dir():
        return cards()[_encoder_of(Path(spec))], spec
    known = ", ".join(
        f"{card.name}:… ({card.argument})" if card.argument else card.name
        for card in cards().values()
    )
    message = f"there is no encoder {spec!r}; known: {known}; or a folder with weights."
    raise InputError(message)


def get_encoder(spec: str, *, adapt: bool = True) -> Encoder:
    """Return an encoder.

    Parameters
    ----------
    spec
        See :func:`find_encoder`.
    adapt
        Whether it may fit itself to the cells it encodes.

    Raises
    ------
    InputError
        There is no such encoder or folder, or its weights do not fit.
    """
    card, argument = find_encoder(spec)
    return card.make(argument, adapt)


def _encoder_of(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return "cellvq"  # whose loader says what it expects of a folder
    name = config.get("encoder", "cellvq") if isinstance(config, dict) else "cellvq"
    if not isinstance(name, str) or name not in cards():
        message = (
            f"{folder} holds weights of an encoder {name!r}; known: {', '.join(cards())}. "
            "Give weights of one of those."
        )
        raise InputError(message)
    return name
