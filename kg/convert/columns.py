"""Columns of a graph in forms that files and tensors can hold.

Text goes as it is, or as JSON where it holds what a file cannot: no text at all, a null character,
half a surrogate pair. Lists go as JSON, which keeps every float and every unknown list.
"""

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..schema import Property, edge_type, node_type

NUMBERS = {"integer": np.int64, "float": np.float64, "boolean": np.bool_}
"""Kinds of property that are arrays of numbers -> dtype."""

LISTS = ("floats", "strings")
"""Kinds of property whose values are lists or None."""


def properties(name: str) -> tuple[Property, ...]:
    """Return the declared properties of the table ``Label`` or ``Label-TYPE-Label``.

    Raises
    ------
    InputError
        The schema has no such table.
    """
    try:
        source, *rest = name.split("-")
        return edge_type(source, *rest).properties if rest else node_type(source).properties
    except (KeyError, TypeError) as error:
        message = (
            f"There is no table {name!r} in the schema; one that scypher.kg.schema declares was "
            "expected. Convert with the version of Scypher that wrote it."
        )
        raise InputError(message) from error


def pack_text(values: "pd.Series | np.ndarray[Any, Any]") -> tuple["np.ndarray[Any, Any]", bool]:
    """Return text that every file can hold, as an array of objects, and whether it is JSON."""
    found = np.asarray(values, dtype=object)
    if pd.api.types.infer_dtype(found, skipna=False) in ("string", "empty"):
        joined = "".join(found)
        if "\x00" not in joined and _encodable(joined):
            return found, False
    return _objects(map(json.dumps, found)), True


def unpack_text(values: Any, *, is_json: bool) -> "np.ndarray[Any, Any]":
    """Return what :func:`pack_text` was given; categories become their values."""
    found = np.asarray(pd.Series(values).astype(object))
    return _objects(map(json.loads, found)) if is_json else found


def pack_lists(values: Iterable[Any]) -> "np.ndarray[Any, Any]":
    """Return lists as JSON text, None as ``null``."""
    return _objects(map(json.dumps, values))


def unpack_lists(values: Any) -> "np.ndarray[Any, Any]":
    """Return what :func:`pack_lists` was given."""
    return _objects(map(json.loads, np.asarray(values, dtype=object)))


def as_matrix(values: "pd.Series") -> "np.ndarray[Any, Any] | None":
    """Return lists of floats of one length as rows, unknown ones as ``NaN``; else None.

    None also where a row could not be told from an unknown list, or numbers are no floats.
    """
    known = [row for row in values if row is not None]
    if len({len(row) for row in known}) != 1 or not known[0]:
        return None
    if not set(map(type, chain.from_iterable(known))) <= {float, np.float64}:
        return None
    rows = np.array(known, dtype=np.float64)
    if np.isnan(rows).all(axis=1).any():
        return None
    matrix = np.full((len(values), rows.shape[1]), np.nan)
    matrix[values.notna().to_numpy()] = rows
    return matrix


def from_matrix(matrix: Any) -> "np.ndarray[Any, Any]":
    """Return what :func:`as_matrix` was given."""
    rows = np.asarray(matrix, dtype=np.float64)
    unknown = np.isnan(rows).all(axis=1)
    found = _objects(rows.tolist())
    found[unknown] = None
    return found


def categorical(codes: Any, values: Any) -> pd.Categorical:
    """Return categories by position; position -1 is none."""
    return pd.Categorical.from_codes(codes, categories=values)


def refuse(problem: str) -> NoReturn:
    """Raise :class:`InputError`."""
    raise InputError(problem)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _objects(values: Iterable[Any]) -> "np.ndarray[Any, Any]":
    """Return an array of objects, lists among them, without making it two-dimensional."""
    found = list(values)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array
