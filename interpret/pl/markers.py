"""Plots of marker genes, from the frame of :func:`scypher.interpret.marker_genes`."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rank_genes_groups(
    table: pd.DataFrame,
    group: str,
    *,
    score: str = "z",
    n_genes: int = 20,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot the best genes of a group as their names, at the height of a score.

    Parameters
    ----------
    table
        Columns ``group``, ``gene``, ``rank`` and that of the score.
    group
        Group to show.
    score
        Column to plot, such as ``z``, ``auroc`` or ``log2_fold_change``.
    n_genes
        Best ranks to show.
    ax
        Axes to draw in; new ones by default.

    Raises
    ------
    InputError
        The table has no such group or column.
    """
    from matplotlib import pyplot as plt

    from .frames import require

    require(table, ["group", "gene", "rank", score], group=group)
    rows = table[table["group"] == group].nsmallest(n_genes, "rank")
    ax = ax or plt.subplots()[1]
    values = rows[score].to_numpy(dtype=float)
    ax.plot(rows["rank"], values, marker=".", linestyle="", color="0.6")
    for place, value, gene in zip(rows["rank"], values, rows["gene"], strict=True):
        ax.text(place, value, f" {gene}", rotation=90, ha="center", va="bottom", fontsize=8)
    ax.margins(y=0.25)
    ax.set(xlabel="rank", ylabel=score.replace("_", " "), title=str(group))
    return ax


def dotplot(
    table: pd.DataFrame,
    *,
    n_genes: int = 4,
    colour: str = "log2_fold_change",
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot the best genes of all groups: area by the share detected, colour by effect.

    Parameters
    ----------
    table
        Columns ``group``, ``gene``, ``rank``, ``detected_in`` and that of the colour, of all genes.
    n_genes
        Best ranks of each group to show.
    colour
        Column that gives the colour.
    ax
        Axes to draw in; new ones by default.

    Raises
    ------
    InputError
        The table lacks a column.
    """
    from matplotlib import pyplot as plt

    from .frames import require

    require(table, ["group", "gene", "rank", "detected_in", colour])
    best = table[table["rank"] <= n_genes].sort_values(["group", "rank"], kind="stable")
    groups = list(dict.fromkeys(best["group"]))
    genes = list(dict.fromkeys(best["gene"]))
    shown = table[table["gene"].isin(genes) & table["group"].isin(groups)]
    if ax is None:
        size = (2 + 0.25 * len(genes), 1.5 + 0.3 * len(groups))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    limit = float(np.abs(shown[colour]).max()) or 1.0
    drawn = ax.scatter(
        shown["gene"].map(genes.index),
        shown["group"].map(groups.index),
        s=120 * shown["detected_in"],
        c=shown[colour],
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
    )
    ax.set_xticks(range(len(genes)), genes, rotation=90)
    ax.set_yticks(range(len(groups)), [str(group) for group in groups])
    ax.invert_yaxis()
    ax.set_title("area: share of cells that detect the gene", fontsize=8)
    ax.figure.colorbar(drawn, ax=ax, label=colour.replace("_", " "))
    return ax
