"""The figure of an evaluation: macro F1 of every encoder on every data set."""

from pathlib import Path

import numpy as np
import pandas as pd

GREY = "#9a9a9a"
COLOURS = ("#1f5fa8", "#d1711c", "#2f8a57", "#8a3fa0", "#b3303a", "#11808f")
MARKERS = ("o", "s", "^", "D", "v", "P")


def draw_f1(means: pd.DataFrame, path: Path) -> None:
    """Draw macro F1 with its interval, plain methods in grey, and write it as SVG.

    Parameters
    ----------
    means
        Rows of macro F1 as of :func:`~scypher.encoders.evaluation.frame.summarise`.
    path
        File to write; the same values give the same bytes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(zip(means["dataset"], means["split"], strict=True)))
    series = list(
        dict.fromkeys(zip(means["encoder"], means["probe"], means["baseline"], strict=True))
    )
    series.sort(key=lambda item: not item[2])
    figure = Figure(figsize=(7.5, 0.8 + len(groups) * (0.35 + 0.16 * len(series))))
    axes = figure.subplots()
    step = 0.85 / len(series)
    ours = [(encoder, probe) for encoder, probe, baseline in series if not baseline]
    plain = 0
    for place, (encoder, probe, baseline) in enumerate(series):
        rows = means[(means["encoder"] == encoder) & (means["probe"] == probe)]
        at = [groups.index(item) for item in zip(rows["dataset"], rows["split"], strict=True)]
        number = plain if baseline else ours.index((encoder, probe))
        plain += int(baseline)
        mean = rows["mean"].to_numpy()
        ends = np.vstack([mean - rows["low"], rows["high"] - mean])
        axes.errorbar(
            mean,
            np.array(at) + (place + 0.5) * step - 0.425,
            xerr=np.nan_to_num(ends),
            fmt=MARKERS[number % len(MARKERS)],
            color=GREY if baseline else COLOURS[number % len(COLOURS)],
            markersize=4,
            elinewidth=1,
            label=encoder if baseline else f"{encoder}, {probe}",
        )
    axes.set_yticks(range(len(groups)), [f"{name}\n{split}" for name, split in groups], fontsize=8)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.hlines(np.arange(1, len(groups)) - 0.5, 0, 1.05, color="#dddddd", linewidth=0.8)
    axes.set_xlim(0, 1.05)
    axes.set_xlabel("macro F1 (95 % interval)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=7, frameon=False)
    with mpl.rc_context({"svg.hashsalt": "scypher", "svg.fonttype": "none"}):
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
