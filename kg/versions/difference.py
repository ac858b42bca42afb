"""The difference of two graphs, row by row: replayed on the first, it gives the second.

Rows are told apart by what identifies them in the schema: nodes by their key, edges by the keys of
both ends and the properties of their identity. The order of rows is no difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import NODES, Property, edge_tables, edge_type
from .rows import Places, differing, edge_numbers, empty_table, joint_places, match

PARTS = ("removed", "added", "before", "after")
"""Tables of a :class:`TableDifference`."""


@dataclass(frozen=True)
class TableDifference:
    """Rows of one table that differ, whole, with the keys of the ends of edges.

    Attributes
    ----------
    removed, added
        Rows that only the old or only the new graph has.
    before, after
        Rows that both have with other values, in the same order.
    """

    removed: pd.DataFrame
    added: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame

    def inverse(self) -> "TableDifference":
        """Return what leads back."""
        return TableDifference(self.added, self.removed, self.after, self.before)

    def __bool__(self) -> bool:
        """Whether there is a row."""
        return bool(len(self.removed) or len(self.added) or len(self.before))


@dataclass(frozen=True)
class Difference:
    """What turns one graph into another.

    Attributes
    ----------
    tables
        Name of a table (``Label`` or ``Label-TYPE-Label``) -> its difference, where there is one.
    gained, lost
        Names of tables, with rows or without, that only the new or only the old graph has.
    """

    tables: dict[str, TableDifference] = field(default_factory=dict)
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether the graphs differ."""
        return bool(self.tables or self.gained or self.lost)

    def counts(self) -> pd.DataFrame:
        """Return one row per table: ``table, removed, added, changed``."""
        rows = [
            (name, len(table.removed), len(table.added), len(table.before))
            for name, table in self.tables.items()
        ]
        return pd.DataFrame(rows, columns=["table", "removed", "added", "changed"])

    def inverse(self) -> "Difference":
        """Return the difference from the new graph to the old one."""
        tables = {name: table.inverse() for name, table in self.tables.items()}
        return Difference(tables, self.lost, self.gained)

    def apply(self, old: Graph) -> Graph:
        """Return the new graph.

        Raises
        ------
        InputError
            The graph is not the one that the difference starts from: a row to remove or to change
            is not there or has other values, one to add is there, or an edge would lose its end.
        """
        from .replay import replay

        return replay(self, old)

    def write(self, folder: Path) -> None:
        """Write Parquet tables and a JSON file into a new folder, from where it can be sent.

        Raises
        ------
        InputError
            The folder is there and not empty.
        """
        from .sending import write_difference

        write_difference(self, folder)

    @classmethod
    def read(cls, folder: Path) -> "Difference":
        """Read what :meth:`write` wrote.

        Raises
        ------
        InputError
            The folder holds no difference, a damaged one, or one of a newer Scypher.
        """
        from .sending import read_difference

        return read_difference(folder)


def compare(old: Graph, new: Graph) -> Difference:
    """Return the exact difference of two graphs.

    Floats are compared by their bits, except that every ``NaN`` equals every other. Time and
    memory are linear in the rows, but for one sort of each edge table whose rows differ.
    """
    first, second = joint_places(old, new)
    tables: dict[str, TableDifference] = {}
    for node in NODES:
        frames = [graph.nodes.get(node.label, empty_table(node.label)) for graph in (old, new)]
        numbers = [side.get(node.label, np.zeros(0, np.int64)) for side in (first, second)]
        tables[node.label] = _table(frames, numbers, node.properties)
    for key in edge_tables():
        if key not in old.edges and key not in new.edges:
            continue
        frames = [graph.edges.get(key, empty_table("-".join(key))) for graph in (old, new)]
        sides = [
            (
                frame,
                _taken(places, key[0], frame["source"]),
                _taken(places, key[2], frame["target"]),
            )
            for frame, places in zip(frames, (first, second), strict=True)
        ]
        numbers = edge_numbers(key, sides)
        tables["-".join(key)] = _table(
            frames, numbers, edge_type(*key).properties, (old, new), key=key
        )
    names = [set(graph.tables()) for graph in (old, new)]
    return Difference(
        {name: table for name, table in tables.items() if table},
        gained=tuple(sorted(names[1] - names[0])),
        lost=tuple(sorted(names[0] - names[1])),
    )


def _table(
    frames: list[pd.DataFrame],
    numbers: list[np.ndarray],
    properties: Sequence[Property],
    graphs: "tuple[Graph, Graph] | None" = None,
    *,
    key: EdgeKey | None = None,
) -> TableDifference:
    """Return how two tables differ, given a number for the identity of each row."""
    in_old, in_new = match(*numbers)
    # Whole columns are compared where the rows are the same ones, without copies of them.
    whole = len(in_old) == len(frames[0]) == len(frames[1]) and (in_old == in_new).all()
    both = frames if whole else [frames[0].iloc[in_old], frames[1].iloc[in_new]]
    changed = np.flatnonzero(differing(both[0], both[1], properties))
    rows = {
        "removed": (0, np.setdiff1d(np.arange(len(frames[0])), in_old, assume_unique=True)),
        "added": (1, np.setdiff1d(np.arange(len(frames[1])), in_new, assume_unique=True)),
        "before": (0, in_old[changed]),
        "after": (1, in_new[changed]),
    }
    parts = {}
    for part, (side, at) in rows.items():
        frame = frames[side].iloc[at].reset_index(drop=True)
        if key is not None and graphs is not None:
            frame = _keyed(graphs[side], key, frame)
        parts[part] = frame
    return TableDifference(**parts)


def _keyed(graph: Graph, key: EdgeKey, frame: pd.DataFrame) -> pd.DataFrame:
    if not len(frame):
        return frame.astype({"source": object, "target": object})
    return graph.with_keys(key, frame)


def _taken(places: Places, label: str, ends: pd.Series) -> np.ndarray:
    known: np.ndarray = places.get(label, np.zeros(0, np.int64))
    return np.take(known, ends.to_numpy(np.int64))
