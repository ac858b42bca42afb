"""The 2-d map of the cells, coloured by state or by label."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from .formats import count
from .svg import colour, drawing, inline, legend

RASTER_FROM = 5_000
"""Cells above which the points become a picture inside the SVG."""

_HANDFUL = 60
_WIDTH = 5.4


def cell_map(
    cells: pd.DataFrame, column: str, groups: list[tuple[str, str, str]], *, key: str, what: str
) -> Markup:
    """Return the map as SVG; groups carry their tag where they lie, the largest drawn first.

    Parameters
    ----------
    cells
        ``x``, ``y`` and the named column, one row per cell; cells without coordinates are not
        drawn.
    column
        Column with the group of each cell; what is not among the groups is grey.
    groups
        Value in the column, tag and name of each group, largest first, at least one.
    key
        Name of the figure in the page.
    what
        What the groups are, in the singular.
    """
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    values, tags, names = map(list, zip(*groups, strict=True))
    placed = cells[np.isfinite(cells["x"]) & np.isfinite(cells["y"])]
    points = placed[["x", "y"]].to_numpy()
    group = pd.Index(values).get_indexer(placed[column])
    sizes = [int((cells[column] == value).sum()) for value in values]
    raster = len(placed) > RASTER_FROM
    area = float(np.clip(12_000 / max(len(placed), 1), 1.0, 40.0))
    with drawing():
        figure = Figure(figsize=(_WIDTH, _WIDTH))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        for position in range(-1, len(values)):
            inside = points[group == position]
            axes.scatter(
                inside[:, 0],
                inside[:, 1],
                s=area,
                color=colour(position),
                linewidths=0,
                rasterized=raster,
            )
        for position, tag in enumerate(tags):
            inside = points[group == position]
            if len(inside):
                axes.annotate(
                    tag,
                    _middle(inside),
                    # Beside a handful of cells, which it would hide.
                    xytext=(0, 0) if len(inside) > _HANDFUL else (11, 8),
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    fontsize=11,
                    fontweight="bold",
                    path_effects=[withStroke(linewidth=3, foreground="white")],
                )
        axes.set_axis_off()
        legend(axes, names, sizes, tags=tags)
        alt = (
            f"Map of {count(len(placed), 'cell')} coloured by {what}; "
            f"{count(len(values), 'group')} tagged at the middle and named in the key."
        )
        return inline(figure, key=key, alt=alt)


def _middle(points: np.ndarray) -> tuple[float, float]:
    """Return the point of a group closest to its median: a tag must lie on its cells."""
    distance = ((points - np.median(points, axis=0)) ** 2).sum(axis=1)
    x, y = points[int(distance.argmin())]
    return float(x), float(y)
