"""Measured values, one a row, and their means with an interval."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import InputError

COLUMNS = (
    "dataset",
    "encoder",
    "baseline",
    "probe",
    "task",
    "split",
    "measure",
    "seed",
    "fold",
    "value",
    "seen_in_pretraining",
    "note",
)
KEYS = ("dataset", "encoder", "baseline", "probe", "task", "split", "measure")

CONFIDENCE = 0.95


class Value(NamedTuple):
    """One measured value before it is known whose it is.

    Attributes
    ----------
    task
        What was done: ``annotation``, ``clustering``, ``codes``, ``integration``,
        ``reconstruction``; ``encode`` where that failed already.
    split
        ``intra``, ``inter``, or ``all`` where cells are not divided.
    measure
        Name of the measure; of all but counts more is better, except where it says otherwise.
    value
        The value; NaN where it could not be measured, and ``note`` says why.
    seed, fold
        Of the random choices; name of what was left out, empty where nothing was.
    note
        A sentence for the user, mostly empty.
    probe
        What learned from a frozen embedding: ``linear probe``, ``kNN``, ``MLP``; else empty.
    """

    task: str
    split: str
    measure: str
    value: float
    seed: int = 0
    fold: str = ""
    note: str = ""
    probe: str = ""


def to_frame(
    values: Iterable[Value],
    *,
    dataset: str,
    encoder: str,
    baseline: bool = False,
    seen: bool | None = None,
) -> pd.DataFrame:
    """Return values as a tidy frame with the columns :data:`COLUMNS`.

    Parameters
    ----------
    values
        What was measured.
    dataset, encoder
        On what, and of whom.
    baseline
        Whether that is a plain method that others are held against.
    seen
        Whether the data set was among those the encoder was trained on; ``None`` when its weights
        do not say.
    """
    frame = pd.DataFrame([value._asdict() for value in values], columns=list(Value._fields))
    frame = frame.assign(dataset=dataset, encoder=encoder, baseline=baseline)
    frame["seen_in_pretraining"] = pd.array([seen] * len(frame), dtype="boolean")
    return frame.astype({"value": float, "seed": int})[list(COLUMNS)]


def join(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all frames, without an index of their own.

    Raises
    ------
    InputError
        There is no frame.
    """
    if not frames:
        message = "nothing was measured; give at least one data set and one encoder."
        raise InputError(message)
    return pd.concat(frames, ignore_index=True)


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of every measure over seeds and folds, with its 95 % interval.

    Parameters
    ----------
    frame
        Rows as of :func:`to_frame`.

    Returns
    -------
    DataFrame
        :data:`KEYS`, then ``mean, low, high, n, seen_in_pretraining``, in the order in which the
        keys first appear. Values that could not be measured do not count; keys without any have
        ``n`` 0. See :func:`interval`.
    """
    rows = []
    for key, group in frame.groupby(list(KEYS), sort=False):
        mean, low, high, n = interval(group["value"].to_numpy())
        seen = group["seen_in_pretraining"].iloc[0]
        rows.append([*key, mean, low, high, n, seen])
    columns = [*KEYS, "mean", "low", "high", "n", "seen_in_pretraining"]
    return pd.DataFrame(rows, columns=columns).astype({"seen_in_pretraining": "boolean"})


def interval(values: np.ndarray) -> tuple[float, float, float, int]:
    r"""Return mean, lower and upper end of Student's t-interval, and how many values count.

    .. math:: \bar x \pm t_{0.975, n - 1} \, s / \sqrt{n}

    NaN does not count; both ends are NaN for fewer than two values. Values of one split share
    training cells, so that the interval is a guide to their scatter and not a test.
    """
    from scipy import stats

    known = values[np.isfinite(values)]
    n = len(known)
    if n < 2:
        return (float(known[0]) if n else float("nan"), float("nan"), float("nan"), n)
    mean = float(known.mean())
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * known.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half, n
