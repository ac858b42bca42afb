"""Data sets, the verb and the command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from scypher.encoders.base import Encoding
from scypher.encoders.errors import InputError
from scypher.encoders.evaluate_command import evaluate as command
from scypher.encoders.evaluation import run
from scypher.encoders.evaluation.frame import COLUMNS, KEYS, join
from scypher.encoders.evaluation.run import evaluate, measure, mlp_repeats
from scypher.encoders.evaluation.sets import SETS, Labelled, find_files, read_labelled

Writer = Callable[..., Path]


def test_a_data_set_has_labels_and_batches(write_toy: Writer) -> None:
    kinds = ["T", "unknown", "B", "", "nan", "M"] * 20
    path = write_toy(kind=kinds)
    data = read_labelled(path, label="kind", batch="batch")
    assert data.name == "small"
    assert len(data.known) == 60
    assert set(data.labels[data.known]) == {"T", "B", "M"}
    assert set(data.batch) == {"b1", "b2"}
    assert read_labelled(path).batch is None


def test_a_known_data_set_brings_its_batch_column(write_toy: Writer) -> None:
    data = read_labelled(write_toy("pancreas_three_studies"))
    assert set(data.batch) == {"b1", "b2"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "kind"}, "has no obs\\['kind'\\]; there are: .*cell_type"),
        ({"batch": "donor"}, "has no obs\\['donor'\\].*--batch"),
        ({"label": "one"}, "1 distinct labels; expected at least two"),
    ],
)
def test_wrong_columns_are_named(write_toy: Writer, options: dict[str, str], message: str) -> None:
    path = write_toy(one=["T"] * 120)
    with pytest.raises(InputError, match=message):
        read_labelled(path, **options)


def test_a_folder_gives_known_sets_in_their_order_else_all_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.h5ad").touch()
    assert [path.stem for path in find_files(tmp_path)] == ["a", "b"]
    for name in list(SETS)[:2]:
        (tmp_path / f"{name}.h5ad").touch()
    assert [path.stem for path in find_files([tmp_path])] == list(SETS)[:2]


def test_files_that_cannot_be_told_apart_or_found_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").touch()
    (tmp_path / "empty").mkdir()
    for data, message in (
        ([tmp_path / "a.h5ad"] * 2, "repeated: a"),
        ([], "0 files"),
        ([tmp_path / "gone.h5ad"], "there is no file"),
        (tmp_path / "empty", "holds no .h5ad"),
    ):
        with pytest.raises(InputError, match=message):
            find_files(data)


def test_measure_of_planted_cells(planted: Labelled, perfect: Encoding) -> None:
    tasks = ("intra", "inter", "clustering", "codes")
    frame = join(measure(planted, {"toy": perfect}, tasks=tasks, seeds=(0, 1)))
    assert tuple(frame.columns) == COLUMNS
    assert not frame.duplicated([*KEYS, "seed", "fold"]).any()
    toy = frame[frame["encoder"] == "toy"]
    assert (toy.loc[toy["measure"] == "macro F1", "value"] == 1).all()
    assert toy["seen_in_pretraining"].all()
    assert not toy["baseline"].any()
    assert frame[frame["baseline"]]["seen_in_pretraining"].isna().all()
    merged = frame[frame["measure"] == "NMI of merged codes"].set_index("encoder")["value"]
    assert set(merged.index) == {"toy", "50 PCs"}


def test_evaluate_takes_files_and_writes_tables(write_toy: Writer, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "tables"
    frame = evaluate(
        [write_toy()],
        encoders=["obsm:X_own", "pca", "obsm:X_gone"],
        quick=True,
        batch="batch",
        out=out,
        progress=lambda *step: told.append(step),
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.csv",
        "evaluation.md",
        "evaluation.svg",
    ]
    own = frame[(frame["encoder"] == "obsm:X_own") & (frame["measure"] == "macro F1")]
    assert set(own["split"]) == {"intra", "inter"}
    assert (own["value"] == 1).all()
    (failed,) = frame.loc[frame["encoder"] == "obsm:X_gone", "note"]
    assert "'X_own'" in failed
    assert [step for step in told if step[0] == "evaluating"][-1] == ("evaluating", 4, 4)
    again = evaluate([write_toy()], encoders=["obsm:X_own"], quick=True, batch="batch")
    pd.testing.assert_frame_equal(
        again[again["encoder"] == "obsm:X_own"].reset_index(drop=True),
        frame[frame["encoder"] == "obsm:X_own"].reset_index(drop=True),
    )


def test_an_encoder_that_can_adapt_has_rows_for_both(
    planted: Labelled, toy: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding = np.eye(3, dtype=np.float32)[np.arange(240) % 3]
    monkeypatch.setattr(
        run, "get_encoder", lambda spec, *, adapt: toy(embedding + adapt, adapt=adapt)
    )
    found = run.encode_both(planted, "toy")
    assert list(found) == ["toy", "toy adapted"]
    assert [item.parameters["adapt"] for item in found.values()] == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoders": []}, "no encoder was named"),
        ({"encoders": ["gone"]}, "no encoder 'gone'"),
        ({"encoders": ["pca"], "tasks": ["speed"]}, "no task speed"),
        ({"encoders": ["pca"], "seeds": 0}, "at least 1"),
    ],
)
def test_wrong_calls_are_told_before_anything_is_read(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate([Path("gone.h5ad")], **options)


def test_many_cells_train_one_perceptron(planted: Labelled) -> None:
    assert list(mlp_repeats(planted, 5)) == [0, 1, 2, 3, 4]
    large = Labelled("x", planted.cells, np.array(["a", "b"] * 5001, dtype=object))
    assert list(mlp_repeats(large, 5)) == [0]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


def test_the_command_prints_a_summary_and_writes_tables(
    app: typer.Typer, data_dir: Path, tmp_path: Path
) -> None:
    path = data_dir / "blood_pbmc68k_700.h5ad"
    arguments = [str(path), "--encoder", "pca", "--out", str(tmp_path / "out"), "--quick"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "## annotation, intra" in result.stdout
    assert "| *HVG + linear SVM* |" in result.stdout
    assert "| pca, linear probe |" in result.stdout
    assert "values, summary and figure" in result.stderr
    table = pd.read_csv(tmp_path / "out" / "evaluation.csv")
    f1 = table[table["measure"] == "macro F1"].groupby(["encoder"])["value"].mean()
    assert f1.min() > 0.4  # ten types, 8 to 240 cells each


def test_the_command_prints_json(app: typer.Typer, write_toy: Writer) -> None:
    arguments = [str(write_toy()), "--encoder", "obsm:X_own", "--task", "clustering", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert {row["measure"] for row in rows} == {"ARI", "NMI", "Leiden groups", "silhouette"}
    assert all(set(KEYS) < set(row) for row in rows)
    assert next(row for row in rows if row["encoder"] == "obsm:X_own")["n"] == 5


def test_the_command_refuses_a_file_as_folder(app: typer.Typer, write_toy: Writer) -> None:
    path = write_toy()
    result = CliRunner().invoke(app, [str(path), "--out", str(path)])
    assert isinstance(result.exception, InputError)
    assert "is a file; expected a folder" in str(result.exception)
