"""Deletion and insertion: does the state of a cell rest on the genes it attends to?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from ..statistics import Floats, tidy
from .asked import Asked, Edges, Explained, ask_states, own
from .ranks import matched_bins, place_in_cell, shuffle_within

SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
"""Shares of the genes of a cell that are removed or added."""

N_RANDOM = 3
"""Draws of expression-matched random orders."""


@dataclass(frozen=True)
class Curves:
    """Deletion and insertion curves.

    Attributes
    ----------
    points
        ``order`` (attention, random, expression, gradients), ``direction`` (deletion, insertion),
        ``share`` of genes removed or added in [0, 1], ``probability`` of the own state and
        ``log_probability`` (nats), means over the sampled cells.
    areas
        ``order, direction, area`` of the probability over the share, in [0, 1], and
        ``log_area`` of the log probability, nats.
    by_state
        ``state, n_cells, deletion_over_random, insertion_over_random, all_genes, no_genes``: gains
        in area of attention over matched random genes; probability with all genes and with none.
    """

    points: pd.DataFrame
    areas: pd.DataFrame
    by_state: pd.DataFrame

    def area(self, order: str, direction: str) -> float:
        """Return the area under one curve of the probability."""
        found = self.areas
        chosen = (found["order"] == order) & (found["direction"] == direction)
        return float(found.loc[chosen, "area"].iloc[0])

    def gain(self, direction: str, other: str) -> float:
        """Return how much better attention is than another order, in area, [-1, 1].

        A good order makes the deletion curve fall early and the insertion curve rise early.
        """
        difference = self.area("attention", direction) - self.area(other, direction)
        return -difference if direction == "deletion" else difference


def curves(
    asked: Asked,
    explained: Explained,
    edges: Edges,
    *,
    rng: np.random.Generator,
    gradients: NDArray[Any] | None = None,
) -> Curves:
    """Remove and add the genes of each cell in four orders and follow its own state.

    Deletion and insertion (Petsiuk 2018, BMVC 151; Samek 2017, IEEE TNNLS 28:2660): the genes of a
    cell are removed from all, or added to none, by descending attention, integrated gradient,
    expression value, or at random. A random order holds, at each place, a random gene of the cell
    of the same bin of mean expression and detection as the attended gene of that place, so that
    what is left of the gain is not expression. The probability of a state is the sum of those of
    its codes, the cell's own code withheld; its area over the share of genes is by trapezoids.

    Parameters
    ----------
    asked
        The trained network.
    explained, edges
        The cells, and the edges of those sampled.
    rng
        Source of the random orders.
    gradients
        (n_edges,) integrated gradients; left out when not given.
    """
    used = np.unique(edges.gene)
    bins = matched_bins(explained.mean, explained.detection, used)
    matched = edges.cell * (int(bins.max(initial=0)) + 1) + bins[edges.gene]
    orders: dict[str, list[NDArray[Any]]] = {
        "attention": [edges.attention],
        "random": [shuffle_within(matched, edges.attention, rng) for _ in range(N_RANDOM)],
        "expression": [edges.value],
    }
    if gradients is not None:
        orders["gradients"] = [gradients]
    ends = [
        own(ask_states(asked, explained, edges, keep), explained, edges.rows)
        for keep in (np.ones(len(edges.cell), bool), np.zeros(len(edges.cell), bool))
    ]
    found = {
        (name, direction): np.mean(
            [_follow(asked, explained, edges, score, direction, ends) for score in scores], axis=0
        )
        for name, scores in orders.items()
        for direction in ("deletion", "insertion")
    }
    return _curves(found, explained.state[edges.rows])


def _follow(
    asked: Asked,
    explained: Explained,
    edges: Edges,
    score: NDArray[Any],
    direction: str,
    ends: list[Floats],
) -> Floats:
    """Return (2, n_shares, n_rows): probability and log probability of the own state."""
    place, count = place_in_cell(edges.cell, score), edges.count
    everything, nothing = ends
    rows = []
    for share in SHARES:
        first = place < np.rint(share * count)[edges.cell]
        if share in (0.0, 1.0):
            full = (share == 1.0) == (direction == "insertion")
            rows.append(everything if full else nothing)
            continue
        keep = first if direction == "insertion" else ~first
        rows.append(own(ask_states(asked, explained, edges, keep), explained, edges.rows))
    log_probability = np.stack(rows)
    return np.stack([np.exp(log_probability), log_probability])


def _curves(found: dict[tuple[str, str], Floats], state: NDArray[Any]) -> Curves:
    points, areas, of_cell = [], [], {}
    for (name, direction), values in found.items():
        mean = values.mean(axis=2)
        points.append(
            tidy(
                {
                    "order": np.full(len(SHARES), name),
                    "direction": np.full(len(SHARES), direction),
                    "share": np.array(SHARES),
                    "probability": mean[0],
                    "log_probability": mean[1],
                }
            )
        )
        area, log_area = (float(trapezoid(line, SHARES)) for line in mean)
        areas.append({"order": name, "direction": direction, "area": area, "log_area": log_area})
        of_cell[name, direction] = trapezoid(values[0], SHARES, axis=0)
    deletion = found["attention", "deletion"][0]
    per_cell = pd.DataFrame(
        {
            "state": state,
            "deletion_over_random": of_cell["random", "deletion"]
            - of_cell["attention", "deletion"],
            "insertion_over_random": of_cell["attention", "insertion"]
            - of_cell["random", "insertion"],
            "all_genes": deletion[0],
            "no_genes": deletion[-1],
        }
    )
    grouped = per_cell.groupby("state")
    by_state = grouped.mean()
    by_state.insert(0, "n_cells", grouped.size())
    return Curves(pd.concat(points, ignore_index=True), pd.DataFrame(areas), by_state.reset_index())
