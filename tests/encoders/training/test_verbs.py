"""`pretrain`: a configuration in, a folder of weights that the encoder reads out."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from scypher.encoders.cells import prepare
from scypher.encoders.cellvq.encoder import CellVQEncoder
from scypher.encoders.cellvq.weights import load_model
from scypher.encoders.errors import InputError
from scypher.encoders.registry import cards, get_encoder
from scypher.encoders.training.verbs import pretrain

MakeRun = Callable[..., Path]


@pytest.fixture(autouse=True)
def short_codebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train codebooks for a few steps only."""
    from scypher.encoders.cellvq import objective

    whole = objective.CodesConfig
    monkeypatch.setattr(objective, "CodesConfig", lambda **given: whole(**{**given, "steps": 20}))


def short(make_run: MakeRun, folder: Path, **given: str) -> Path:
    """Return a configuration of a single short epoch."""
    path = make_run(folder, **given)
    path.write_text(path.read_text().replace("epochs = 2", "epochs = 1"))
    return path


def test_a_run_writes_weights_that_encode(
    make_run: MakeRun, make_cells: Callable[..., AnnData], tmp_path: Path
) -> None:
    said: list[str] = []
    steps: list[tuple[str, int, int]] = []
    history = pretrain(
        short(make_run, tmp_path), say=said.append, progress=lambda *step: steps.append(step)
    )
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.pt",
        "config.json",
        "curve.png",
        "history.json",
        "model.safetensors",
    ]
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((out / "history.json").read_text())
    assert written[:1] == history
    assert {"active_codes", "perplexity", "dead_share", "zinb", "cells"} <= set(written[1])
    config = json.loads((out / "config.json").read_text())
    assert config["encoder"] == "cellvq"
    assert config["trained_on"] == ["set0", "set1", "set2"]
    assert said[0].endswith(f" cells of 3 files, {len(config['genes'])} genes")
    assert said[-1].startswith("epoch 1, step ")
    assert ("training", history[0]["step"], history[0]["step"]) in steps
    cells = prepare(make_cells(120, 9))
    encoder = get_encoder(str(out), adapt=False)
    assert isinstance(encoder, CellVQEncoder)
    encoding = encoder.encode(cells)
    assert encoding.embedding.shape == (120, 32)
    assert np.isfinite(encoding.embedding).all()
    assert encoding.weights_hash == load_model(out).weights_hash
    same = get_encoder(f"cellvq:{out}", adapt=False).encode(cells)
    np.testing.assert_array_equal(same.code, encoding.code)


def test_the_embedding_tells_planted_groups_apart(
    make_run: MakeRun, make_cells: Callable[..., AnnData], tmp_path: Path
) -> None:
    pretrain(short(make_run, tmp_path))
    adata = make_cells(200, 9)
    encoding = get_encoder(str(tmp_path / "out"), adapt=False).encode(prepare(adata))
    unit = encoding.embedding / np.linalg.norm(encoding.embedding, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    types = adata.obs["cell_type"].to_numpy()
    known = (types != "unknown") & (types[cosine.argmax(axis=1)] != "unknown")
    assert (types[cosine.argmax(axis=1)] == types)[known].mean() > 0.9


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    make_run: MakeRun, tmp_path: Path
) -> None:
    hashes = []
    for number, seed in enumerate((4, 4, 5)):
        folder = tmp_path / str(number)
        pretrain(short(make_run, folder, training=f"seed = {seed}"))
        hashes.append(load_model(folder / "out").weights_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_finished_run_is_not_run_again(make_run: MakeRun, tmp_path: Path) -> None:
    path = short(make_run, tmp_path)
    history = pretrain(path)
    before = load_model(tmp_path / "out").weights_hash
    said: list[str] = []
    assert pretrain(path, say=said.append) == history
    assert any(text.startswith("going on from the checkpoint at step") for text in said)
    assert not any(text.startswith("epoch") for text in said)
    assert load_model(tmp_path / "out").weights_hash == before


def test_an_encoder_that_is_not_trained_here_is_refused_with_those_that_are(
    make_run: MakeRun, tmp_path: Path
) -> None:
    path = make_run(tmp_path)
    text = path.read_text()
    for name in ("pca", "cellvq:here"):
        path.write_text(text.replace('"cellvq"', f'"{name}"'))
        with pytest.raises(InputError, match=f"'{name}' cannot be trained; these can: ") as caught:
            pretrain(path)
        for card in cards().values():
            assert (card.name in str(caught.value).split("these can:")[1]) or not card.pretrain
    path.write_text(text.replace('"cellvq"', '"nothing"'))
    with pytest.raises(InputError, match="there is no encoder 'nothing'"):
        pretrain(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "n_wheels = 3"}, r"unknown model settings \['n_wheels'\]"),
        ({"model": "width = 20\nn_latents = 3"}, "width is 20, n_latents 3"),
        ({"model": "width = 400"}, "400 components of 1[0-9]+ genes; give"),
        ({"training": 'precision = "8"'}, "precision is '8'; expected one of auto, 32, bf16"),
        ({"top": 'layer = "umi"'}, "cannot be read as AnnData with counts in umi"),
        ({"top": 'batch_column = "lane"'}, r"no obs columns \['lane'\]"),
        ({"top": 'properties = ["age"]'}, r"no obs columns \['age'\]"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_written(
    make_run: MakeRun, tmp_path: Path, given: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pretrain(make_run(tmp_path, **given))
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"model": 'reader = "full"\nprior_rank = 4'},
        {"training": "blocks_per_step = 2"},
        {"training": 'precision = "bf16"'},
        {"top": 'batch_column = ""', "training": "held_out = 0.0"},
        {"top": 'properties = ["cell_type", "batch"]'},
    ],
    ids=["full", "two blocks", "bf16", "nothing held out", "properties"],
)
def test_every_kind_of_run_gives_finite_losses(
    make_run: MakeRun, tmp_path: Path, given: dict[str, str]
) -> None:
    path = short(make_run, tmp_path, **given)
    # A key given twice is an error of TOML: the one of the test replaces the other.
    text = path.read_text()
    path.write_text(text.replace("held_out = 0.1\n", "") if "held_out = 0.0" in text else text)
    history = pretrain(path)
    assert np.isfinite(history[0]["train"])
    assert np.isfinite(history[0]["held_out"]) or "held_out = 0.0" in text
    model = load_model(tmp_path / "out").model
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    if "properties" in given.get("top", ""):
        assert model.config.properties == {"cell_type": ["A", "B", "C"], "batch": ["b0", "b1"]}
