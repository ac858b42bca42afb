"""Tables of a graph as data frames that an AnnData object and its files can hold."""

from typing import Any

import numpy as np
import pandas as pd

from .columns import (
    LISTS,
    NUMBERS,
    categorical,
    pack_lists,
    pack_text,
    properties,
    refuse,
    unpack_lists,
    unpack_text,
)


def write_frame(
    frame: pd.DataFrame, table: str, nodes: "dict[str, pd.DataFrame] | None" = None
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table in plain columns, and the names of those whose text is JSON.

    Text is categorical where it repeats; lists are JSON; ends of edges are the keys of the
    ``nodes``. Properties that the frame lacks are left out.
    """
    columns: dict[str, Any] = {}
    as_json = []
    if nodes is not None:
        source, _, target = table.split("-")
        for end, label in (("source", source), ("target", target)):
            keys, is_json = pack_text(nodes[label]["key"])
            columns[end] = categorical(frame[end].to_numpy(), keys)
            as_json += [end] if is_json else []
    for item in properties(table):
        if item.name not in frame:
            continue
        if item.kind in NUMBERS:
            columns[item.name] = frame[item.name].to_numpy()
        elif item.kind in LISTS:
            columns[item.name] = pack_lists(frame[item.name])
        else:
            text, is_json = pack_text(frame[item.name])
            columns[item.name] = text if item.name == "key" else _repeated(text)
            as_json += [item.name] if is_json else []
    return pd.DataFrame(columns), as_json


def read_frame(
    frame: pd.DataFrame,
    table: str,
    as_json: list[str],
    nodes: "dict[str, pd.DataFrame] | None" = None,
) -> pd.DataFrame:
    """Return what :func:`write_frame` was given; edges without an end are left out.

    Raises
    ------
    KeyError
        A column is not there.
    InputError
        A column of JSON does not hold any.
    """
    columns: dict[str, Any] = {}
    if nodes is not None:
        source, _, target = table.split("-")
        for end, label in (("source", source), ("target", target)):
            columns[end] = _positions(frame[end], nodes[label], is_json=end in as_json)
    for item in properties(table):
        if item.name not in frame:
            continue
        values = frame[item.name]
        try:
            if item.kind in NUMBERS:
                columns[item.name] = values.to_numpy(NUMBERS[item.kind])
            elif item.kind in LISTS:
                columns[item.name] = unpack_lists(values)
            else:
                columns[item.name] = unpack_text(values, is_json=item.name in as_json)
        except (TypeError, ValueError) as error:
            refuse(
                f"{table}: {item.name} does not hold {item.kind} as to_anndata() wrote it "
                f"({error}). Correct it, or convert the graph again."
            )
    found = pd.DataFrame(columns)
    if nodes is not None:
        found = found[(found["source"] >= 0) & (found["target"] >= 0)]
    return found


def _positions(ends: pd.Series, nodes: pd.DataFrame, *, is_json: bool) -> "np.ndarray[Any, Any]":
    """Return row numbers of the nodes that keys name, -1 for those that are not there."""
    named = pd.Categorical(ends)
    keys = unpack_text(named.categories, is_json=is_json)
    places = pd.Index(nodes["key"]).get_indexer(pd.Index(keys, dtype=object))
    found: np.ndarray[Any, Any] = np.append(places, -1)[named.codes].astype(np.int64)
    return found


def _repeated(text: "np.ndarray[Any, Any]") -> Any:
    codes, values = pd.factorize(text)
    if len(values) == len(text):
        return text
    return categorical(codes, values)
