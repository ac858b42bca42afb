"""The encoders by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .base import Encoder
from .errors import InputError


@dataclass(frozen=True)
class EncoderInfo:
    """Card of an encoder: name, one line, source, and how to make it."""

    name: str
    summary: str
    source: str
    make: Callable[[Path | None, bool], Encoder]


def _cellvq(folder: Path | None, adapt: bool) -> Encoder:
    from .cellvq.encoder import CellVQEncoder
    from .cellvq.weights import SHIPPED

    return CellVQEncoder(folder or SHIPPED, adapt=adapt)


ENCODERS = (
    EncoderInfo(
        "cellvq",
        "CellVQ mini: latent tokens read expressed genes, one discrete code per cell",
        "Wang et al., Nat Commun 2026, doi 10.1038/s41467-026-70071-5; own weights",
        _cellvq,
    ),
)


def get_encoder(name: str, *, adapt: bool = True) -> Encoder:
    """Return an encoder by name, or CellVQ weights from a folder.

    Parameters
    ----------
    name
        Name of an encoder, or path of a folder with CellVQ weights.
    adapt
        Whether it may fit itself to the cells it encodes.

    Raises
    ------
    InputError
        There is no such encoder or folder; the message lists what exists.
    """
    for info in ENCODERS:
        if info.name == name:
            return info.make(None, adapt)
    if Path(name).is_dir():
        return _cellvq(Path(name), adapt)
    known = ", ".join(info.name for info in ENCODERS)
    message = f"there is no encoder {name!r}; known: {known}, or a folder with CellVQ weights."
    raise InputError(message)
