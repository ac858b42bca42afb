"""What to send when a piece takes the place of another one: the rows that differ."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import edge_type, node_type


@dataclass(frozen=True)
class Delta:
    """Rows that lead from one piece of a data set to another; shared nodes are not among them.

    Attributes
    ----------
    written
        Label -> positions in the new table of nodes that are new or have other properties.
    deleted
        Label -> keys of nodes that the new piece lacks.
    created
        Edge table -> positions in the new table of edges to create.
    removed
        Edge table -> positions in the old table of edges to delete: those that are gone, and those
        with other properties, which are created again.
    """

    written: dict[str, np.ndarray] = field(default_factory=dict)
    deleted: dict[str, list[str]] = field(default_factory=dict)
    created: dict[EdgeKey, np.ndarray] = field(default_factory=dict)
    removed: dict[EdgeKey, np.ndarray] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows to send."""
        tables = (self.written, self.deleted, self.created, self.removed)
        return sum(len(rows) for table in tables for rows in table.values())


def difference(old: Graph, new: Graph) -> Delta:
    """Return what leads from ``old`` to ``new``, two pieces of the same data set."""
    delta = Delta()
    for label in {**old.nodes, **new.nodes}:
        if label == "Dataset" or node_type(label).owned:
            first, second = _node_tables(old, new, label)
            place = pd.Index(first["key"]).get_indexer(pd.Index(second["key"]))
            delta.written[label] = np.flatnonzero(changed_rows(first, second, place))
            kept = np.zeros(len(first), bool)
            kept[place[place >= 0]] = True
            delta.deleted[label] = first["key"][~kept].tolist()
    for key in {**old.edges, **new.edges}:
        gone, come = _edges(old, new, key)
        delta.removed[key], delta.created[key] = gone, come
    return delta


def changed_rows(old: pd.DataFrame, new: pd.DataFrame, place: np.ndarray) -> np.ndarray:
    """Return which rows of ``new`` differ from the row of ``old`` at ``place`` (-1: there is none).

    Unknown values (``NaN``, ``None``) are equal to each other.
    """
    changed = place < 0
    found = np.flatnonzero(~changed)
    if len(found):
        rows = place[found]
        differs = np.zeros(len(found), bool)
        for column in new:
            first, second = old[column].to_numpy()[rows], new[column].to_numpy()[found]
            unequal = np.asarray(first != second, dtype=bool)
            if first.dtype.kind == "f":
                unequal &= ~(np.isnan(first) & np.isnan(second))
            differs |= unequal
        changed[found] = differs
    return changed


def _node_tables(old: Graph, new: Graph, label: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = [graph.nodes.get(label) for graph in (old, new)]
    first, second = ((tables[1 - i] if t is None else t) for i, t in enumerate(tables))
    assert first is not None
    assert second is not None
    return (
        first if tables[0] is not None else first[:0],
        second if tables[1] is not None else second[:0],
    )


def _edges(old: Graph, new: Graph, key: EdgeKey) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of edges to remove from the old table and to create of the new one."""
    first, second = old.edges.get(key), new.edges.get(key)
    if first is None or second is None:
        return np.arange(0 if first is None else len(first)), np.arange(
            0 if second is None else len(second)
        )
    names = list(edge_type(*key).properties)
    columns = [item.name for item in names]
    mine, theirs = _identities(old, new, key)
    place = pd.Index(mine).get_indexer(pd.Index(theirs))
    changed = changed_rows(first[columns], second[columns], place)
    stays = np.zeros(len(first), bool)
    stays[place[~changed]] = True
    return np.flatnonzero(~stays), np.flatnonzero(changed)


def _identities(old: Graph, new: Graph, key: EdgeKey) -> tuple[np.ndarray, np.ndarray]:
    """Return one number per edge of both tables; equal edges have equal numbers."""
    first, second = old.edges[key], new.edges[key]
    codes = [np.zeros(len(first), np.int64), np.zeros(len(second), np.int64)]

    def add(old_codes: np.ndarray, new_codes: np.ndarray, size: int) -> None:
        # The numbers so far may not leave room for another factor.
        both, distinct = pd.factorize(np.concatenate(codes))
        codes[0], codes[1] = both[: len(first)], both[len(first) :]
        assert len(distinct) * max(size, 1) < 2**63
        codes[0] = codes[0] * size + old_codes
        codes[1] = codes[1] * size + new_codes

    for column, label in (("source", key[0]), ("target", key[2])):
        index, distinct = pd.factorize(
            np.concatenate([old.nodes[label]["key"], new.nodes[label]["key"]])
        )
        size = len(old.nodes[label])
        add(
            index[:size][first[column].to_numpy()],
            index[size:][second[column].to_numpy()],
            len(distinct),
        )
    for name in edge_type(*key).identity:
        index, distinct = pd.factorize(np.concatenate([first[name], second[name]]))
        add(index[: len(first)], index[len(first) :], len(distinct))
    return codes[0], codes[1]
