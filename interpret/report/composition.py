"""Of what the states are made: stacked bars, one per state."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from .formats import count, integer
from .svg import NONE_COLOUR, colour, drawing, ink, inline, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_VALUES = 17
"""Values with a colour of their own; the rest is drawn together."""

_WIDTH = 7.0
_NUMBERED = 0.045


def composition_bars(
    rows: pd.DataFrame,
    states: list[tuple[str, str, int]],
    values: list[str],
    *,
    key: str,
    what: str,
) -> Markup:
    """Return stacked bars as SVG; a segment wide enough carries the number of its value.

    Parameters
    ----------
    rows
        ``state``, ``label``, ``share``, one row per state and value.
    states
        Key, name and size of each state, first on top.
    values
        Values in the order of their colours, at least one.
    key
        Name of the figure in the page.
    what
        What the values are, in the plural.
    """
    from matplotlib.figure import Figure

    shares = rows.pivot_table(index="state", columns="label", values="share", aggfunc="sum")
    shares = shares.reindex(index=[state for state, _, _ in states], columns=values).fillna(0.0)
    sizes = np.array([size for _, _, size in states])
    table = shares.to_numpy()
    totals = [round(float(total)) for total in sizes @ table]
    names = values
    if len(values) > MOST_VALUES:
        table = np.column_stack([table[:, :MOST_VALUES], table[:, MOST_VALUES:].sum(axis=1)])
        names = [*values[:MOST_VALUES], f"{len(values) - MOST_VALUES} further {what}"]
        totals = [*totals[:MOST_VALUES], sum(totals[MOST_VALUES:])]
    height = 0.3 * len(states) + 0.4
    with drawing():
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        _bars(axes, table)
        axes.set_yticks(
            range(len(states)), [f"{name} ({integer(size)})" for _, name, size in states]
        )
        axes.set_ylim(len(states) - 0.45, -0.55)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        legend(axes, names, totals, below=-0.3 / height)
        alt = (
            f"Stacked bars: share of {count(len(values), 'value')} ({what}) among the cells of "
            f"each of {count(len(states), 'state')}."
        )
        return inline(figure, key=key, alt=alt)


def _bars(axes: "Axes", table: np.ndarray) -> None:
    left = np.zeros(len(table))
    place = np.arange(len(table))
    axes.barh(place, 1.0, height=0.78, color=NONE_COLOUR)
    for value, share in enumerate(table.T):
        own = colour(value)
        axes.barh(place, share, left=left, height=0.78, color=own, edgecolor="white", linewidth=0.5)
        for row in np.flatnonzero(share >= _NUMBERED):
            middle = float(left[row] + share[row] / 2)
            axes.annotate(
                str(value + 1),
                (middle, float(row)),
                ha="center",
                va="center_baseline",
                fontsize=8,
                color=ink(own),
            )
        left += share
