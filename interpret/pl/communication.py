"""Plots of who talks to whom: dots of pairs by groups, and counts between groups."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from .frames import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST = 160.0


def communication_dotplot(
    table: pd.DataFrame, *, top: int = 20, alpha: float = 0.05, ax: "Axes | None" = None
) -> "Axes":
    """Draw ligand-receptor pairs by two groups, a dot for each with ``q < alpha``.

    Parameters
    ----------
    table
        Result of ``cell_communication`` or ``spot_communication``.
    top
        Pairs to show, those that come first in the table.
    alpha
        Below which q a dot is drawn.
    ax
        Axes to draw on.

    Returns
    -------
    matplotlib.axes.Axes
        Two groups along x, pairs along y, the first at the top; the area of a dot is ``-log10 p``,
        its colour the score.

    Raises
    ------
    InputError
        The table lacks a column, or nothing has such a q.
    """
    import matplotlib.pyplot as plt

    require(table, ["source", "target", "ligand", "receptor", "score", "p", "q"])
    called = table[table["q"] < alpha]
    if not len(called):
        message = (
            f"no pair has q below {alpha} in {len(table)} rows; at least one was expected. Give a "
            "larger alpha, or read the p values in the table."
        )
        raise InputError(message)
    pair = called["ligand"] + " → " + called["receptor"]
    two = called["source"].astype(str) + " → " + called["target"].astype(str)
    pairs = list(dict.fromkeys(pair))[:top]
    shown = pair.isin(pairs)
    columns = sorted(set(two[shown]))
    if ax is None:
        _, ax = plt.subplots(
            figsize=(3.5 + 0.3 * len(columns), 2.2 + 0.25 * len(pairs)), layout="constrained"
        )
    strength = -np.log10(called.loc[shown, "p"].to_numpy(dtype=np.float64))
    most = max(float(strength.max()), 1e-12)
    dots = ax.scatter(
        two[shown].map({name: place for place, name in enumerate(columns)}),
        pair[shown].map({name: place for place, name in enumerate(pairs)}),
        s=_LARGEST * strength / most,
        c=called.loc[shown, "score"],
        cmap="Reds",
        vmin=0,
        edgecolors="0.3",
        linewidths=0.4,
    )
    ax.set_xticks(range(len(columns)), columns, rotation=90)
    ax.set_yticks(range(len(pairs)), pairs)
    ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    ax.set_axisbelow(True)
    ax.grid(color="0.92")
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(dots, ax=ax, label="score", shrink=0.6)
    for value in sorted({max(most / 2, 1e-12), most}):
        ax.scatter([], [], s=_LARGEST * value / most, c="0.6", label=f"{value:.1f}")
    ax.legend(title="-log10 p", loc="upper left", bbox_to_anchor=(0, -0.02), frameon=False)
    ax.set_title(f"ligand → receptor pairs with q < {alpha:g}")
    return ax


def communication_heatmap(
    table: pd.DataFrame, *, verdict: str = "supported", ax: "Axes | None" = None
) -> "Axes":
    """Draw how many ligand-receptor pairs of a verdict lead from each group to each other.

    Parameters
    ----------
    table
        Result of ``cell_communication``.
    verdict
        Which pairs to count: ``supported`` or ``specific_only``.
    ax
        Axes to draw on.

    Returns
    -------
    matplotlib.axes.Axes
        Senders along y, receivers along x, the number in each field.

    Raises
    ------
    InputError
        The table lacks a column or is empty.
    """
    import matplotlib.pyplot as plt

    require(table, ["source", "target", "verdict"])
    groups = list(dict.fromkeys(sorted({*table["source"], *table["target"]})))
    chosen = table[table["verdict"] == verdict]
    counts = (
        pd.crosstab(chosen["source"], chosen["target"])
        .reindex(index=groups, columns=groups, fill_value=0)
        .to_numpy(dtype=np.int64)
    )
    if ax is None:
        side = 2.5 + 0.4 * len(groups)
        _, ax = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    image = ax.imshow(counts, cmap="Reds", vmin=0, vmax=max(int(counts.max()), 1))
    ax.set_xticks(range(len(groups)), [str(group) for group in groups], rotation=90)
    ax.set_yticks(range(len(groups)), [str(group) for group in groups])
    ax.set_xlabel("receives")
    ax.set_ylabel("sends")
    middle = counts.max() / 2
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > middle else "0.2"
        ax.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(image, ax=ax, label=f"{verdict} pairs", shrink=0.7)
    return ax
