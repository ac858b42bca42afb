"""The dot plot: the best genes of every group across all groups."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from .collect import Group
from .formats import count, name
from .svg import drawing, inline

_CELL = 0.24
_LARGEST = 110.0


def dot_plot(groups: list[Group], genes_each: int, *, key: str) -> Markup | None:
    """Return the dot plot as SVG, ``None`` without markers.

    Rows are groups, columns the best genes of each by consensus; size is the share of cells of the
    group with a count, colour the log2 fold change, from 0 (and below) to the 98th percentile. A
    gene that is not among the kept markers of a group has no dot there.

    Parameters
    ----------
    groups
        Groups in the order of the rows.
    genes_each
        Best genes to take from each group.
    key
        Name of the figure in the page.
    """
    from matplotlib.figure import Figure

    filled = [group for group in groups if len(group.markers)]
    if not filled:
        return None
    best = pd.concat([group.markers.head(genes_each) for group in filled])
    columns = best.drop_duplicates("gene")[["gene", "symbol"]]
    place = {gene: position for position, gene in enumerate(columns["gene"])}
    kept = pd.concat([group.markers.assign(row=row) for row, group in enumerate(filled)])
    kept = kept[kept["gene"].isin(place)]
    fold = kept["log2_fold_change"].clip(lower=0.0)
    width, height = _CELL * (len(columns) + 1), _CELL * (len(filled) + 1)
    with drawing():
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        dots = axes.scatter(
            kept["gene"].map(place),
            kept["row"],
            s=_LARGEST * kept["detected_in"],
            c=fold,
            cmap="YlGnBu",
            vmin=0.0,
            vmax=max(float(np.nanpercentile(fold, 98)) if fold.notna().any() else 1.0, 1e-9),
            edgecolors="#555555",
            linewidths=0.4,
        )
        symbols = [name(symbol) for symbol in columns["symbol"]]
        axes.set_xticks(range(len(symbols)), symbols, rotation=90, style="italic")
        axes.set_yticks(range(len(filled)), [_title(group) for group in filled])
        axes.set_xlim(-0.7, len(symbols) - 0.3)
        axes.set_ylim(len(filled) - 0.3, -0.7)
        axes.tick_params(length=0)
        axes.grid(color="#e8e8e8", linewidth=0.5)
        axes.set_axisbelow(True)
        turn = [row for row in range(1, len(filled)) if filled[row].kind != filled[row - 1].kind]
        for row in turn:
            axes.axhline(row - 0.5, color="#555555", linewidth=0.8)
        bar = figure.add_axes(
            (1.0 + 0.25 / width, max(0.0, 1 - 1.4 / height), 0.12 / width, 1.2 / height)
        )
        figure.colorbar(dots, cax=bar, label="log2 fold change")
        for share in (0.1, 0.5, 1.0):
            axes.scatter([], [], s=_LARGEST * share, c="#888888", label=f"{share:.0%}")
        axes.legend(
            title="cells with a count",
            loc="upper left",
            bbox_to_anchor=(1.0 + 1.0 / width, 1.0),
            frameon=False,
        )
        alt = (
            f"Dot plot of {count(len(symbols), 'gene')} in {count(len(filled), 'group')}: larger "
            "dots are detected in more cells, darker ones have a higher log2 fold change."
        )
        return inline(figure, key=key, alt=alt)


def _title(group: Group) -> str:
    label = f" · {name(group.label)}" if group.label else ""
    return f"{name(group.name)}{label}"
