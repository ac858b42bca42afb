"""Tidy rows, intervals, and the files written of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scypher.encoders.errors import InputError
from scypher.encoders.evaluation.frame import COLUMNS, Value, interval, join, summarise, to_frame
from scypher.encoders.evaluation.table import to_markdown, write_tables


def rows() -> pd.DataFrame:
    ours = [
        Value("annotation", "intra", "macro F1", value, 0, f"fold {i}", probe="linear probe")
        for i, value in enumerate([0.8, 0.9, 0.7])
    ]
    theirs = [
        Value("annotation", "intra", "macro F1", value, 0, f"fold {i}")
        for i, value in enumerate([0.6, 0.6, 0.6])
    ]
    missing = [Value("integration", "all", "scib", float("nan"), note="not installed")]
    return join(
        [
            to_frame(ours, dataset="pbmc", encoder="ours", seen=True),
            to_frame(theirs, dataset="pbmc", encoder="plain", baseline=True),
            to_frame(missing, dataset="pbmc", encoder="ours", seen=True),
        ]
    )


def test_the_interval_is_that_of_the_t_distribution() -> None:
    values = np.array([0.8, 0.9, 0.7, np.nan])
    mean, low, high, n = interval(values)
    expected = stats.t.interval(0.95, 2, loc=0.8, scale=stats.sem([0.8, 0.9, 0.7]))
    assert (mean, n) == (pytest.approx(0.8), 3)
    assert (low, high) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[0.5], [np.nan, 0.5]])
def test_one_value_has_no_interval(values: list[float]) -> None:
    mean, low, high, n = interval(np.array(values))
    assert (mean, n) == (0.5, 1)
    assert np.isnan([low, high]).all()


def test_nothing_measured_is_no_number() -> None:
    assert interval(np.array([np.nan]))[3] == 0
    assert np.isnan(interval(np.array([]))[0])


def test_a_frame_has_one_row_a_value_and_plain_types() -> None:
    frame = rows()
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 7
    assert frame["value"].dtype == float
    assert frame["seen_in_pretraining"].dtype == "boolean"
    assert frame["seen_in_pretraining"].isna().sum() == 3


def test_the_summary_has_a_row_a_measure() -> None:
    means = summarise(rows()).set_index("encoder")
    assert means.loc["plain", "mean"] == pytest.approx(0.6)
    assert means.loc["plain", "low"] == pytest.approx(0.6)
    ours = means.loc["ours"].set_index("measure")
    assert ours.loc["macro F1", "mean"] == pytest.approx(0.8)
    assert ours.loc["scib", "n"] == 0


def test_frames_without_anything_are_an_error() -> None:
    with pytest.raises(InputError, match="at least one data set"):
        join([])


def test_markdown_shows_plain_methods_first_marks_what_was_seen_and_says_what_failed() -> None:
    text = to_markdown(summarise(rows()), rows())
    assert "## annotation, intra" in text
    lines = text.splitlines()
    plain = next(i for i, line in enumerate(lines) if "*plain*" in line)
    ours = next(i for i, line in enumerate(lines) if "ours, linear probe" in line)
    assert plain < ours
    assert lines[ours] == "| ours, linear probe | 0.800\\* (0.552 to 1.048) |"
    assert "- pbmc, ours: not installed" in text
    assert "nan" not in text


def test_files_are_the_same_every_time(tmp_path: Path) -> None:
    first = write_tables(rows(), tmp_path / "a" / "b")
    second = write_tables(rows(), tmp_path / "c")
    assert [path.name for path in first] == ["evaluation.csv", "evaluation.md", "evaluation.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    back = pd.read_csv(first[0], keep_default_na=False, na_values={"value": [""]})
    assert np.allclose(back["value"], rows()["value"], equal_nan=True)
    figure = first[2].read_text()
    assert "ours, linear probe" in figure
    assert "macro F1" in figure


def test_no_figure_without_f1(tmp_path: Path) -> None:
    frame = rows()
    written = write_tables(frame[frame["task"] == "integration"], tmp_path)
    assert [path.name for path in written] == ["evaluation.csv", "evaluation.md"]
