"""Label expressions, such as `State|CellType` and `!Gene`, over the labels of the graph."""

from .tokens import Token


def names(expression: tuple[Token, ...], known: frozenset[str]) -> frozenset[str]:
    """Return which of the known labels or types fulfil a label expression; all if it is empty."""
    if not expression:
        return known
    found, _ = _any_of(expression, 0, known)
    return found


def _any_of(
    tokens: tuple[Token, ...], place: int, known: frozenset[str]
) -> tuple[frozenset[str], int]:
    found, place = _all_of(tokens, place, known)
    while place < len(tokens) and tokens[place].text == "|":
        place += 1
        if place < len(tokens) and tokens[place].text == ":":
            place += 1
        more, place = _all_of(tokens, place, known)
        found |= more
    return found, place


def _all_of(
    tokens: tuple[Token, ...], place: int, known: frozenset[str]
) -> tuple[frozenset[str], int]:
    found, place = _one(tokens, place, known)
    while place < len(tokens) and tokens[place].text in ("&", ":"):
        more, place = _one(tokens, place + 1, known)
        found &= more
    return found, place


def _one(
    tokens: tuple[Token, ...], place: int, known: frozenset[str]
) -> tuple[frozenset[str], int]:
    negated = False
    while place < len(tokens) and tokens[place].text == "!":
        negated, place = not negated, place + 1
    if place >= len(tokens):
        return known, place
    if tokens[place].text == "(":
        found, place = _any_of(tokens, place + 1, known)
    elif tokens[place].kind in ("word", "name"):
        found = known & {tokens[place].value}
    else:
        found = known
    return (known - found if negated else found), place + 1
