"""Plots of similar genes, from the frame of :func:`scypher.interpret.nearest_genes`."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gene_neighbours(
    table: pd.DataFrame, *, n_genes: int = 20, alpha: float = 0.05, ax: "Axes | None" = None
) -> "Axes":
    """Plot the neighbours of a gene as bars of cosine, with the mean of null genes as a dot.

    Parameters
    ----------
    table
        Columns ``gene``, ``rank``, ``similarity``, ``null_mean``, ``null_sd`` and ``q``, of one
        gene asked about or of one analogy.
    n_genes
        Nearest to show.
    alpha
        Greatest q of a coloured bar.
    ax
        Axes to draw in; new ones by default.

    Raises
    ------
    InputError
        The table lacks a column.
    """
    from matplotlib import pyplot as plt

    from .frames import require

    require(table, ["gene", "rank", "similarity", "null_mean", "null_sd", "q"])
    rows = table.nsmallest(n_genes, "rank")
    if ax is None:
        ax = plt.subplots(figsize=(5, 1 + 0.25 * len(rows)), layout="constrained")[1]
    at = np.arange(len(rows))
    ax.barh(at, rows["similarity"], color=np.where(rows["q"] <= alpha, "tab:blue", "0.8"))
    ax.errorbar(
        rows["null_mean"], at, xerr=rows["null_sd"], fmt=".", color="0.2", label="genes like it"
    )
    ax.set_yticks(at, [str(gene) for gene in rows["gene"]])
    ax.invert_yaxis()
    query = f" to {table['query'].iloc[0]}" if "query" in table and len(table) else ""
    ax.set(xlabel=f"cosine{query}", title=f"blue: q <= {alpha:g}")
    ax.legend(loc="best", fontsize=8)
    return ax
