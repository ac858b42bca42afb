"""Two processes that share the blocks of a step train as one process does."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from scypher.encoders.cellvq.weights import load_model
from scypher.encoders.training.verbs import pretrain

TORCHRUN = (
    "-m",
    "torch.distributed.run",
    "--nproc-per-node",
    "2",
    "--rdzv-backend",
    "c10d",
    "--rdzv-endpoint",
    "localhost:0",
)


@pytest.fixture(autouse=True)
def short_codebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the codebook for a few steps only, in this process; it is not compared."""
    from scypher.encoders.cellvq import objective

    whole = objective.CodesConfig
    monkeypatch.setattr(objective, "CodesConfig", lambda **given: whole(**{**given, "steps": 5}))


def test_two_processes_give_the_losses_of_one(
    make_run: Callable[..., Path], command: "Callable[..., Popen[str]]", tmp_path: Path
) -> None:
    # A small codebook: what follows the last step is not what is tested.
    model = "n_bits = 3\ncondition_width = 8\ncode_width = 4"
    configs = [
        make_run(tmp_path / name, model=model, training="blocks_per_step = 2\nseed = 3")
        for name in ("one", "two")
    ]
    process = command("pretrain", configs[1], runner=TORCHRUN)
    pretrain(configs[0])
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    one, two = (json.loads((path.parent / "out" / "history.json").read_text()) for path in configs)
    for row, other in zip(one[:2], two[:2], strict=True):
        assert row["step"] == other["step"]
        for name in ("train", "held_out"):
            assert other[name] == pytest.approx(row[name], abs=1e-4)
    # Only the first process speaks.
    for text in (" cells of 3 files", "epoch 1, step ", "epoch 2, step "):
        assert said.count(text) == 1
    models = [load_model(path.parent / "out").model.state_dict() for path in configs]
    for name in ("reader.query", "decoder.layers.0.0.weight", "gene_bias"):
        assert (models[0][name] - models[1][name]).abs().max() < 1e-3
