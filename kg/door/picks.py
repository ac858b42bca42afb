"""Which nodes a condition picks by a property that works like a key, and how many they are."""

from collections.abc import Callable
from dataclasses import dataclass

from .clauses import Span
from .tokens import Token, matching

GUESS = 1000
"""Length that a list given as a parameter is taken to have."""

_NODE_KEYS = frozenset({"key"})
_NAME_KEYS = frozenset({"name", "symbol", "barcode", "label", "ensembl_id", "ontology_id"})
_CONSTANTS = frozenset({"TRUE", "FALSE", "NULL"})


@dataclass(frozen=True)
class Pick:
    """Nodes that are picked: ``values`` keys, or as many names in each data set."""

    values: float = float("inf")
    by_name: bool = False
    by_dataset: bool = False

    def rows(self, total: float, datasets: int) -> float:
        """Return how many of ``total`` nodes of a label are left."""
        rows = self.values * (datasets if self.by_name else 1)
        if self.by_dataset:
            rows = min(rows, total / datasets)
        return min(rows, total)

    def looked_at(self, total: float) -> float:
        """Return how many of ``total`` nodes an engine looks at: keys alone have an index."""
        indexed = not self.by_name and self.values < total
        return self.values if indexed else total

    def both(self, other: "Pick") -> "Pick":
        """Return what fulfils both conditions, or the narrower of the two."""
        first = self if (self.values, self.by_name) <= (other.values, other.by_name) else other
        return Pick(first.values, first.by_name, self.by_dataset or other.by_dataset)

    def either(self, other: "Pick") -> "Pick":
        """Return what fulfils one of two conditions."""
        return Pick(
            self.values + other.values,
            self.by_name or other.by_name,
            self.by_dataset and other.by_dataset,
        )


Picks = dict[str, Pick]
"""Variable -> how it is picked."""


def by_property(name: str, values: float = 1.0) -> Pick | None:
    """Return the pick of a property that equals one of so many values; None if it is no key."""
    if name in _NODE_KEYS:
        return Pick(values)
    if name in _NAME_KEYS:
        return Pick(values, by_name=True)
    return Pick(by_dataset=True) if name == "dataset" and values == 1 else None


def find_picks(tokens: list[Token], is_known: Callable[[str], bool]) -> Picks:
    """Return what a condition picks in every row it lets through.

    Parameters
    ----------
    tokens
        The condition.
    is_known
        Whether a variable had a value before the pattern.
    """
    if any(token.word == "CASE" for token in tokens):
        # What stands in a branch does not hold for every row.
        return {}
    return _either(tokens, matching(tokens), (0, len(tokens)), known=is_known)


def uses_only_known(
    tokens: "list[Token] | tuple[Token, ...]", known: Callable[[str], bool]
) -> bool:
    """Return whether every variable in an expression had a value before the pattern."""
    return all(known(name) for name in variables(tokens))


def variables(tokens: "list[Token] | tuple[Token, ...]") -> list[str]:
    """Return the variables in an expression: names that are no property, label or function."""
    found = []
    for place, token in enumerate(tokens):
        before = tokens[place - 1].text if place else ""
        after = tokens[place + 1].text if place + 1 < len(tokens) else ""
        if token.kind not in ("word", "name") or token.word in _CONSTANTS:
            continue
        if before not in (".", ":") and after != "(":
            found.append(token.value)
    return found


def _either(
    tokens: list[Token], pairs: dict[int, int], span: Span, *, known: Callable[[str], bool]
) -> Picks:
    parts = [
        _both(tokens, pairs, part, known=known)
        for part in _split(tokens, pairs, span, by=("OR", "XOR"))
    ]
    shared = set(parts[0]).intersection(*parts[1:])
    picks: Picks = {}
    for name in shared:
        pick = parts[0][name]
        for part in parts[1:]:
            pick = pick.either(part[name])
        picks[name] = pick
    return picks


def _both(
    tokens: list[Token], pairs: dict[int, int], span: Span, *, known: Callable[[str], bool]
) -> Picks:
    picks: Picks = {}
    for start, end in _split(tokens, pairs, span, by=("AND",)):
        if pairs.get(start) == end - 1 and tokens[start].text == "(":
            found = _either(tokens, pairs, (start + 1, end - 1), known=known)
        else:
            found = _comparison(tokens[start:end], known)
        for name, pick in found.items():
            picks[name] = picks[name].both(pick) if name in picks else pick
    return picks


def _split(
    tokens: list[Token], pairs: dict[int, int], span: Span, *, by: tuple[str, ...]
) -> list[Span]:
    start, end = span
    parts, place = [], start
    while place < end:
        if tokens[place].word in by:
            parts.append((start, place))
            start = place + 1
        place = pairs.get(place, place) + 1
    return [*parts, (start, end)]


def _comparison(tokens: list[Token], known: Callable[[str], bool]) -> Picks:
    """Return the pick of ``v.property = value``, its mirror image or ``v.property IN list``."""
    for property_, sign, value, mirrored in (
        (tokens[:3], tokens[3:4], tokens[4:], False),
        (tokens[-3:], tokens[-4:-3], tokens[:-4], True),
    ):
        if len(property_) < 3 or not sign or not value or property_[1].text != ".":
            continue
        if property_[0].kind not in ("word", "name") or not uses_only_known(value, known):
            continue
        # `v.key IN [...] = false` picks the opposite.
        if any(token.text in ("<", ">", "=") for token in value):
            continue
        if sign[0].word == "IN" and not mirrored:
            values = _length(value)
        elif sign[0].text == "=":
            values = 1.0
        else:
            continue
        if pick := by_property(property_[2].value, values):
            return {property_[0].value: pick}
    return {}


def _length(tokens: list[Token]) -> float:
    """Return the number of items of a list in brackets, else a guess."""
    pairs = matching(tokens)
    if tokens[0].text != "[" or pairs[0] != len(tokens) - 1:
        return GUESS
    count, place = 1, 1
    while place < len(tokens) - 1:
        if tokens[place].word == "IN" or tokens[place].text == "|":
            return GUESS
        count += tokens[place].text == ","
        place = pairs.get(place, place) + 1
    return count
