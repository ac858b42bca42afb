"""Find genes by the names that a user gives, and say what is close where there is none."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile

import numpy as np
import pandas as pd

from ..encoders.errors import InputError
from .statistics import Ints


def gene_positions(
    asked: Sequence[str], names: Sequence[str], *, symbols: Sequence[str] | None = None
) -> Ints:
    """Return the position of each gene among the measured ones, by name, else by symbol.

    Parameters
    ----------
    asked
        Names as the user gave them.
    names
        Names of the measured genes, unique.
    symbols
        Symbols of the measured genes, where names are something else; the first of its symbol is
        taken.

    Returns
    -------
    numpy.ndarray
        (n_asked,) positions.

    Raises
    ------
    InputError
        A gene is not measured; the message names those that are spelled nearly so.
    """
    found: Ints = pd.Index(names).get_indexer(pd.Index(list(asked))).astype(np.int64)
    if symbols is not None:
        text = pd.Series(np.arange(len(symbols)), index=pd.Index(list(symbols)))
        first = text[~text.index.duplicated()]
        by_symbol = first.reindex(list(asked)).fillna(-1).to_numpy(dtype=np.int64)
        found = np.where(found < 0, by_symbol, found)
    lost = [name for name, place in zip(asked, found, strict=True) if place < 0]
    if lost:
        known = [str(name) for name in (*names, *(symbols or ()))]
        message = (
            f"the gene{'s' if len(lost) > 1 else ''} {', '.join(map(repr, lost[:5]))} "
            f"{'were' if len(lost) > 1 else 'was'} given, not among the {len(names)} measured "
            f"genes; expected names of measured genes; {_close(lost[0], known)}."
        )
        raise InputError(message)
    return found


def _close(name: str, known: list[str]) -> str:
    """Return what to do: the measured names that are spelled nearly so, whatever their case."""
    by_lower = {text.lower(): text for text in known}
    near = get_close_matches(name.lower(), list(by_lower), n=20, cutoff=0.6)
    # Genes of one family begin alike.
    near = sorted(near, key=lambda text: -_begins_alike(name.lower(), text))[:3]
    if not near:
        return f"no measured gene is spelled like {name!r}: take another one"
    return f"did you mean {', '.join(by_lower[text] for text in near)}?"


def _begins_alike(first: str, second: str) -> int:
    """Return how many letters two words begin with in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    )
