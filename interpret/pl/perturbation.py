"""Plots of in-silico perturbations, from the frames of :func:`scypher.interpret.perturb_genes`."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def transition_matrix(
    table: pd.DataFrame,
    *,
    group: str | None = None,
    beyond_null: bool = False,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot from which state cells move to which, as a heat map.

    Parameters
    ----------
    table
        Columns ``group``, ``from``, ``to``, ``n_cells`` and ``share``, with ``null_share`` where
        asked.
    group
        Group to show; all groups added up when not given.
    beyond_null
        Subtract the mean share of matched changes.
    ax
        Axes to draw in; new ones by default.

    Raises
    ------
    InputError
        The table lacks a column or the group.
    """
    from matplotlib import pyplot as plt

    from .frames import require

    need = ["group", "from", "to", "n_cells", "share"]
    require(table, need + (["null_share"] if beyond_null else []), group=group)
    rows = table if group is None else table[table["group"] == group]
    states = list(dict.fromkeys([*rows["from"], *rows["to"]]))
    place = {state: number for number, state in enumerate(states)}
    # The cells of a state over all groups, so that shares can be added up.
    of = rows.assign(size=rows["n_cells"] / rows["share"].where(rows["share"] > 0))
    size = of.groupby(["group", "from"])["size"].transform("max").fillna(0)
    weight = rows["share"] - (rows["null_share"] if beyond_null else 0)
    total, moved = np.zeros(len(states)), np.zeros((len(states), len(states)))
    origin, target = rows["from"].map(place), rows["to"].map(place)
    np.add.at(moved, (origin.to_numpy(), target.to_numpy()), (weight * size).to_numpy())
    each = of.assign(size=size).drop_duplicates(["group", "from"])
    np.add.at(total, each["from"].map(place).to_numpy(), each["size"].to_numpy())
    matrix = moved / np.where(total > 0, total, 1)[:, None]
    if ax is None:
        side = 2 + 0.35 * len(states)
        ax = plt.subplots(figsize=(side + 1, side), layout="constrained")[1]
    limit = float(np.abs(matrix).max()) or 1.0
    drawn = ax.imshow(
        matrix,
        cmap="RdBu_r" if beyond_null else "Blues",
        vmin=-limit if beyond_null else 0,
        vmax=limit if beyond_null else 1,
        aspect="auto",
    )
    ax.set_xticks(range(len(states)), [str(state) for state in states], rotation=90)
    ax.set_yticks(range(len(states)), [str(state) for state in states])
    ax.set(xlabel="state after", ylabel="state before", title="" if group is None else str(group))
    label = "share of cells, less matched genes" if beyond_null else "share of cells"
    ax.figure.colorbar(drawn, ax=ax, label=label)
    return ax


def predicted_change(
    table: pd.DataFrame,
    group: str,
    *,
    of: str = "expression",
    n_genes: int = 15,
    perturbed: bool = False,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot the genes predicted to change most in a group as bars, dark where p is at most 0.05.

    Parameters
    ----------
    table
        Columns ``group``, ``gene``, ``perturbed``, and ``_change`` and ``_p`` of what is shown.
    group
        Group to show.
    of
        ``expression`` or ``attention``.
    n_genes
        Genes to show.
    perturbed
        Show the genes that were changed themselves too.
    ax
        Axes to draw in; new ones by default.

    Raises
    ------
    InputError
        The table lacks a column or the group.
    """
    from matplotlib import pyplot as plt

    from .frames import require

    change, p = f"{of}_change", f"{of}_p"
    require(table, ["group", "gene", "perturbed", change, p], group=group)
    rows = table[(table["group"] == group) & (perturbed | (table["perturbed"] == 0))]
    order = rows[change].abs().sort_values(ascending=False, kind="stable").index[:n_genes]
    rows = rows.loc[order].sort_values(change, kind="stable")
    if ax is None:
        ax = plt.subplots(figsize=(5, 1 + 0.25 * len(rows)), layout="constrained")[1]
    colours = np.where(rows[p] <= 0.05, "tab:red", "0.7")
    ax.barh(np.arange(len(rows)), rows[change], color=colours)
    ax.set_yticks(np.arange(len(rows)), [str(gene) for gene in rows["gene"]])
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.invert_yaxis()
    ax.set(
        xlabel=f"predicted change of {of}", title=f"{group} (red: p <= 0.05 beside matched genes)"
    )
    return ax
