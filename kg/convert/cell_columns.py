"""Edges that lead from a cell to one node as columns of ``obs``."""

from typing import Any, TypedDict

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import METADATA
from .columns import NUMBERS, categorical, pack_text, properties, unpack_text

_NAMES = {"Code": "code", "State": "state"} | {label: field for field, label in METADATA.items()}
"""Label -> name of the column."""


class CellColumns(TypedDict):
    """Where an edge table stands: columns by level of the states (else one), how nodes are named.

    ``named_by`` is the property of the node that stands in the columns; ``is_json`` whether it
    is written as JSON.
    """

    columns: list[str]
    named_by: str
    is_json: bool


def write_cell_columns(graph: Graph) -> tuple[pd.DataFrame, dict[str, CellColumns]]:
    """Return columns for all cells, and by table where it stands.

    A column is categorical: nodes are named by ``name`` or ``label`` where that tells them apart,
    else by ``key``; a cell without an edge has none.
    Properties of the edges stand beside it, as ``<column>_<property>``.
    """
    size = len(graph.nodes.get("Cell", ()))
    columns: dict[str, Any] = {}
    described: dict[str, CellColumns] = {}
    for key, frame in graph.edges.items():
        kinds = {item.kind for item in properties("-".join(key))}
        if key[0] != "Cell" or key[2] not in _NAMES or not kinds <= {"float", "integer"}:
            continue
        levels = _levels(graph, key)
        made: dict[str, Any] = {}
        nodes = graph.nodes[key[2]]
        named_by = _named_by(nodes)
        names, is_json = pack_text(nodes[named_by])
        for column, chosen in levels.items():
            rows = frame[chosen]
            if rows["source"].duplicated().any():
                break
            codes = np.full(size, -1)
            codes[rows["source"]] = rows["target"]
            # Plots of groups stumble over categories that no cell has.
            made[column] = categorical(codes, names).remove_unused_categories()
            for item in properties("-".join(key)):
                made[f"{column}_{item.name}"] = _spread(rows, item.name, size)
        else:
            columns |= made
            described["-".join(key)] = {
                "columns": list(levels),
                "named_by": named_by,
                "is_json": is_json,
            }
    return pd.DataFrame(columns, index=range(size)), described


def read_cell_columns(
    obs: pd.DataFrame, described: dict[str, CellColumns], nodes: dict[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return the edge tables that :func:`write_cell_columns` described, by name.

    Raises
    ------
    KeyError
        A column is not there.
    """
    tables = {}
    for name, where in described.items():
        known = pd.Index(nodes[name.rsplit("-", 1)[1]][where["named_by"]])
        parts = []
        for column in where["columns"]:
            named = pd.Categorical(obs[column])
            texts = unpack_text(named.categories, is_json=where["is_json"])
            places = np.append(known.get_indexer(pd.Index(texts, dtype=object)), -1)
            target = places[named.codes].astype(np.int64)
            rows = np.flatnonzero(target >= 0)
            values = {
                item.name: obs[f"{column}_{item.name}"].iloc[rows].to_numpy(NUMBERS[item.kind])
                for item in properties(name)
            }
            parts.append(pd.DataFrame({"source": rows, "target": target[rows], **values}))
        tables[name] = pd.concat(parts, ignore_index=True)
    return tables


def _levels(graph: Graph, key: EdgeKey) -> "dict[str, Any]":
    """Return which edges stand in which column."""
    frame, column = graph.edges[key], _NAMES[key[2]]
    if key[2] != "State":
        return {column: slice(None)}
    levels = graph.nodes["State"]["level"].to_numpy()[frame["target"]]
    return {f"{column}_{level}": levels == level for level in np.unique(levels)} or {
        f"{column}_1": slice(None)
    }


def _named_by(nodes: pd.DataFrame) -> str:
    for name in ("name", "label"):
        if name in nodes:
            values = nodes[name]
            kind = pd.api.types.infer_dtype(values, skipna=False)
            if kind == "string" and not values.duplicated().any() and not (values == "").any():
                return name
    return "key"


def _spread(rows: pd.DataFrame, name: str, size: int) -> Any:
    """Return a property of the edges per cell, unknown for cells without one."""
    values = rows[name].to_numpy()
    if values.dtype.kind == "f":
        spread: Any = np.full(size, np.nan)
        spread[rows["source"]] = values
        return spread
    whole, missing = np.zeros(size, dtype=values.dtype), np.ones(size, dtype=bool)
    whole[rows["source"]], missing[rows["source"]] = values, False
    return pd.Series(whole, dtype="Int64").mask(missing) if missing.any() else whole
