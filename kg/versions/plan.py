"""The next version of a graph, worked out from its ledger and the node tables of its pieces."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import pandas as pd

from ..door.statistics import measure
from ..graph import Graph
from ..schema import SCHEMA_VERSION, node_type
from .ledger import Entry, Ledger, Version
from .pieces import SHARED, standing_nodes

Archive = Callable[[str, "list[str] | None", "list[str] | None"], dict[str, pd.DataFrame]]
"""Returns tables of a kept piece, given its hash, names of tables and columns (all if None)."""


@dataclass(frozen=True)
class Plan:
    """What a write would do: read the ledger and the archive, change nothing.

    Parameters
    ----------
    ledger
        The ledger before.
    archive
        Where the pieces of the ledger are.
    new
        Pieces that the archive does not need to have, by hash.
    """

    ledger: Ledger
    archive: Archive
    new: dict[str, Graph]

    def changes(self, entries: tuple[Entry, ...]) -> bool:
        """Return whether data sets and their order make another graph than the current one."""
        old = self.ledger.entries
        if {(item.dataset, item.piece) for item in old} != {
            (item.dataset, item.piece) for item in entries
        }:
            return True
        if [item.dataset for item in old] == [item.dataset for item in entries]:
            return False
        # The order differs: of shared nodes, other rows might stand now.
        return not all(
            _equal_nodes(
                standing_nodes([self._nodes(item, label) for item in old]),
                standing_nodes([self._nodes(item, label) for item in entries]),
            )
            for label in SHARED
        )

    def next(self, entries: tuple[Entry, ...], action: str) -> Ledger:
        """Return the ledger with a version of these data sets at its end."""
        previous = self.ledger.current
        statistics = {piece: measure(graph).to_dict() for piece, graph in self.new.items()}
        version = Version(
            number=previous.number + 1 if previous else 1,
            time=now(),
            action=action,
            code_version=metadata.version("scypher"),
            schema=SCHEMA_VERSION,
            entries=entries,
            counts=self._counts(entries, self.ledger.statistics | statistics),
        )
        return self.ledger.followed_by(version, statistics)

    def _counts(self, entries: tuple[Entry, ...], statistics: dict[str, Any]) -> dict[str, int]:
        """Return rows per table: edges and owned nodes of pieces add up, shared nodes do not."""
        counts: dict[str, int] = {}
        for entry in entries:
            for name, rows in statistics[entry.piece]["rows"].items():
                counts[name] = counts.get(name, 0) + rows
        if len(entries) > 1:
            for label in set(SHARED) & counts.keys():
                keys = [self._nodes(entry, label, ["key"])["key"] for entry in entries]
                counts[label] = int(pd.concat(keys).nunique())
        return counts

    def _nodes(self, entry: Entry, label: str, columns: list[str] | None = None) -> pd.DataFrame:
        if entry.piece in self.new:
            tables = self.new[entry.piece].nodes
        else:
            tables = self.archive(entry.piece, [label], columns)
        empty = pd.DataFrame({item.name: [] for item in node_type(label).properties}, dtype=object)
        return tables.get(label, empty)


def now() -> str:
    """Return the time as ISO text in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _equal_nodes(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Return whether two tables of nodes hold the same rows, in any order."""
    if len(first) != len(second):
        return False
    ordered = first.set_index("key").sort_index()
    return ordered.equals(second.set_index("key").sort_index())
