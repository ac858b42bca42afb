"""How long lists are, and how often an expression walks through one."""

import math
from dataclasses import dataclass

from . import words
from .picks import GUESS, variables
from .tokens import Token

_SHORT = 100.0
_MOST = 1e30


@dataclass(frozen=True)
class Value:
    """What is known of a variable.

    Attributes
    ----------
    shares
        Of a node: label -> share of the rows in which it has that label. None if it is no node, or
        nothing is known of it.
    size
        Most values that differ.
    length
        Of a list: number of items. None if it is no list.
    """

    shares: dict[str, float] | None = None
    size: float = math.inf
    length: float | None = None


class ListReader:
    """Reads lengths of lists in expressions.

    Parameters
    ----------
    tokens, pairs
        The statement, and its brackets.
    values
        What is known of variables.
    """

    def __init__(
        self, tokens: list[Token], pairs: dict[int, int], values: dict[str, Value]
    ) -> None:
        self.tokens = tokens
        self.pairs = pairs
        self.values = values

    def length(self, start: int, end: int) -> float:
        """Return the number of items of the list that an expression gives; a guess in doubt."""
        tokens = self.tokens[start:end]
        if not tokens:
            return 0.0
        whole = self.pairs.get(start) == end - 1
        if whole and tokens[0].text == "[":
            return self.iterated(start + 1, end - 1) or self._literal(start + 1, end - 1)
        if tokens[0].word == "RANGE" and self.pairs.get(start + 1) == end - 1:
            return self.range(start + 2, end - 1)
        lengths = [
            value.length
            for name in variables(tokens)
            if (value := self.values.get(name)) is not None and value.length is not None
        ]
        if lengths:
            return min(sum(lengths), _MOST)
        return GUESS if any(token.kind == "parameter" for token in tokens) else _SHORT

    def iterated(self, start: int, close: int) -> float:
        """Return the length of the list that ``x IN list`` in a bracket walks through, or 0."""
        place = start
        while place < close:
            if self.tokens[place].text == "," or place == start:
                first = place + (self.tokens[place].text == ",")
                named = self.tokens[first].kind in ("word", "name")
                if named and first + 1 < close and self.tokens[first + 1].word == "IN":
                    return self.length(first + 2, self._source_end(first + 2, close))
            place = self.pairs.get(place, place) + 1
        return 0.0

    def range(self, start: int, close: int) -> float:
        """Return the most items of ``range(...)`` with these arguments; a guess of variables."""
        arguments, first, place = [], start, start
        while place <= close:
            if place == close or self.tokens[place].text == ",":
                arguments.append(self.tokens[first:place])
                first = place + 1
            place = self.pairs.get(place, place) + 1
        bounds = [_largest(argument) for argument in arguments]
        if len(bounds) < 2 or math.isnan(sum(bounds)):
            return float(GUESS)
        step = max(bounds[2], 1.0) if len(bounds) > 2 else 1.0
        if len(arguments[0]) == len(arguments[1]) == 1:
            return min(max(bounds[1] - bounds[0], 0.0) / step + 1, _MOST)
        return min((bounds[0] + bounds[1]) / step + 1, _MOST)

    def collected(self, start: int, end: int, rows: float) -> float | None:
        """Return the length of a list that an item of WITH makes of ``rows`` rows, if it does."""
        places = range(start, end)
        if any(self.tokens[place].word == "COLLECT" for place in places):
            last = self.tokens[end - 2] if end - start > 3 else None
            if last is not None and last.kind == "number" and self.tokens[end - 3].text == "..":
                return min(rows, _number(last))
            return rows
        whole = self.pairs.get(start) == end - 1 and self.tokens[start].text == "["
        if whole or self.tokens[start].word == "RANGE":
            return self.length(start, end)
        if end - start == 1 and (value := self.values.get(self.tokens[start].value)):
            return value.length
        lists = [self.values.get(name) for name in variables(self.tokens[start:end])]
        if any(value is not None and value.length is not None for value in lists):
            return self.length(start, end)
        return None

    def aggregates(self, start: int, end: int) -> bool:
        """Return whether an item makes one row of many; what is in braces is a query of its own."""
        place = start
        while place < end:
            token = self.tokens[place]
            if token.text == "{" and self.tokens[place - 1].word in ("COUNT", "COLLECT", "EXISTS"):
                place = self.pairs[place] + 1
                continue
            called = place + 1 < end and self.tokens[place + 1].text == "("
            if called and token.word.lower() in words.AGGREGATES:
                return True
            place += 1
        return False

    def _literal(self, start: int, close: int) -> float:
        items, place = float(start < close), start
        while place < close:
            items += self.tokens[place].text == ","
            place = self.pairs.get(place, place) + 1
        return items

    def _source_end(self, start: int, close: int) -> int:
        place = start
        while place < close:
            if self.tokens[place].text in ("|", ",") or self.tokens[place].word == "WHERE":
                return place
            place = self.pairs.get(place, place) + 1
        return close


def _largest(tokens: list[Token]) -> float:
    """Return a bound of a constant expression: product and power of its numbers; else NaN."""
    result, place = 1.0, 0
    if any(token.kind not in ("number", "mark") for token in tokens):
        return math.nan
    while place < len(tokens):
        if tokens[place].kind == "number":
            factor = _number(tokens[place])
            while place + 2 < len(tokens) and tokens[place + 1].text == "^":
                if tokens[place + 2].kind != "number":
                    return _MOST
                factor = _power(factor, _number(tokens[place + 2]))
                place += 2
            result = min(result * max(factor, 1.0), _MOST) if len(tokens) > 2 else factor
        place += 1
    return result


def _power(base: float, exponent: float) -> float:
    if base > 1 and exponent * math.log(base) > math.log(_MOST):
        return _MOST
    return float(base**exponent)


def _number(token: Token) -> float:
    text = token.text.replace("_", "").rstrip("" if token.text[:2].lower() == "0x" else "fFdD")
    try:
        return float(int(text, 0)) if text[:2].lower() in ("0x", "0o") else float(text)
    except (ValueError, OverflowError):
        return _MOST
