"""Plots of modules: their genes' co-variation, their sizes and evidence, agreement of methods."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from .frames import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def module_heatmap(
    pairs: pd.DataFrame, membership: pd.DataFrame, *, top: int = 10, ax: "Axes | None" = None
) -> "Axes":
    """Draw the correlation of the strongest genes of each module with each other.

    Parameters
    ----------
    pairs
        ``pairs`` of one context of :func:`~scypher.interpret.modules.contexts.gene_modules`; what
        it does not list is drawn as 0.
    membership
        ``membership`` of that context.
    top
        Genes of each module, by hub rank.
    ax
        Axes to draw on.

    Raises
    ------
    InputError
        A column is missing, or there is no module.
    """
    import matplotlib.pyplot as plt

    require(pairs, ("source", "target", "correlation"))
    require(membership, ("name", "gene", "position", "hub_rank"))
    shown = membership[membership["hub_rank"] <= top].reset_index(drop=True)
    n = len(shown)
    place = pd.Series(np.arange(n), index=shown["position"])
    if place.index.has_duplicates:
        message = (
            "a gene is in two modules; the modules of one context were expected; choose the rows "
            "of one context."
        )
        raise InputError(message)
    row, column = pairs["source"].map(place), pairs["target"].map(place)
    inside = (row.notna() & column.notna()).to_numpy()
    square = np.eye(n)
    at = row[inside].to_numpy(dtype=int), column[inside].to_numpy(dtype=int)
    square[at] = square[at[::-1]] = pairs["correlation"].to_numpy()[inside]
    if ax is None:
        _, ax = plt.subplots(figsize=(2 + 0.14 * n, 1.5 + 0.14 * n), layout="constrained")
    limit = float(np.abs(square[~np.eye(n, dtype=bool)]).max(initial=0.1))
    image = ax.imshow(square, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_xticks(np.arange(n), shown["gene"], rotation=90, fontsize=6)
    ax.set_yticks(np.arange(n), shown["name"] + "  " + shown["gene"], fontsize=6)
    ax.figure.colorbar(image, ax=ax, label="correlation", shrink=0.6)
    return ax


def module_evidence(modules: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the mean correlation of each module beside that of random genes of like expression.

    Parameters
    ----------
    modules
        ``modules`` of :func:`~scypher.interpret.modules.contexts.gene_modules`.
    ax
        Axes to draw on.

    Raises
    ------
    InputError
        A column is missing, or there is no module.
    """
    import matplotlib.pyplot as plt

    require(modules, ("name", "size", "mean_weight", "null_weight", "null_q"))
    n = len(modules)
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 1 + 0.22 * n), layout="constrained")
    y = np.arange(n)
    ax.barh(y, modules["mean_weight"], color="#3b6fb6", label="module")
    ax.plot(modules["null_weight"], y, "k|", markersize=9, label="genes of like expression")
    names = modules["name"] + " (" + modules["size"].astype(str) + " genes)"
    mark = np.where(modules["null_q"] < 0.05, " *", "")
    ax.set_yticks(y, names + mark)
    ax.invert_yaxis()
    ax.set_xlabel("mean correlation; * q < 0.05")
    ax.legend(frameon=False)
    return ax


def method_agreement(agreement: pd.DataFrame, *, ax: "Axes | None" = None) -> "Axes":
    """Draw how well each method ranks the links of a resource, over random, side by side.

    Parameters
    ----------
    agreement
        Result of :func:`~scypher.interpret.networks.agreement.network_agreement`.
    ax
        Axes to draw on.

    Raises
    ------
    InputError
        A column is missing, or there is no method.
    """
    import matplotlib.pyplot as plt

    require(agreement, ("method", "auprc_ratio", "early_ratio"))
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    x = np.arange(len(agreement))
    ax.bar(x - 0.2, agreement["auprc_ratio"], 0.4, label="AUPRC", color="#3b6fb6")
    ax.bar(x + 0.2, agreement["early_ratio"], 0.4, label="early precision", color="#d98c3f")
    ax.axhline(1, color="k", linewidth=0.8, linestyle=":")
    ax.set_xticks(x, agreement["method"], rotation=30, ha="right")
    ax.set_ylabel("times random")
    ax.legend(frameon=False)
    return ax
