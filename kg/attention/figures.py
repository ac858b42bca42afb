"""Figure of the training of graph attention."""

from pathlib import Path

import pandas as pd

from ...encoders.errors import InputError

_LOSSES = ("loss", "existence", "value", "code", "metadata")
_NEEDED = ("epoch", *_LOSSES, "auroc", "auroc_popularity", "kept")


def draw_history(history: pd.DataFrame, path: str | Path) -> None:
    """Draw the training losses, and the held-out AUROC beside that of popularity, per epoch.

    Parameters
    ----------
    history
        Of :class:`~scypher.kg.attention.GraphAttention`, at least one epoch.
    path
        Image file; its suffix says the format.

    Raises
    ------
    InputError
        If the history is empty or lacks a column.
    """
    missing = [column for column in _NEEDED if column not in history]
    if missing or history.empty:
        problem = (
            f"history of {len(history)} epochs without the columns {missing}; expected the history "
            "of a trained network; pass GraphAttention.history"
        )
        raise InputError(problem)
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in _LOSSES:
        if history[name].notna().any():
            left.plot(history["epoch"], history[name], marker="o", label=name)
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.plot(history["epoch"], history["auroc"], marker="o", label="network")
    right.plot(history["epoch"], history["auroc_popularity"], marker="o", label="popularity")
    right.axhline(0.5, color="grey", linewidth=0.8, label="chance")
    right.set(xlabel="epoch", ylabel="AUROC of held-out edges")
    for axes in (left, right):
        for epoch in history.loc[history["kept"], "epoch"]:
            axes.axvline(epoch, color="grey", linestyle=":", label="epoch kept")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    figure.savefig(path, dpi=150)
