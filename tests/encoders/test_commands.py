"""The commands `scypher encode` and `scypher pretrain`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import anndata
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from scypher import cli
from scypher.encoders.base import read_slots
from scypher.encoders.cellvq import adapt
from scypher.encoders.errors import InputError

Maker = Callable[..., AnnData]


@pytest.fixture
def toy(make_adata: Maker, tmp_path: Path) -> Path:
    path = tmp_path / "toy.h5ad"
    make_adata().write_h5ad(path)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_encode_writes_the_file_and_says_what_it_did(toy: Path) -> None:
    out = toy.with_name("out.h5ad")
    result = CliRunner().invoke(cli.app, ["encode", str(toy), "--out", str(out), "--no-adapt"])
    assert result.exit_code == 0, result.output
    assert files(toy.parent) == ["out.h5ad", "toy.h5ad"]
    assert result.stdout == ""
    assert "encoder read 200 of 200 genes" in result.stderr
    assert f"{out}: 120 cells, 200 genes" in result.stderr
    encoding = read_slots(anndata.read_h5ad(out), "cellvq")
    assert encoding.code.shape == (120,)
    assert not encoding.parameters["adapt"]


def test_encode_adapts_by_default_and_takes_a_seed(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapt, "ADAPTING", dataclasses.replace(adapt.ADAPTING, steps=4))
    out = toy.with_name("out.h5ad")
    result = CliRunner().invoke(cli.app, ["encode", str(toy), "--out", str(out), "--seed", "7"])
    assert result.exit_code == 0, result.output
    parameters = read_slots(anndata.read_h5ad(out), "cellvq").parameters
    assert parameters["adapt"]
    assert parameters["seed"] == 7


def test_a_file_can_be_encoded_in_place(toy: Path) -> None:
    result = CliRunner().invoke(cli.app, ["encode", str(toy), "--out", str(toy), "--no-adapt"])
    assert result.exit_code == 0, result.output
    assert files(toy.parent) == ["toy.h5ad"]
    assert "cellvq_code" in anndata.read_h5ad(toy).obs


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["scypher", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_bad_input_leaves_nothing_and_exits_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.h5ad").write_text("no data")
    code = run(monkeypatch, "encode", tmp_path / "bad.h5ad", "--out", tmp_path / "out.h5ad")
    assert code == 2
    assert files(tmp_path) == ["bad.h5ad"]
    error = capsys.readouterr().err
    assert error.startswith("scypher: ")
    assert "cannot be read as an AnnData file" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "nothing"], "there is no encoder 'nothing'; known: "),
        (["--encoder", "cellvq:gone"], "no readable CellVQ model"),
        (["--layer", "umi"], "no 'umi'; there are: X"),
    ],
)
def test_a_wrong_option_leaves_an_older_result(
    toy: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = toy.with_name("out.h5ad")
    out.write_text("older result")
    assert run(monkeypatch, "encode", toy, "--out", out, *options) == 2
    assert message in capsys.readouterr().err
    assert out.read_text() == "older result"
    assert files(toy.parent) == ["out.h5ad", "toy.h5ad"]


def test_a_missing_folder_is_told_before_anything_is_computed(toy: Path) -> None:
    out = toy.parent / "gone" / "out.h5ad"
    result = CliRunner().invoke(cli.app, ["encode", str(toy), "--out", str(out)])
    assert isinstance(result.exception, InputError)
    assert "make it first" in str(result.exception)
    assert not out.parent.exists()


def test_a_folder_as_target_is_told_before_anything_is_computed(toy: Path) -> None:
    out = toy.with_name("folder")
    out.mkdir()
    result = CliRunner().invoke(cli.app, ["encode", str(toy), "--out", str(out), "--no-adapt"])
    assert isinstance(result.exception, InputError)
    assert files(toy.parent) == ["folder", "toy.h5ad"]


def test_a_wrong_training_configuration_exits_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.toml").write_text('encoder = "cellvq"\n')
    assert run(monkeypatch, "pretrain", tmp_path / "run.toml") == 2
    error = capsys.readouterr().err
    assert "missing keys ['data', 'out']" in error
    assert "Traceback" not in error
    assert files(tmp_path) == ["run.toml"]
