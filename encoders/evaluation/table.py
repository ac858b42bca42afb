"""Write what was measured: a table of all values, a readable summary, and a figure."""

from pathlib import Path

import numpy as np
import pandas as pd

from .frame import summarise

NAME = "evaluation"

DECIMALS = 3
"""Decimals in the summary."""


def write_tables(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write ``evaluation.csv``, ``evaluation.md`` and ``evaluation.svg`` and return their paths.

    The same values give the same files, byte for byte. There is no figure without a macro F1.

    Parameters
    ----------
    frame
        Rows as of :func:`~scypher.encoders.evaluation.frame.to_frame`.
    folder
        Made when it does not exist; older files of these names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, summary, figure = (folder / f"{NAME}.{kind}" for kind in ("csv", "md", "svg"))
    frame.to_csv(table, index=False, float_format="%.6g", lineterminator="\n")
    means = summarise(frame)
    summary.write_text(to_markdown(means, frame))
    f1 = means[(means["measure"] == "macro F1") & (means["n"] > 0)]
    if f1.empty:
        return [table, summary]
    from .figure import draw_f1

    draw_f1(f1, figure)
    return [table, summary, figure]


def to_markdown(means: pd.DataFrame, frame: pd.DataFrame) -> str:
    """Return a summary as Markdown: a table per task, split and measure, then the notes.

    Rows are encoders, plain methods in italics; columns are data sets; a cell holds mean and 95 %
    interval. A star marks data sets that the encoder was trained on.

    Parameters
    ----------
    means
        As of :func:`~scypher.encoders.evaluation.frame.summarise`.
    frame
        The rows that were summed up, for their notes.
    """
    parts = []
    measured = means[means["n"] > 0]
    for (task, split), group in measured.groupby(["task", "split"], sort=False):
        title = str(task) if split == "all" else f"{task}, {split}"
        parts.append(f"## {title}\n")
        for measure, rows in group.groupby("measure", sort=False):
            parts.append(f"{measure}\n\n{_table(rows)}\n")
    noted = frame.loc[frame["note"] != "", ["dataset", "encoder", "note"]].drop_duplicates()
    if len(noted):
        lines = [f"- {d}, {e}: {n}" for d, e, n in noted.itertuples(index=False)]
        parts.append("## Not measured\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _table(rows: pd.DataFrame) -> str:
    sets = list(dict.fromkeys(rows["dataset"]))
    encoders = rows[["encoder", "probe", "baseline"]].drop_duplicates()
    # Plain methods first: what is claimed of an encoder is read against them.
    encoders = encoders.sort_values("baseline", ascending=False, kind="stable")
    cells = {(row.dataset, row.encoder, row.probe): _cell(row) for row in rows.itertuples()}
    lines = [_line(["", *sets]), _line(["---"] + ["---:"] * len(sets))]
    for encoder, probe, baseline in encoders.itertuples(index=False):
        name = f"{encoder}, {probe}" if probe else str(encoder)
        name = f"*{name}*" if baseline else name
        lines.append(_line([name, *(cells.get((item, encoder, probe), "") for item in sets)]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: object) -> str:
    mean, low, high = (getattr(row, name) for name in ("mean", "low", "high"))
    digits = 0 if abs(mean) >= 100 else DECIMALS
    seen = getattr(row, "seen_in_pretraining", None)
    star = "\\*" if seen is not pd.NA and seen else ""
    interval = "" if np.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{mean:.{digits}f}{star}{interval}"
