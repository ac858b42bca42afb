"""Query files: one question each, its text in Cypher, its parameters and columns in the header.

::

    // name: modules_of_gene
    // question: In which modules is a gene?
    // param gene: string — symbol or key
    // param limit: integer = 10 — most rows
    // column module: string — key of the module
    MATCH ...

A parameter without ``=`` is required. Types: string, integer, float, boolean, strings.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..encoders.errors import InputError

TYPES = ("string", "integer", "float", "boolean", "strings")

_FIELD = re.compile(r"(name|question):\s*(.+)")
_PARAMETER = re.compile(r"param (\w+): (\w+)(?: = (.+?))?(?: — (.+))?")
_COLUMN = re.compile(r"column (\w+): (\w+)(?: — (.+))?")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a query; required when ``default`` is None."""

    name: str
    type: str
    default: Any
    doc: str


@dataclass(frozen=True)
class Column:
    """A column that a query returns."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True)
class QueryFile:
    """A query with its header."""

    name: str
    question: str
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    text: str


def parse_query(text: str, file: str) -> QueryFile:
    """Return the query in ``text``; ``file`` names it in errors, and where it has no name.

    Raises
    ------
    InputError
        A header line is malformed, names a type that there is not, or there is no Cypher.
    """
    fields = {"name": file.removesuffix(".cypher"), "question": ""}
    parameters: list[Parameter] = []
    columns: list[Column] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("//"):
            continue
        content = line.removeprefix("//").strip()
        if match := _FIELD.fullmatch(content):
            fields[match[1]] = match[2].strip()
        elif match := _PARAMETER.fullmatch(content):
            name, kind, default, doc = match.groups()
            _known_type(kind, file, number)
            value = None if default is None else _default(default, kind, f"{file}:{number}")
            parameters.append(Parameter(name, kind, value, doc or ""))
        elif match := _COLUMN.fullmatch(content):
            _known_type(match[2], file, number)
            columns.append(Column(match[1], match[2], match[3] or ""))
        elif content.startswith(("param ", "column ")):
            refuse(
                f"{file}:{number}: {content!r} is malformed; '// param name: type = default — "
                "what it is' or '// column name: type — what it is' was expected. Correct it."
            )
    if not any(line.strip() and not line.startswith("//") for line in text.splitlines()):
        refuse(f"{file} holds no Cypher; a MATCH … RETURN statement was expected. Add one.")
    return QueryFile(fields["name"], fields["question"], tuple(parameters), tuple(columns), text)


def parse_value(text: str, kind: str, what: str) -> Any:
    """Return the value that ``text`` stands for; :class:`InputError` if it fits not."""
    try:
        if kind == "integer":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError as error:
        message = f"{text!r} is no {kind}, as {what} needs. Give a number."
        raise InputError(message) from error
    if kind == "boolean":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        refuse(f"{text!r} is no boolean, as {what} needs. Give true or false.")
    if kind == "strings":
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def fits(value: Any, kind: str) -> bool:
    """Return whether a value is of a declared type; a whole number is a float too."""
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool | np.bool_)
    if kind == "strings":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole or (kind == "float" and isinstance(value, float | np.floating))


def _default(text: str, kind: str, where: str) -> Any:
    """Return a default from the header, where text and lists are JSON."""
    if kind not in ("string", "strings"):
        return parse_value(text, kind, where)
    try:
        value = json.loads(text)
    except ValueError as error:
        message = (
            f"{where}: the default {text} is malformed; "
            'text in double quotes or a list such as ["a", "b"] was expected. Correct it.'
        )
        raise InputError(message) from error
    if not fits(value, kind):
        refuse(f"{where}: the default {text} is no {kind}. Correct it.")
    return value


def _known_type(kind: str, file: str, number: int) -> None:
    if kind not in TYPES:
        refuse(
            f"{file}:{number}: there is no type {kind!r}; one of {', '.join(TYPES)} was "
            "expected. Correct it."
        )


def refuse(problem: str) -> NoReturn:
    """Raise :class:`InputError`."""
    raise InputError(problem)
