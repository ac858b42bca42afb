"""What claims are made of, and what they are asked of."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...kg.build import Parts
from ...kg.graph import EdgeKey
from ...kg.states import States


@dataclass
class Claims:
    """Node and edge tables to be added to a graph."""

    nodes: dict[str, pd.DataFrame] = field(default_factory=dict)
    edges: dict[EdgeKey, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Genes of a node about which enrichment is asked.

    Attributes
    ----------
    label, position
        Of the node.
    genes
        Positions, best first.
    what
        What the genes are.
    """

    label: str
    position: int
    genes: list[int]
    what: str


def donors_of(parts: Parts) -> np.ndarray | None:
    """Return the donor of each cell (-1 unknown), ``None`` when fewer than two are known."""
    donor = parts.metadata.get("donor")
    if donor is None or len(donor.labels) < 2:
        return None
    return donor.values


def n_donors_of(parts: Parts) -> int:
    """Return the number of donors, 0 when unknown."""
    donor = parts.metadata.get("donor")
    return 0 if donor is None else len(donor.labels)


def by_level(states: States) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return, for each level, the rows of its states and the place among them of each cell.

    Cells without a state of a level have -1.
    """
    levels = states.table["level"].to_numpy()
    for level in sorted(set(levels)):
        rows = np.flatnonzero(levels == level)
        member = states.cell[:, level - 1]
        yield rows, np.where(member >= 0, np.searchsorted(rows, member), -1)


def values_of(parts: Parts, field: str) -> np.ndarray | None:
    """Return the values of a field of metadata, ``None`` where it is unknown."""
    found = parts.metadata.get(field)
    return None if found is None else found.values
