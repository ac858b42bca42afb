"""Which rows of two tables are the same one, by number: no loop over rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import Property, edge_type, node_type

Places = dict[str, np.ndarray]
"""Label -> number of every node; nodes of two graphs with the same key have the same number."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "integer": np.dtype(np.int64),
    "float": np.dtype(np.float64),
    "boolean": np.dtype(np.bool_),
}


def joint_places(old: Graph, new: Graph) -> tuple[Places, Places]:
    """Return one numbering for the nodes of two graphs."""
    first: Places = {label: np.arange(len(frame)) for label, frame in old.nodes.items()}
    second: Places = {}
    for label, frame in new.nodes.items():
        known = old.nodes.get(label)
        place = (
            np.full(len(frame), -1)
            if known is None
            else pd.Index(known["key"]).get_indexer(pd.Index(frame["key"]))
        )
        fresh = place < 0
        place[fresh] = (0 if known is None else len(known)) + np.arange(fresh.sum())
        second[label] = place
    return first, second


def edge_numbers(
    key: EdgeKey, sides: Sequence[tuple[pd.DataFrame, np.ndarray, np.ndarray]]
) -> list[np.ndarray]:
    """Return a number for every edge; edges of the same identity have the same one.

    Parameters
    ----------
    key
        The edge table.
    sides
        Edges with the joint numbers of their sources and targets.
    """
    length = [len(source) for _, source, _ in sides]
    columns = [
        np.concatenate([source for _, source, _ in sides]),
        np.concatenate([target for _, _, target in sides]),
        *(
            pd.factorize(pd.concat([frame[name] for frame, _, _ in sides], ignore_index=True))[0]
            for name in edge_type(*key).identity
        ),
    ]
    number = columns[0].astype(np.int64)
    for column in columns[1:]:
        width = int(column.max(initial=0)) + 1
        if int(number.max(initial=0)) > np.iinfo(np.int64).max // width - 1:
            # As many numbers as rows at most, so that the product fits again.
            number = np.unique(number, return_inverse=True)[1].astype(np.int64)
        number = number * width + column
    return np.split(number, np.cumsum(length)[:-1])


def match(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where numbers that both have stand in the first and in the second.

    Each number is but once in either. The order is that of the second.
    """
    if np.array_equal(first, second):
        place = np.arange(len(first))
        return place, place
    order = np.argsort(first, kind="stable")
    ordered = first[order]
    at = np.searchsorted(ordered, second)
    at[at == len(ordered)] = 0
    both = np.flatnonzero(ordered[at] == second) if len(ordered) else np.zeros(0, np.int64)
    return order[at[both]], both


def differing(old: pd.DataFrame, new: pd.DataFrame, properties: Sequence[Property]) -> np.ndarray:
    """Return which rows differ between two tables of the same rows; ``NaN`` equals ``NaN``."""
    found = np.zeros(len(old), bool)
    for item in properties:
        first, second = old[item.name].to_numpy(), new[item.name].to_numpy()
        if item.kind == "float":
            # By bits: 0.0 and -0.0 are not the same value to a store.
            same = first.view(np.int64) == second.view(np.int64)
            found |= ~(same | (np.isnan(first) & np.isnan(second)))
        else:
            found |= np.asarray(first != second, dtype=bool)
    return found


def empty_table(name: str) -> pd.DataFrame:
    """Return a table of the schema without rows."""
    ends = ["source", "target"] if "-" in name else []
    columns = {column: np.zeros(0, np.int64) for column in ends}
    typed = {
        item.name: np.zeros(0, _DTYPES.get(item.kind, np.dtype(object)))
        for item in properties_of(name)
    }
    return pd.DataFrame(columns | typed)


def properties_of(name: str) -> tuple[Property, ...]:
    """Return the declared properties of the table ``Label`` or ``Label-TYPE-Label``."""
    source, *edge = name.split("-")
    return (edge_type(source, edge[0], edge[1]) if edge else node_type(source)).properties
