"""Rows as they flow through the clauses of a statement."""

import math
from dataclasses import dataclass, field, replace

from .clauses import Clause, split_clauses, split_items, split_parts
from .lists import ListReader, Value
from .patterns import PatternReader
from .picks import GUESS, find_picks
from .statistics import Statistics
from .steps import LIST, START, Hub, Step
from .tokens import Token
from .walk import Walk

_SUBQUERIES = ("EXISTS", "COUNT", "COLLECT")
_MOST = 1e30


@dataclass
class Flow:
    """Walks through a statement and notes the rows of every step.

    Parameters
    ----------
    text, tokens, pairs
        The statement, its tokens without spaces and comments, and their brackets.
    statistics
        Rows and degrees of the graph.
    outer
        How often the statement runs: once, or as a subquery for every row of another.
    """

    text: str
    tokens: list[Token]
    pairs: dict[int, int]
    statistics: Statistics
    outer: float = 1.0
    rows: float = 1.0
    values: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    returned: dict[str, Value] = field(default_factory=dict)

    def run(self, start: int, end: int) -> None:
        """Follow the clauses between two places."""
        clauses = split_clauses(self.tokens, self.pairs, (start, end))
        known, total = dict(self.values), 0.0
        if not clauses and start < end:
            # EXISTS { (a)-->(b) }
            clauses = [Clause("MATCH", False, start, end)]
        for clause in clauses:
            if clause.keyword == "UNION":
                total += self.rows
                self.rows, self.values = 1.0, dict(known)
            elif clause.keyword == "MATCH":
                self._match(clause)
            elif clause.keyword == "UNWIND":
                self._unwind(clause)
            elif clause.keyword == "CALL":
                self._call(clause)
            else:
                self._project(clause)
        self.rows = min(total + self.rows, _MOST)

    def note(self, text: str, rows: float, advice: str, *, hub: Hub | None = None) -> None:
        """Add a step that passes through ``rows`` rows each time the statement runs."""
        self.steps.append(Step(text, min(rows * self.outer, _MOST), hub, advice))

    def written(self, start: int, end: int) -> str:
        """Return the text between two characters on one line, shortened."""
        text = " ".join(self.text[start:end].split())
        return text if len(text) <= 80 else f"{text[:79]}…"

    def _match(self, clause: Clause) -> None:
        before = self.rows
        parts = split_parts(self.tokens, self.pairs, (clause.start, clause.end))
        reader = PatternReader(self.tokens, self.pairs)
        where = self.tokens[slice(*parts["WHERE"])] if "WHERE" in parts else []
        known = frozenset(self.values)
        picks = find_picks(where, known.__contains__)
        walks = [Walk(self, path, picks, known) for path in reader.paths(*parts[""])]
        while walks:
            walk = min(walks, key=Walk.cost)
            walks.remove(walk)
            walk.go()
        if "WHERE" in parts:
            self._evaluate(*parts["WHERE"])
        if clause.optional:
            self.rows = max(self.rows, before)

    def _unwind(self, clause: Clause) -> None:
        items = split_items(self.tokens, self.pairs, (clause.start, clause.end))
        if not items:
            return
        item = items[0]
        self._evaluate(item.start, item.end)
        length = self._lists().length(item.start, item.end)
        self.rows = min(self.rows * length, _MOST)
        words = self.tokens[item.start : item.end]
        self.note(f"UNWIND {self._of(item.start, item.end)}", self.rows, LIST)
        source = self.values.get(words[0].value) if len(words) == 1 else None
        self.values[item.name] = Value(source.shares if source else None)

    def _call(self, clause: Clause) -> None:
        place = clause.start
        if place < clause.end and self.tokens[place].text == "(":
            place = self.pairs[place] + 1
        if place < clause.end and self.tokens[place].text == "{":
            inner = self._inner(place + 1, self.pairs[place])
            if inner.returned:
                found = min(self.rows * inner.rows, _MOST)
                self.rows = max(found, self.rows) if clause.optional else found
            self.values |= inner.returned
            return
        marks = range(clause.start, clause.end)
        yields = [place for place in marks if self.tokens[place].word == "YIELD"]
        counts = [
            float(self.tokens[place].text)
            for place in marks
            if self.tokens[place].kind == "number" and self.tokens[place].text.isdigit()
        ]
        self.rows = min(self.rows * (max(counts) if counts else GUESS), _MOST)
        self.note(f"CALL {self._of(clause.start, clause.end)}", self.rows, START)
        for place in yields:
            stop = split_parts(self.tokens, self.pairs, (place + 1, clause.end))[""][1]
            for item in split_items(self.tokens, self.pairs, (place + 1, stop)):
                self.values[item.name] = Value()

    def _project(self, clause: Clause) -> None:
        """Follow WITH or RETURN: what is named goes on, aggregates join rows, LIMIT cuts."""
        parts = split_parts(self.tokens, self.pairs, (clause.start, clause.end))
        start, end = parts[""]
        items = split_items(self.tokens, self.pairs, (start, end))
        for first, last in parts.values():
            self._evaluate(first, last)
        lists, before = self._lists(), self.rows
        joined = [lists.aggregates(item.start, item.end) for item in items]
        distinct = start < end and self.tokens[start].word == "DISTINCT"
        if any(joined) or distinct:
            groups = 1.0
            for item, is_joined in zip(items, joined, strict=True):
                groups *= 1.0 if is_joined else self._size(item.start, item.end)
            self.rows = min(self.rows, groups)
        star = any(self.tokens[item.start].text == "*" for item in items)
        values = dict(self.values) if star else {}
        for item in items:
            if item.name:
                per_row = before / self.rows if self.rows else 0.0
                values[item.name] = self._value(item.start, item.end, per_row)
        if "LIMIT" in parts:
            first, last = parts["LIMIT"]
            if last - first == 1 and self.tokens[first].text.isdigit():
                self.rows = min(self.rows, float(self.tokens[first].text))
        self.values = values
        if clause.keyword == "RETURN":
            self.returned = values

    def _value(self, start: int, end: int, rows: float) -> Value:
        """Return what is known of the value of an item, of which ``rows`` rows were joined."""
        words = self.tokens[start:end]
        if len(words) == 1 and (known := self.values.get(words[0].value)):
            return known
        lists = self._lists()
        length = lists.collected(start, end, rows)
        if length is None:
            return Value(size=self._size(start, end))
        # A list of one kind of node gives such nodes back.
        inside = words[2:-1] if words[0].word == "COLLECT" else []
        inside = inside[1:] if inside and inside[0].word == "DISTINCT" else inside
        node = self.values.get(inside[0].value) if len(inside) == 1 else None
        return Value(node.shares if node else None, math.inf, length)

    def _size(self, start: int, end: int) -> float:
        """Return the most values that an expression can have: those of its variables together."""
        size, place = 1.0, start
        for place in range(start, end):
            token = self.tokens[place]
            before = self.tokens[place - 1].text if place else ""
            if token.kind in ("word", "name") and before not in (".", ":"):
                known = self.values.get(token.value)
                size = min(size * known.size, _MOST) if known else size
        return size

    def _evaluate(self, start: int, end: int) -> None:
        """Note what an expression costs in every row: lists, subqueries and patterns in it."""
        items = self._walked(start, end)
        if items:
            self.note(self._of(start, end), min(self.rows * items, _MOST), LIST)

    def _walked(self, start: int, end: int) -> float:
        """Return how many items of lists an expression walks through."""
        total, place, lists = 0.0, start, self._lists()
        while place < end:
            token, before = self.tokens[place], self.tokens[place - 1] if place else None
            if token.text == "{" and before is not None and before.word in _SUBQUERIES:
                self._inner(place + 1, self.pairs[place])
                place = self.pairs[place] + 1
            elif (stop := self._pattern(place)) > place:
                place = stop
            elif place in self.pairs:
                close = self.pairs[place]
                length = lists.iterated(place + 1, close)
                outer, self.outer = self.outer, min(self.outer * max(length, 1.0), _MOST)
                inside = self._walked(place + 1, close)
                self.outer = outer
                if before is not None and before.word == "RANGE":
                    inside += lists.range(place + 1, close)
                total = min(total + (length * (1 + inside) if length else inside), _MOST)
                place = close + 1
            else:
                place += 1
        return total

    def _pattern(self, place: int) -> int:
        """Follow a pattern in an expression and return the place behind it; none: the place."""
        start = place
        if self.tokens[place].word in ("SHORTESTPATH", "ALLSHORTESTPATHS"):
            place += 1
        if place not in self.pairs or self.tokens[place].text != "(":
            return start
        after = "".join(token.text for token in self.tokens[self.pairs[place] + 1 :][:3])
        if place == start and not after.startswith(("-[", "--", "<-[", "<--")):
            return start
        path, stop = PatternReader(self.tokens, self.pairs).path(start)
        if path is None:
            return start
        inner = self._sub()
        Walk(inner, path, {}, frozenset(inner.values)).go()
        return stop

    def _inner(self, start: int, end: int) -> "Flow":
        inner = self._sub()
        inner.run(start, end)
        return inner

    def _sub(self) -> "Flow":
        return replace(
            self,
            outer=min(self.outer * self.rows, _MOST),
            rows=1.0,
            values=dict(self.values),
            returned={},
        )

    def _lists(self) -> ListReader:
        return ListReader(self.tokens, self.pairs, self.values)

    def _of(self, start: int, end: int) -> str:
        if start >= end:
            return ""
        last = self.tokens[end - 1]
        return self.written(self.tokens[start].start, last.start + len(last.text))
