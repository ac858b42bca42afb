"""The configuration of a training run."""

from dataclasses import fields
from pathlib import Path

import pytest

from scypher.encoders.errors import InputError
from scypher.encoders.training.plan import Plan, read_plan

LEAST = 'encoder = "cellvq"\ndata = "one.h5ad"\nout = "out"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one.h5ad", "two.h5ad", "more/three.h5ad", "more/four.zarr/zarr.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path.resolve()


def read(folder: Path, text: str) -> Plan:
    (folder / "run.toml").write_text(text)
    return read_plan(folder / "run.toml")


def test_the_least_configuration_has_documented_defaults(folder: Path) -> None:
    plan = read(folder, LEAST)
    assert plan == Plan("cellvq", [folder / "one.h5ad"], folder / "out")
    assert plan.batch_column == "batch"
    assert plan.properties == []
    assert Plan.__doc__ is not None
    for item in fields(Plan):
        assert item.name in Plan.__doc__


def test_every_key_is_read(folder: Path) -> None:
    plan = read(
        folder,
        LEAST
        + 'layer = "umi"\nbatch_column = ""\nproperties = ["cell_type"]\n'
        + '[model]\npreset = "tiny"\nn_bits = 3\n'
        + "[training]\nepochs = 7\nblock = 32\nblocks_per_step = 2\nlearning_rate = 1\n"
        + "warmup = 3\nclip = 0.5\nheld_out = 0\nmin_sets = 2\nmin_cells = 9\n"
        + 'checkpoint_every = 4\nprecision = "32"\nseed = 6\n',
    )
    assert (plan.layer, plan.batch_column, plan.properties) == ("umi", "", ["cell_type"])
    assert plan.model == {"preset": "tiny", "n_bits": 3}
    assert (plan.epochs, plan.block, plan.blocks_per_step, plan.learning_rate) == (7, 32, 2, 1)
    assert (plan.warmup, plan.clip, plan.held_out, plan.min_sets, plan.min_cells) == (
        (3, 0.5, 0, 2, 9)
    )
    assert (plan.checkpoint_every, plan.precision, plan.seed) == (4, "32", 6)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ('"*.h5ad"', ["one.h5ad", "two.h5ad"]),
        ('["two.h5ad", "more/*"]', ["two.h5ad", "more/four.zarr", "more/three.h5ad"]),
        ('"**/t*.h5ad"', ["more/three.h5ad", "two.h5ad"]),
    ],
)
def test_patterns_are_expanded_beside_the_configuration(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: str, names: list[str]
) -> None:
    text = LEAST.replace('"one.h5ad"', data)
    assert read(folder, text).data == [folder / name for name in names]
    monkeypatch.chdir(folder / "more")
    assert len(read_plan(Path("../run.toml")).data) == len(names)


def test_absolute_paths_and_patterns_stay_what_they_are(folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    text = f'encoder = "cellvq"\ndata = "{folder}/t*.h5ad"\nout = "{folder}/elsewhere"\n'
    plan = read(folder / "sub", text)
    assert plan.data == [folder / "two.h5ad"]
    assert plan.out == folder / "elsewhere"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('encoder = "cellvq"\n', r"unknown keys \[\], missing keys \['data', 'out'\]; known: .*"),
        (LEAST + "epoch = 3\n", r"unknown keys \['epoch'\]"),
        (LEAST + "[training]\nlr = 3\n", r"unknown keys \['lr'\], missing keys \[\]; known: "),
        (LEAST + "training = 3\n", r"must be tables, \[model\] and \[training\]"),
        (LEAST + 'model = "tiny"\n', r"must be tables, \[model\] and \[training\]"),
        (LEAST + "[training]\nepochs = -1\n", "epochs is -1; expected a number >= 0"),
        (LEAST + "[training]\nepochs = 1.5\n", "epochs is 1.5; expected a number >= 0"),
        (LEAST + "[training]\nepochs = true\n", "epochs is True; expected a number >= 0"),
        (LEAST + '[training]\nlearning_rate = "1"\n', "learning_rate is '1'; expected a number"),
        (LEAST + "[training]\nblock = 0\n", "block is 0; expected a number >= 1"),
        (LEAST + "[training]\nblocks_per_step = 0\n", "blocks_per_step is 0; expected a number"),
        (LEAST + "[training]\nwarmup = 0\n", "warmup is 0; expected a number >= 1"),
        (LEAST + "[training]\ncheckpoint_every = 0\n", "checkpoint_every is 0; expected a number"),
        (LEAST + "[training]\nheld_out = 1.0\n", "held_out is 1.0; expected a share below 1"),
        (LEAST + 'properties = "cell_type"\n', "properties is 'cell_type'; expected a list of"),
        (LEAST + "properties = [1]\n", r"properties is \[1\]; expected a list of"),
        (LEAST + "layer = 3\n", "layer is 3; expected text"),
        (LEAST.replace('"cellvq"', "3"), "encoder is 3; expected text"),
        (LEAST.replace('"out"', "3"), "out is 3; expected text"),
        (LEAST.replace('"one.h5ad"', "3"), "data is 3; expected"),
        (LEAST.replace('"one.h5ad"', "[]"), r"data is \[\]; expected"),
        (LEAST.replace("one", "gone"), r"no data file gone\.h5ad; give paths relative to"),
        (LEAST.replace('"one.h5ad"', '["one.h5ad", "x*"]'), r"no data file x\*; give paths"),
        ("encoder = \n", "no readable training configuration .*expected TOML with encoder"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(folder, text)
    assert "run.toml" in str(caught.value)


def test_a_missing_or_unreadable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "gone.toml", tmp_path, tmp_path / "bytes.toml"):
        with pytest.raises(InputError, match="no readable training configuration"):
            read_plan(path)
