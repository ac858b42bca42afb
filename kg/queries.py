"""Queries: find one, check what it is asked with, run it."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..encoders.errors import InputError
from .query_files import Column, Parameter, QueryFile, fits, parse_query, parse_value, refuse
from .stores.base import Store

__all__ = [
    "Column",
    "Parameter",
    "QueryFile",
    "check_parameters",
    "list_queries",
    "load_query",
    "parse_parameters",
    "parse_query",
    "run_query",
]


def list_queries() -> list[QueryFile]:
    """Return the queries of the package, by name."""
    texts = (file for file in _folder().iterdir() if file.name.endswith(".cypher"))
    queries = [parse_query(file.read_text(encoding="utf-8"), file.name) for file in texts]
    return sorted(queries, key=lambda query: query.name)


def load_query(name_or_path: str | Path) -> QueryFile:
    """Return a query of the package by name, or read one from a ``.cypher`` file.

    Raises
    ------
    InputError
        There is no such query or file, or its header is malformed.
    """
    name = str(name_or_path)
    if not name.endswith(".cypher"):
        file = _folder().joinpath(f"{name}.cypher")
        if re.fullmatch(r"\w+", name) and file.is_file():
            return parse_query(file.read_text(encoding="utf-8"), file.name)
        known = ", ".join(query.name for query in list_queries())
        refuse(
            f"There is no query {name!r}; the name of one or the path of a .cypher file was "
            f"expected. Choose from: {known}."
        )
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"The query file {name} cannot be read ({error}); "
            "a text file in UTF-8 was expected. Correct the path."
        )
        raise InputError(message) from error
    return parse_query(text, Path(name).name)


def run_query(store: Store, name_or_path: str | Path, **parameters: Any) -> pd.DataFrame:
    """Run a query file and return the declared columns in declared order and type.

    Integer columns are int64 (nullable ``Int64`` where a value is unknown), floats float64,
    booleans bool, text and lists objects; an empty result has the same columns.

    Parameters
    ----------
    store
        An open store.
    name_or_path
        Name of a query of the package, or path of a ``.cypher`` file.
    **parameters
        Parameters of the query, as its header declares them.

    Raises
    ------
    InputError
        A parameter is unknown, missing, or of another type than declared.
    StoreError
        The query writes, takes too long, or the engine failed.
    """
    query = load_query(name_or_path)
    frame = store.query(query.text, check_parameters(query, parameters))
    if not query.columns:
        return frame
    if missing := [item.name for item in query.columns if item.name not in frame and len(frame)]:
        refuse(
            f"The query {query.name} does not return the declared columns "
            f"{', '.join(missing)}, but {', '.join(map(str, frame.columns))}. "
            "Correct its header or its RETURN."
        )
    columns = {item.name: _typed(frame.get(item.name), item.type) for item in query.columns}
    return pd.DataFrame(columns)


def check_parameters(query: QueryFile, given: dict[str, Any]) -> dict[str, Any]:
    """Return values for all parameters of a query, defaults filled in.

    Raises
    ------
    InputError
        A parameter is unknown, missing, or of another type than declared.
    """
    declared = {item.name: item for item in query.parameters}
    if unknown := sorted(set(given) - set(declared)):
        refuse(f"The query {query.name} has no parameter {', '.join(unknown)}. {_usage(query)}")
    values: dict[str, Any] = {}
    for name, item in declared.items():
        value = given.get(name, item.default)
        if value is None:
            refuse(f"The query {query.name} needs the parameter {name}. {_usage(query)}")
        if not fits(value, item.type):
            refuse(
                f"The parameter {name} of the query {query.name} is {value!r}; "
                f"{item.type} was expected. {_usage(query)}"
            )
        values[name] = float(value) if item.type == "float" else value
        if isinstance(value, np.generic):
            values[name] = value.item()
    return values


def parse_parameters(query: QueryFile, texts: list[str]) -> dict[str, Any]:
    """Return typed values from ``key=value`` texts; lists are separated by commas.

    Raises
    ------
    InputError
        A text has no ``=``, names an unknown parameter or a key twice, or does not fit its type.
    """
    declared = {item.name: item for item in query.parameters}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            refuse(f"{text!r} is not a parameter; key=value was expected. {_usage(query)}")
        if name in values:
            refuse(f"The parameter {name} is given twice. Give it once.")
        kind = declared[name].type if name in declared else "string"
        values[name] = parse_value(value, kind, f"the parameter {name}")
    return check_parameters(query, values)


def _folder() -> Any:
    return files(__package__.rsplit(".", 1)[0]).joinpath("queries")


def _typed(values: "pd.Series | None", kind: str) -> pd.Series:
    if values is None:
        values = pd.Series([], dtype=object)
    if kind == "integer":
        return values.astype("Int64" if values.isna().any() else np.int64)
    if kind == "float":
        return values.astype(np.float64)
    if kind == "boolean" and not values.isna().any():
        return values.astype(bool)
    known = values.notna().tolist()
    cells = [cell if is_known else None for cell, is_known in zip(values, known, strict=True)]
    return pd.Series(cells, index=values.index, dtype=object)


def _usage(query: QueryFile) -> str:
    """Return which parameters a query takes, as a sentence."""
    if not query.parameters:
        return "It takes none."
    items = [
        f"{item.name} ({item.type}, "
        f"{'required' if item.default is None else f'default {json.dumps(item.default)}'})"
        for item in query.parameters
    ]
    return f"It takes: {', '.join(items)}."
