"""Patterns of MATCH as data: nodes, hops between them, how often a hop may repeat."""

from dataclasses import dataclass, replace

from .tokens import Token

UNBOUNDED = 15
"""Hops that a path without an upper bound is taken to have."""

_GQL = frozenset(
    {
        *("SHORTEST", "ALL", "ANY", "PATH", "PATHS", "GROUP", "GROUPS"),
        *("WALK", "TRAIL", "ACYCLIC", "SIMPLE"),
    }
)
_END = Token("mark", "", -1)


@dataclass(frozen=True)
class Node:
    """A node of a pattern: variable (empty for none), label expression, inline conditions."""

    variable: str = ""
    labels: tuple[Token, ...] = ()
    properties: tuple[tuple[str, tuple[Token, ...]], ...] = ()
    where: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Hop:
    """A relationship of a pattern, taken from ``low`` to ``high`` times.

    ``out`` and ``into`` say whether it may be walked along and against its arrow. A repeated group
    in brackets has its relationships in ``inner``.
    """

    types: tuple[Token, ...] = ()
    out: bool = True
    into: bool = True
    low: int = 1
    high: int = 1
    inner: "tuple[Hop, ...]" = ()
    start: int = 0
    end: int = 0

    def reversed(self) -> "Hop":
        """Return the hop as it is walked from its other end."""
        inner = tuple(hop.reversed() for hop in reversed(self.inner))
        return replace(self, out=self.into, into=self.out, inner=inner)


@dataclass(frozen=True)
class Path:
    """A chain of nodes with one hop less between them; the place in the text where it stands."""

    nodes: tuple[Node, ...]
    hops: tuple[Hop, ...]
    shortest: bool
    start: int
    end: int


