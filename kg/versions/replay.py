"""A difference replayed: rows dropped, rows put in, ends of edges moved along."""

from typing import NoReturn

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..graph import EdgeKey, Graph
from ..schema import NODES, edge_tables
from .difference import Difference, TableDifference
from .rows import differing, edge_numbers, empty_table, match, properties_of


def replay(difference: Difference, old: Graph) -> Graph:
    """Return the new graph; see :meth:`Difference.apply`."""
    nodes: dict[str, pd.DataFrame] = {}
    place: dict[str, np.ndarray] = {}
    for node in NODES:
        frame, change = old.nodes.get(node.label), difference.tables.get(node.label)
        if frame is None:
            frame = empty_table(node.label)
        place[node.label] = np.arange(len(frame))
        if change:
            dropped = _stacked([change.removed, change.before])
            at = pd.Index(frame["key"]).get_indexer(pd.Index(dropped["key"]))
            _require(node.label, frame, at, dropped)
            if change.added["key"].isin(frame["key"]).any():
                _other_graph(f"{node.label} has nodes already that it adds")
            frame, place[node.label] = _replaced(frame, at, change)
        nodes[node.label] = frame
    index = {label: pd.Index(frame["key"]) for label, frame in nodes.items()}
    edges = {
        key: _edges(difference, key, old, place, index=index)
        for key in edge_tables()
        if key in old.edges or "-".join(key) in {*difference.tables, *difference.gained}
    }
    return Graph(
        {name: table for name, table in nodes.items() if _stays(difference, name, table, old=old)},
        {
            key: table
            for key, table in edges.items()
            if _stays(difference, "-".join(key), table, old=old)
        },
    )


def _edges(
    difference: Difference,
    key: EdgeKey,
    old: Graph,
    place: dict[str, np.ndarray],
    *,
    index: dict[str, pd.Index],
) -> pd.DataFrame:
    """Return a table of edges with rows replaced and all ends in the new nodes."""
    name = "-".join(key)
    frame, change = old.edges.get(key), difference.tables.get(name)
    if frame is None:
        frame = empty_table(name)
    moved = _ends(
        place[key[0]][frame["source"].to_numpy(np.int64)],
        place[key[2]][frame["target"].to_numpy(np.int64)],
    )
    if not change:
        return _joined(name, frame.assign(**moved))
    dropped = _stacked([change.removed, change.before])
    at = _edge_rows(key, frame, dropped, old)
    _require(name, frame, at, dropped)
    arriving = _stacked([change.after, change.added])
    ends = _ends(
        index[key[0]].get_indexer(pd.Index(arriving["source"])),
        index[key[2]].get_indexer(pd.Index(arriving["target"])),
    )
    kept = np.ones(len(frame), bool)
    kept[at] = False
    rows = [frame.assign(**moved)[kept], arriving.assign(**ends)]
    return _joined(name, _stacked(rows))


def _stays(difference: Difference, name: str, frame: pd.DataFrame, *, old: Graph) -> bool:
    """Return whether a table belongs to the new graph."""
    if name in difference.lost:
        if len(frame):
            _other_graph(f"{name} would have rows left, and none were expected")
        return False
    return name in old.tables() or name in difference.gained or len(frame) > 0


def _edge_rows(key: EdgeKey, frame: pd.DataFrame, wanted: pd.DataFrame, graph: Graph) -> np.ndarray:
    """Return the rows of a table that have the identities of those wanted, -1 where none has."""
    ends = []
    for column, label in (("source", key[0]), ("target", key[2])):
        nodes = graph.nodes.get(label, empty_table(label))
        ends.append(pd.Index(nodes["key"]).get_indexer(pd.Index(wanted[column])))
    found = np.full(len(wanted), -1)
    known = np.flatnonzero((ends[0] >= 0) & (ends[1] >= 0))
    if not len(known) or not len(frame):
        return found
    # Most rows of a large table can be told from those wanted by their source alone.
    asked = np.zeros(len(graph.nodes[key[0]]), bool)
    asked[ends[0][known]] = True
    near = np.flatnonzero(asked[frame["source"].to_numpy()])
    rows = frame.iloc[near]
    numbers = edge_numbers(
        key,
        [
            (rows, rows["source"].to_numpy(), rows["target"].to_numpy()),
            (wanted.iloc[known], ends[0][known], ends[1][known]),
        ],
    )
    at, of = match(*numbers)
    found[known[of]] = near[at]
    return found


def _require(name: str, frame: pd.DataFrame, at: np.ndarray, wanted: pd.DataFrame) -> None:
    """Raise unless the rows are there, with the values that the difference knows of."""
    if (at < 0).any():
        _other_graph(f"{name} lacks {int((at < 0).sum())} rows that it removes or changes")
    wrong = differing(frame.iloc[at], wanted, properties_of(name))
    if wrong.any():
        _other_graph(f"{int(wrong.sum())} rows of {name} have other values")


def _replaced(
    frame: pd.DataFrame, at: np.ndarray, change: TableDifference
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return nodes with rows replaced, and where each old row went, -1 where it is gone."""
    kept = np.ones(len(frame), bool)
    kept[at] = False
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    place[at[len(change.removed) :]] = kept.sum() + np.arange(len(change.after))
    return _stacked([frame[kept], change.after, change.added]), place


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled or frames[:1], ignore_index=True)


def _joined(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame; an edge without an end is of another graph."""
    if len(frame) and int(frame[["source", "target"]].to_numpy(np.int64).min()) < 0:
        _other_graph(f"edges of {name} would lead to a node that is not there")
    return frame


def _ends(source: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    return {"source": source, "target": target}


def _other_graph(problem: str) -> NoReturn:
    message = (
        f"The difference was made from another graph: {problem}. "
        "Apply it to the version that it starts from."
    )
    raise InputError(message)
