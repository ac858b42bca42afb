"""How large a statement may be: a server compiles it before any time limit counts.

The planner of Neo4j takes time that grows faster than the text: doubling with every XOR, and with
a high power of the number of hops in one pattern. No timeout ends it, so it must not begin. Nearly
200 times NOT exhaust its stack; the server then sends no answer at all.
"""

from collections.abc import Callable

from ...encoders.errors import InputError
from .tokens import Token

_OPERATORS = frozenset({"AND", "OR", "NOT", "IN", "IS"})
_CLAUSES = frozenset({"MATCH", "WITH", "UNWIND", "RETURN", "CALL", "UNION", "WHEN"})
_SUBQUERIES = frozenset({"EXISTS", "COUNT", "COLLECT", "CALL"})


def _is_hop(tokens: list[Token], place: int) -> bool:
    after = tokens[place + 1].text if place + 1 < len(tokens) else ""
    before = tokens[place - 1].text if place else ""
    # `-[…]-` and `--`, also with arrowheads: the first dash of the two.
    return tokens[place].text == "-" and (after == "[" or (after == "-" and before in (")", "<")))


def _is_operator(tokens: list[Token], place: int) -> bool:
    token = tokens[place]
    return token.word in _OPERATORS or (token.kind == "mark" and token.text in "+-*/%^<>=!|&:")


def _is_subquery(tokens: list[Token], place: int) -> bool:
    if tokens[place].text != "{" or place == 0:
        return False
    # `CALL {` and `EXISTS {`, or `CALL (a, b) {`: a bracket right before is one of those.
    return tokens[place - 1].word in _SUBQUERIES or tokens[place - 1].text == ")"


LIMITS: tuple[tuple[str, int, Callable[[list[Token], int], bool]], ...] = (
    ("words and signs", 3000, lambda tokens, place: True),
    ("times XOR", 8, lambda tokens, place: tokens[place].word == "XOR"),
    ("times NOT", 50, lambda tokens, place: tokens[place].word == "NOT"),
    ("hops in its patterns", 16, _is_hop),
    ("subqueries", 20, _is_subquery),
    ("clauses", 50, lambda tokens, place: tokens[place].word in _CLAUSES),
    ("operators", 300, _is_operator),
)
"""What is counted, the most there may be, and whether a token counts."""


MAX_SUBQUERY_DEPTH = 4
"""Deepest nesting of subqueries; planning 20 of EXISTS in one another takes minutes."""


def check_size(tokens: list[Token]) -> None:
    """Raise :class:`InputError` if a statement holds more of something than :data:`LIMITS` say."""
    places = range(len(tokens))
    for what, most, counts in LIMITS:
        _refuse_over(sum(counts(tokens, place) for place in places), most, what)
    depth = deepest = 0
    opened: list[bool] = []
    for place in places:
        if tokens[place].text in ("{", "}"):
            if tokens[place].text == "{":
                opened.append(_is_subquery(tokens, place))
                depth += opened[-1]
            elif opened:
                depth -= opened.pop()
            deepest = max(deepest, depth)
    _refuse_over(deepest, MAX_SUBQUERY_DEPTH, "subqueries in one another")


def _refuse_over(number: int, most: int, what: str) -> None:
    if number > most:
        message = (
            f"The query is too long: it has {number} {what}, and at most {most} were expected. "
            "Give long lists as parameters, or ask in several queries."
        )
        raise InputError(message)
