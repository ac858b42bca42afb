"""Plots of enriched gene sets: dots of sets by groups, bars of one group, a running sum."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from .frames import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST, _WIDEST = 180.0, 48


def enrichment_dotplot(
    table: pd.DataFrame,
    *,
    size: str | None = None,
    top: int = 5,
    groups: Sequence[str] | None = None,
    alpha: float = 0.05,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw sets by groups, a dot for each with ``q <= alpha``, dark where q is small.

    Dots of a ranked result are red at the upper end of the ranking and blue at the lower end.

    Parameters
    ----------
    table
        Result of ``gene_set_enrichment``, ``enrich`` or ``enrich_ranked``.
    size
        Column that the area of a dot stands for, such as ``overlap`` or ``odds_ratio``; by default
        ``overlap``, or ``|nes|`` of a ranked result.
    top
        Sets with the smallest p to show of each group.
    groups
        Groups to show, in this order; all by default.
    alpha
        Greatest q of a dot.
    ax
        Axes to draw on.

    Returns
    -------
    matplotlib.axes.Axes
        Groups along x, sets along y, the best of the first group at the top.

    Raises
    ------
    InputError
        The table lacks a column or has nothing of that q.
    """
    import matplotlib.pyplot as plt

    size = size or ("overlap" if "overlap" in table else "nes")
    require(table, ["query", "name", "p", "q", size])
    order = list(dict.fromkeys(table["query"])) if groups is None else list(groups)
    rows = _significant(table[table["query"].isin(order)], alpha)
    best = rows.sort_values(["p", "name"], kind="stable").groupby("query", sort=False).head(top)
    place = {group: number for number, group in enumerate(order)}
    best = best.iloc[np.argsort(best["query"].map(place), kind="stable")]
    sets = list(dict.fromkeys(best["name"]))
    shown = rows[rows["name"].isin(sets)]
    if ax is None:
        _, ax = plt.subplots(
            figsize=(3.5 + 0.4 * len(order), 1.2 + 0.25 * len(sets)), layout="constrained"
        )
    colour = _strength(shown["q"])
    if "nes" in shown:
        colour = colour * np.sign(shown["nes"].fillna(0).to_numpy())
    most = max(float(np.abs(colour).max()), 1e-12)
    strength = shown[size].abs().to_numpy(dtype=np.float64)
    scale = _LARGEST / max(float(strength.max()), 1e-12)
    dots = ax.scatter(
        shown["query"].map(place),
        shown["name"].map({name: number for number, name in enumerate(sets)}),
        s=strength * scale,
        c=colour,
        cmap="RdBu_r" if "nes" in shown else "Reds",
        vmin=-most if "nes" in shown else 0,
        vmax=most,
        edgecolors="0.3",
        linewidths=0.4,
    )
    ax.set_xticks(range(len(order)), order, rotation=90)
    ax.set_yticks(range(len(sets)), [_short(name) for name in sets])
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.set_ylim(len(sets) - 0.4, -0.6)
    ax.set_xlabel("group")
    ax.figure.colorbar(
        dots,
        ax=ax,
        label="-log10 q times sign of nes" if "nes" in shown else "-log10 q",
        shrink=0.6,
    )
    measured: Callable[[Any], Any] = lambda area: area / scale  # noqa: E731
    handles, labels = dots.legend_elements(prop="sizes", num=3, func=measured, color="0.5")
    name = "|nes|" if size == "nes" else size.replace("_", " ")
    ax.legend(handles, labels, title=name, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


def enrichment_barplot(
    table: pd.DataFrame,
    group: str,
    *,
    top: int = 10,
    alpha: float = 0.05,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the sets of one group with the smallest p as bars.

    Parameters
    ----------
    table
        Result of ``gene_set_enrichment``, ``enrich`` or ``enrich_ranked``.
    group
        Value of ``query``.
    top
        Sets to show.
    alpha
        Bars of a greater q are pale.
    ax
        Axes to draw on.

    Returns
    -------
    matplotlib.axes.Axes
        -log10 q along x, with a dashed line at ``alpha``; or ``nes`` of a ranked result, whose q
        is bounded by the number of draws, blue where the set is at the lower end.

    Raises
    ------
    InputError
        The table lacks a column or the group.
    """
    import matplotlib.pyplot as plt

    require(table, ["query", "name", "p", "q"])
    rows = table[table["query"] == group].sort_values(["p", "name"], kind="stable").head(top)
    if rows.empty:
        known = ", ".join(map(str, table["query"].unique()[:10])) or "none"
        message = (
            f"there is no row of the group {group!r}; expected one of: {known}; name one of them."
        )
        raise InputError(message)
    if ax is None:
        _, ax = plt.subplots(figsize=(6, 0.8 + 0.28 * len(rows)), layout="constrained")
    ranked = "nes" in rows
    length = rows["nes"].fillna(0).to_numpy() if ranked else _strength(rows["q"])
    bars = ax.barh(np.arange(len(rows)), length, color=np.where(length < 0, "tab:blue", "tab:red"))
    for bar, q in zip(bars, rows["q"], strict=True):
        bar.set_alpha(1.0 if q <= alpha else 0.35)
    if ranked:
        ax.axvline(0, color="0.3", linewidth=0.8)
    else:
        ax.axvline(-np.log10(alpha), color="0.3", linestyle="--", linewidth=1)
    ax.set_yticks(np.arange(len(rows)), [_short(name) for name in rows["name"]])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("normalised enrichment score" if ranked else "-log10 q")
    ax.set_title(group)
    return ax


def running_sum(curve: pd.DataFrame, *, title: str = "", ax: "Axes | None" = None) -> "Axes":
    """Draw the running sum of one set down a ranking, a tick for each of its genes.

    Parameters
    ----------
    curve
        Result of :func:`~scypher.interpret.gene_sets.ranked_enrichment.running_enrichment`.
    title
        Name of the set.
    ax
        Axes to draw on.

    Returns
    -------
    matplotlib.axes.Axes
        Rank along x; the enrichment score is marked by a dashed line.

    Raises
    ------
    InputError
        The frame lacks a column.
    """
    import matplotlib.pyplot as plt

    require(curve, ["rank", "hit", "running_sum"])
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    ax.plot(curve["rank"], curve["running_sum"], color="tab:green")
    ax.axhline(0, color="0.3", linewidth=0.8)
    peak = int(curve["running_sum"].abs().to_numpy().argmax())
    score = float(curve["running_sum"].iloc[peak])
    ax.axhline(score, color="tab:red", linestyle="--", linewidth=0.8)
    ax.vlines(
        curve["rank"][curve["hit"] == 1],
        *(0.0, 0.06),
        transform=ax.get_xaxis_transform(),
        color="0.2",
        linewidth=0.6,
    )
    ax.set_xlabel("rank")
    ax.set_ylabel("running sum")
    ax.set_title(f"{title} (enrichment score {score:.2f})".strip())
    return ax


def _strength(q: "pd.Series[float]") -> np.ndarray:
    return np.abs(np.log10(q.to_numpy(dtype=np.float64)))


def _short(name: str) -> str:
    words = str(name).replace("_", " ")
    return words if len(words) <= _WIDEST else words[: _WIDEST - 1] + "…"


def _significant(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    rows = table[table["q"] <= alpha]
    if rows.empty:
        message = (
            f"no set of {len(table)} has q <= {alpha}; expected at least one to draw; raise alpha, "
            "or read the table."
        )
        raise InputError(message)
    return rows
