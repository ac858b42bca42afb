"""A statement as clauses: what the estimate walks through, one after the other."""

from dataclasses import dataclass
from itertools import pairwise

from .tokens import Token

Span = tuple[int, int]
"""Where a part of a statement starts and ends, counted in tokens."""

_MAIN = frozenset({"MATCH", "UNWIND", "WITH", "RETURN", "CALL", "UNION"})
_PARTS = frozenset({"WHERE", "ORDER", "SKIP", "OFFSET", "LIMIT"})
_NO_CLAUSE_AFTER = frozenset({".", ":", ",", ")", "=", "<", ">", "]", "}"})


@dataclass(frozen=True)
class Clause:
    """A clause: its keyword, whether it is optional, and where its body starts and ends."""

    keyword: str
    optional: bool
    start: int
    end: int


@dataclass(frozen=True)
class Item:
    """An item of WITH or RETURN: its expression, and the name it gets."""

    start: int
    end: int
    name: str


def split_clauses(tokens: list[Token], pairs: dict[int, int], span: Span) -> list[Clause]:
    """Return the clauses between two places, outside of brackets."""
    start, end = span
    marks = [
        place
        for place in _outside(pairs, start, end)
        if tokens[place].word in _MAIN and _is_keyword(tokens, place, start)
    ]
    clauses = []
    for place, after in pairwise([*marks, end]):
        stop = after - 1 if tokens[after - 1].word == "OPTIONAL" and after > place + 1 else after
        optional = place > start and tokens[place - 1].word == "OPTIONAL"
        clauses.append(Clause(tokens[place].word, optional, place + 1, stop))
    return clauses


def split_parts(tokens: list[Token], pairs: dict[int, int], span: Span) -> dict[str, Span]:
    """Return the body of a clause (under an empty name) and of WHERE, ORDER, SKIP and LIMIT."""
    start, end = span
    marks = [
        place
        for place in _outside(pairs, start, end)
        if tokens[place].word in _PARTS and _is_keyword(tokens, place, start)
    ]
    parts = {"": (start, marks[0] if marks else end)}
    for place, after in pairwise([*marks, end]):
        parts[tokens[place].word] = (place + 1, after)
    return parts


def split_items(tokens: list[Token], pairs: dict[int, int], span: Span) -> list[Item]:
    """Return the items of WITH, RETURN or YIELD; an item without a name is its own."""
    start, end = span
    if start < end and tokens[start].word == "DISTINCT":
        start += 1
    commas = [place for place in _outside(pairs, start, end) if tokens[place].text == ","]
    items = []
    for first, last in zip([start, *(comma + 1 for comma in commas)], [*commas, end], strict=True):
        if last - first >= 3 and tokens[last - 2].word == "AS":
            items.append(Item(first, last - 2, tokens[last - 1].value))
        elif last > first:
            items.append(Item(first, last, tokens[first].value if last == first + 1 else ""))
    return items


def _outside(pairs: dict[int, int], start: int, end: int) -> list[int]:
    """Return the places between two that are in no bracket."""
    places, place = [], start
    while place < end:
        places.append(place)
        place = pairs.get(place, place) + 1
    return places


def _is_keyword(tokens: list[Token], place: int, start: int) -> bool:
    if place + 1 < len(tokens) and tokens[place + 1].text in _NO_CLAUSE_AFTER:
        return False
    if place == start:
        return True
    before = tokens[place - 1]
    return before.text not in (".", ":", ",", "$") and before.word not in ("AS", "STARTS", "ENDS")
