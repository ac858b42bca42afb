"""The lexical lock: one reading statement, and nothing else, goes on to an engine.

The first of three locks. It works on words, so that it can say which one is wrong, and stops what
an engine's read channel lets through (``LOAD CSV``, ``SHOW``, ``TERMINATE``, procedures that
administer). The read channel and :mod:`scypher.kg.door.plan` stand behind it.
"""

from functools import lru_cache
from typing import NoReturn

from ...encoders.errors import InputError, StoreError
from . import words
from .limits import check_size
from .tokens import Token, significant, tokenise

_NAMES = ("word", "name")
_OPERATORS = frozenset(".:,([=<>+-/%^|&!$")


@lru_cache(maxsize=256)
def admit(text: str) -> str:
    r"""Return a text that is exactly one reading Cypher statement, as it was given.

    Words are compared where a clause can stand: ``r.set``, ``{create: 1}``, ``:Set``, text in
    quotes or backticks and comments are no clauses.

    Parameters
    ----------
    text
        One statement; a semicolon may end it.

    Raises
    ------
    InputError
        The text is empty, holds several statements, begins with no reading clause, is larger than
        :data:`scypher.kg.door.limits.LIMITS`, or is not made of Cypher tokens (see
        :func:`scypher.kg.door.tokens.tokenise`).
    StoreError
        It writes or administers, chooses another graph, asks for a plan, runs in transactions of
        its own, or calls a procedure or a function that is not on the list of
        :mod:`scypher.kg.door.words`.
    """
    tokens = significant(tokenise(text))
    if tokens and tokens[-1].text == ";":
        tokens.pop()
    _check_first(tokens)
    check_size(tokens)
    for place, token in enumerate(tokens):
        if token.kind == "mark":
            _check_mark(tokens, place)
        elif token.word in words.WRITING and _is_clause(tokens, place):
            _refuse_word(token)
        elif token.word == "CALL" and _is_clause(tokens, place):
            _check_procedure(tokens, place)
        elif token.word in ("TRANSACTION", "TRANSACTIONS"):
            _check_transactions(tokens, place)
    return text


def _check_first(tokens: list[Token]) -> None:
    if not tokens:
        _refuse_text("it holds no statement")
    if any(token.text == ";" for token in tokens):
        _refuse_text("it holds several statements; ask one at a time")
    first = tokens[0]
    if first.word in words.STARTING:
        _refuse_word(first)
    if first.word not in words.FIRST:
        _refuse_text(
            f"it begins with {_short(first.text)}; MATCH, OPTIONAL MATCH, UNWIND, WITH, CALL or "
            "RETURN was expected"
        )


def _check_mark(tokens: list[Token], place: int) -> None:
    if tokens[place].text != "(" or place == 0:
        return
    before = tokens[place - 1]
    if before.text == "$":
        message = (
            f"A name computed by $(…) stands at character {before.start + 1}; labels, types and "
            "properties are written out here. Write the name."
        )
        raise StoreError(message)
    if before.kind in _NAMES:
        _check_function(tokens, place - 1)


def _check_function(tokens: list[Token], place: int) -> None:
    """Refuse the call whose last name stands at ``place`` unless it is on a list."""
    start = place
    while start >= 2 and tokens[start - 1].text == "." and tokens[start - 2].kind in _NAMES:
        start -= 2
    before = tokens[start - 1] if start else None
    if before is not None and before.word == "CALL" and _is_clause(tokens, start - 1):
        return
    parts = tokens[start : place + 1 : 2]
    name = ".".join(part.value for part in parts)
    dotted = len(parts) > 1 or (before is not None and before.text == ".")
    known = words.NAMESPACED if dotted else words.FUNCTIONS
    if name.lower() in known or (not dotted and parts[0].word in words.BEFORE_BRACKET):
        return
    if not dotted and _is_hint(tokens, place):
        return
    message = (
        f"The query calls the function {_short(name)} at character {parts[0].start + 1}, which is "
        "not one that only computes on the graph. Use a function of the Cypher manual, "
        "or write the name without a bracket after it."
    )
    raise StoreError(message)


def _is_hint(tokens: list[Token], place: int) -> bool:
    """Return whether ``Label(`` at ``place`` is that of ``USING INDEX v:Label(property)``."""
    return (
        place >= 3 and tokens[place - 1].text == ":" and tokens[place - 3].word in ("INDEX", "SEEK")
    )


def _check_procedure(tokens: list[Token], place: int) -> None:
    if tokens[place + 1].text in "{(":
        return
    parts = [tokens[place + 1].value]
    after = place + 2
    while (
        after + 1 < len(tokens) and tokens[after].text == "." and tokens[after + 1].kind in _NAMES
    ):
        parts.append(tokens[after + 1].value)
        after += 2
    name = ".".join(parts)
    if name in words.PROCEDURES:
        return
    message = (
        f"The query calls the procedure {_short(name)} at character {tokens[place].start + 1}; "
        f"only {', '.join(sorted(words.PROCEDURES))} may be called. Ask in plain Cypher."
    )
    raise StoreError(message)


def _check_transactions(tokens: list[Token], place: int) -> None:
    before = tokens[place - 1].word
    in_subquery = before == "IN" and tokens[place - 2].text == "}"
    if before == "CONCURRENT" or in_subquery:
        message = (
            "The query runs a subquery IN TRANSACTIONS, which is for writing; a query may only "
            "read. Remove IN TRANSACTIONS."
        )
        raise StoreError(message)


def _is_clause(tokens: list[Token], place: int) -> bool:
    """Return whether the word at ``place`` can begin a clause; in doubt it does."""
    after = tokens[place + 1] if place + 1 < len(tokens) else None
    starts = "([{$+-" if tokens[place].word == "DELETE" else "([{$"
    if after is None or (after.kind == "mark" and after.text not in starts):
        return False
    if place == 0:
        return True
    before = tokens[place - 1]
    if before.word == "AS":
        return not (_follows_expression(tokens, place - 1) and after.word in words.AFTER_ALIAS)
    if before.word == "BY" and tokens[place - 2].word == "ORDER":
        return False
    if before.text == ".":
        # `1.` may end a number, and `..` a range; what follows those is no property.
        return tokens[place - 2].kind == "number"
    return before.kind != "mark" or before.text not in _OPERATORS


def _follows_expression(tokens: list[Token], place: int) -> bool:
    """Return whether an expression ends right before ``place``."""
    before = tokens[place - 1]
    if before.kind == "mark":
        return before.text in (")", "]", "}")
    return before.word not in words.BEFORE_EXPRESSION


def _refuse_word(token: Token) -> NoReturn:
    message = (
        f"A query may only read the graph, and this one says {token.text.upper()} at character "
        f"{token.start + 1}. Remove that clause; a name that is spelled so goes in `backticks`."
    )
    raise StoreError(message)


def _refuse_text(problem: str) -> NoReturn:
    message = f"The query is not valid Cypher: {problem}. Correct the query."
    raise InputError(message)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
