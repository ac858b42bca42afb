"""What claims are made of, and what they are asked of."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...kg.build import Parts
from ...kg.graph import EdgeKey


@dataclass
class Claims:
    """Node and edge tables to be added to a graph."""

    nodes: dict[str, pd.DataFrame] = field(default_factory=dict)
    edges: dict[EdgeKey, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A group of cells about which enrichment is asked: label of its node, position, genes."""

    label: str
    position: int
    genes: list[int]


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
