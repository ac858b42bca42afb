"""One step of a statement: how many rows it passes through, and what would make it smaller."""

from dataclasses import dataclass

from ..graph import EdgeKey
from .statistics import EdgeStatistics

START = "Start from a key, a name or a label, or cut the rows before by WITH … LIMIT."
PRODUCT = "Join the patterns by a variable that they share, or start each from a key."
HOP = (
    "Start from a key (of a cell, a gene, a state or a module), name the relationship type and "
    "the label at its end, or cut the rows before by WITH … LIMIT."
)
LONG = "Give the path a small upper bound, such as *..3, and a direction, or use shortestPath."
LIST = "Make the list or the range shorter."


@dataclass(frozen=True)
class Hub:
    """The greatest hub of an edge table, at the end from which a step walks."""

    table: EdgeKey
    out: bool
    largest: int

    @classmethod
    def of(cls, table: EdgeKey, statistics: EdgeStatistics, *, out: bool) -> "Hub":
        """Return the hub of a table."""
        end = statistics.sources if out else statistics.targets
        return cls(table, out, end.largest)


@dataclass(frozen=True)
class Step:
    """A step: its text, the rows it passes through, the hub it goes through, what to narrow."""

    text: str
    rows: float
    hub: Hub | None
    advice: str
