"""Cypher as tokens: every character of a text in exactly one of them.

The lexical rules are those of the Cypher manual (naming rules, comments, expressions) that Neo4j 5,
Neo4j 2026 and ArcadeDB share. Where the engines read a text in different ways, it is refused: what
the guard saw must be what the engine runs.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, NoReturn

from ...encoders.errors import InputError

Kind = Literal["space", "comment", "string", "name", "word", "parameter", "number", "mark"]

MAX_CHARACTERS = 100_000
"""Longest text; parsers of the engines take stack and time in proportion to it."""

MAX_DEPTH = 32
"""Deepest nesting of brackets; parsers of the engines recurse into them."""

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<comment>//[^\r\n]*|/\*.*?\*/)
    | (?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
    | (?P<name>`[^`]*(?:``[^`]*)*`)
    | (?P<parameter>\$(?:\w+|`[^`]*(?:``[^`]*)*`))
    | (?P<number>0[xX]\w*|[0-9]\w*(?:\.[0-9]\w*)?(?:(?<=[eE])[+-][0-9]+)?)
    | (?P<word>\w+)
    | (?P<mark>\.\.|/(?!\*)|[!#%&()*+,\-.:;<=>?@\[\]^{|}~$])
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|[0-9]+(?:_[0-9]+)*"
    r"|[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?[fFdD]?"
)
_CLOSES = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class Token:
    """A piece of a text: its kind, the text as written, and where it starts."""

    kind: Kind
    text: str
    start: int

    @property
    def value(self) -> str:
        """The name without backticks, else the text as written."""
        if self.kind == "name":
            return self.text[1:-1].replace("``", "`")
        return self.text

    @property
    def word(self) -> str:
        """A bare word in capitals, as keywords are compared; empty for every other token."""
        if self.kind != "word":
            return ""
        # An engine that folds case in another way than ASCII must not find a keyword here.
        return unicodedata.normalize("NFKC", self.text).casefold().upper()


def tokenise(text: str) -> list[Token]:
    r"""Return the tokens of a Cypher text; joined, they are the text.

    Raises
    ------
    InputError
        The text is longer or nested deeper than :data:`MAX_CHARACTERS` and :data:`MAX_DEPTH`;
        brackets, a string, a comment or backticks are not closed; or it holds a control character,
        a Unicode escape such as ``\u0043`` (some engines decode it before they parse) or a
        character that Cypher has no use for outside of strings, comments and backticks.
    """
    _check_characters(text)
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_rest(text, position)
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are the kinds
        tokens.append(Token(kind, match[0], position))
        if kind == "number" and not _NUMBER.fullmatch(match[0]):
            _refuse(f"{_short(match[0])} at character {position + 1} is no number")
        position = match.end()
    _check_brackets(tokens)
    return tokens


def significant(tokens: list[Token]) -> list[Token]:
    """Return the tokens without spaces and comments."""
    return [token for token in tokens if token.kind not in ("space", "comment")]


def matching(tokens: list[Token]) -> dict[int, int]:
    """Return, for the position of every opening bracket, that of the one that closes it."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for position, token in enumerate(tokens):
        if token.kind != "mark":
            continue
        if token.text in "([{":
            opened.append(position)
        elif token.text in _CLOSES:
            pairs[opened.pop()] = position
    return pairs


def _check_characters(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        _refuse(f"the text has {len(text)} characters; at most {MAX_CHARACTERS} were expected")
    if (place := text.find("\\u")) >= 0:
        _refuse(
            rf"a Unicode escape (\u…) stands at character {place + 1}; some engines decode it "
            "before they parse. Write the character itself, or give the value as a parameter"
        )
    for place, character in enumerate(text):
        if character in "\t\r\n" or " " <= character < "\x7f":
            continue
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            _refuse(f"a control character ({character!a}) stands at character {place + 1}")


def _check_brackets(tokens: list[Token]) -> None:
    opened: list[Token] = []
    for token in tokens:
        if token.kind != "mark":
            continue
        if token.text in "([{":
            opened.append(token)
            if len(opened) > MAX_DEPTH:
                _refuse(f"brackets are nested more than {MAX_DEPTH} deep")
        elif token.text in _CLOSES and (not opened or opened.pop().text != _CLOSES[token.text]):
            _refuse(f"the {token.text} at character {token.start + 1} closes nothing")
    if opened:
        _refuse(f"the {opened[-1].text} at character {opened[-1].start + 1} is never closed")


def _refuse_rest(text: str, position: int) -> NoReturn:
    character = text[position]
    if character in "'\"`" or text.startswith("/*", position):
        _refuse(f"what opens with {character} at character {position + 1} is never closed")
    _refuse(
        f"the character {character!a} at character {position + 1} has no meaning in Cypher "
        "outside of strings, comments and backticks"
    )


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _refuse(problem: str) -> NoReturn:
    message = f"The query is not valid Cypher: {problem}. Correct the query."
    raise InputError(message)