class PatternReader:
    """Reads patterns from tokens without spaces and comments.

    Parameters
    ----------
    tokens
        The tokens.
    pairs
        Position of every opening bracket -> that of the one that closes it.
    """

    def __init__(self, tokens: list[Token], pairs: dict[int, int]) -> None:
        self.tokens = tokens
        self.pairs = pairs

    def at(self, place: int) -> Token:
        """Return a token; an empty one behind the end."""
        return self.tokens[place] if 0 <= place < len(self.tokens) else _END

    def paths(self, start: int, end: int) -> list[Path]:
        """Return the patterns between two places, which commas separate."""
        found: list[Path] = []
        while start < end:
            path, stop = self.path(start)
            if path is not None:
                found.append(path)
            while stop < end and self.at(stop).text != ",":
                stop = self.pairs.get(stop, stop) + 1
            start = stop + 1
        return found

    def path(self, place: int) -> tuple[Path | None, int]:
        """Return the pattern at a place and the place behind it; None if there is none."""
        first = place
        if self.at(place).kind in ("word", "name") and self.at(place + 1).text == "=":
            place += 2
        shortest = False
        while self.at(place).word in _GQL or (place > first and self.at(place).kind == "number"):
            shortest = shortest or self.at(place).word in ("SHORTEST", "ANY")
            place += 1
        if self.at(place).word in ("SHORTESTPATH", "ALLSHORTESTPATHS") and place + 1 in self.pairs:
            path, _ = self.path(place + 1 + 1)
            stop = self.pairs[place + 1] + 1
            return (replace(path, shortest=True) if path else None), stop
        nodes: list[Node] = []
        hops: list[Hop] = []
        stop = place
        while self.at(stop).text == "(":
            stop = self._element(stop, nodes, hops)
            hop, after = self._hop(stop)
            if hop is None or self.at(after).text != "(":
                continue
            hops.append(hop)
            stop = after
        if not nodes:
            return None, place
        while len(hops) < len(nodes) - 1:
            # `(a) ((b)-[r]->(c)){2} (d)`: neighbours without a hop between them are one node.
            hops.append(Hop(low=0, high=0))
        chars = (self.at(first).start, self.at(stop - 1).start + len(self.at(stop - 1).text))
        return Path(tuple(nodes), tuple(hops[: len(nodes) - 1]), shortest, *chars), stop

    def _element(self, place: int, nodes: list[Node], hops: list[Hop]) -> int:
        """Read a node, or a group in brackets, and return the place behind it."""
        close = self.pairs[place]
        inside = self.at(place + 1)
        named = self.at(place + 2).text == "=" and self.at(place + 3).text == "("
        if inside.text != "(" and not named:
            while len(hops) < len(nodes):
                hops.append(Hop(low=0, high=0))
            nodes.append(self._node(place + 1, close))
            return close + 1
        inner, _ = self.path(place + 1)
        low, high, stop = self._quantifier(close + 1)
        if inner is None:
            return stop
        while len(hops) < len(nodes):
            hops.append(Hop(low=0, high=0))
        if (low, high) == (1, 1):
            hops += inner.hops
            nodes += inner.nodes
        else:
            # Inside a repeated group, variables are lists; only labels hold for both ends.
            span = (self.at(place).start, self.at(stop - 1).start + 1)
            hops.append(Hop((), True, False, low, high, inner.hops, *span))
            nodes += [Node(labels=inner.nodes[0].labels if low else ()), Node()]
        return stop

    def _node(self, place: int, close: int) -> Node:
        variable = ""
        if self.at(place).kind in ("word", "name") and self.at(place).word not in ("IS", "WHERE"):
            variable = self.at(place).value
            place += 1
        labels: tuple[Token, ...] = ()
        if self.at(place).text == ":" or self.at(place).word == "IS":
            stop = self._until(place + 1, close)
            labels, place = tuple(self.tokens[place + 1 : stop]), stop
        properties: tuple[tuple[str, tuple[Token, ...]], ...] = ()
        if self.at(place).text == "{":
            properties = self._map(place + 1, self.pairs[place])
            place = self.pairs[place] + 1
        where = self.tokens[place + 1 : close] if self.at(place).word == "WHERE" else []
        return Node(variable, labels, properties, tuple(where))

    def _map(self, place: int, close: int) -> tuple[tuple[str, tuple[Token, ...]], ...]:
        items = []
        while place < close:
            stop = place
            while stop < close and self.at(stop).text != ",":
                stop = self.pairs.get(stop, stop) + 1
            items.append((self.at(place).value, tuple(self.tokens[place + 2 : stop])))
            place = stop + 1
        return tuple(items)

    def _hop(self, place: int) -> tuple[Hop | None, int]:
        """Return the relationship at a place and the place behind it."""
        start = self.at(place).start
        left = self.at(place).text == "<"
        place += left
        if self.at(place).text != "-":
            return None, place
        place += 1
        types: tuple[Token, ...] = ()
        low, high = 1, 1
        if self.at(place).text == "[":
            close = self.pairs[place]
            types, low, high = self._details(place + 1, close)
            place = close + 1
        if self.at(place).text != "-":
            return None, place
        place += 1
        right = self.at(place).text == ">"
        place += right
        end = self.at(place - 1).start + 1
        if (low, high) == (1, 1):
            low, high, place = self._quantifier(place)
        both = left == right
        return Hop(types, right or both, left or both, low, high, (), start, end), place

    def _details(self, place: int, close: int) -> tuple[tuple[Token, ...], int, int]:
        if self.at(place).kind in ("word", "name") and self.at(place).word not in ("IS", "WHERE"):
            place += 1
        types: tuple[Token, ...] = ()
        if self.at(place).text == ":" or self.at(place).word == "IS":
            stop = self._until(place + 1, close)
            types, place = tuple(self.tokens[place + 1 : stop]), stop
        if self.at(place).text != "*":
            return types, 1, 1
        place += 1
        low = high = None
        if self.at(place).kind == "number":
            low = high = _whole(self.at(place))
            place += 1
        if self.at(place).text == "..":
            high = _whole(self.at(place + 1)) if self.at(place + 1).kind == "number" else None
        low = 1 if low is None else low
        return types, low, max(low, UNBOUNDED) if high is None else high

    def _quantifier(self, place: int) -> tuple[int, int, int]:
        """Return least and most repetitions by ``+``, ``*`` or ``{a,b}``, and what is behind."""
        mark = self.at(place).text
        if mark in ("+", "*") and self.at(place).kind == "mark":
            return int(mark == "+"), UNBOUNDED, place + 1
        if mark != "{":
            return 1, 1, place
        inside = self.tokens[place + 1 : self.pairs[place]]
        numbers = [_whole(token) for token in inside if token.kind == "number"]
        texts = [token.text for token in inside]
        low = numbers[0] if numbers and texts[0] != "," else 0
        open_end = not numbers or texts[-1] == ","
        return low, max(low, UNBOUNDED) if open_end else numbers[-1], self.pairs[place] + 1

    def _until(self, place: int, close: int) -> int:
        """Return where a label expression ends: at a map, a range, a condition or the bracket."""
        while place < close and self.at(place).word != "WHERE":
            if self.at(place).text in ("{", "*"):
                break
            place = self.pairs.get(place, place) + 1
        return place


def _whole(token: Token) -> int:
    digits = token.text.replace("_", "")
    return int(digits) if digits.isdigit() else UNBOUNDED
