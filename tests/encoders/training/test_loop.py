"""The training loop: it learns, and a killed run goes on as if nothing had happened."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scypher.encoders.cellvq import objective as cellvq
from scypher.encoders.errors import InputError
from scypher.encoders.training.loop import CHECKPOINT, draw_curve, make_fabric, train, validate
from scypher.encoders.training.objective import Block, Objective
from scypher.encoders.training.plan import Plan, read_plan
from scypher.encoders.training.source import Source
from scypher.encoders.training.verbs import pretrain

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MakeRun = Callable[..., Path]
Command = Callable[..., "subprocess.Popen[str]"]


class Programs(Objective):
    """Give log counts back through a narrow linear layer; randomness enters as dropped genes."""

    encoder = "toy"

    def __init__(self, n_genes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(n_genes, 4)
        self.outer = nn.Linear(4, n_genes)
        self.steps_done = 0
        self.finished = False

    def prepare(self, block: Block, rng: np.random.Generator) -> tuple[Any, ...]:
        values = np.log1p(block.counts.toarray())
        kept = rng.random(values.shape) < 0.8
        return torch.from_numpy(values * kept).float(), torch.from_numpy(values).float()

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        given, wanted = batch
        return (self.outer(self.inner(given)) - wanted).square().mean()

    def after_step(self) -> None:
        self.steps_done += 1

    def finish(self, source: Source, seed: int, progress: Any) -> dict[str, Any]:
        self.finished = True
        return {"figure": 7}

    def save(self, folder: Path, *, history: list[dict[str, Any]]) -> None:
        (folder / "history.json").write_text(json.dumps(history))


class Stopped(Exception):
    """Ends a run where a test wants it to end."""


@pytest.fixture(scope="module")
def source(corpus: Path) -> Source:
    return Source(sorted(corpus.glob("*.h5ad")), held_out=0.1, min_cells=5)


def plan_of(folder: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {"epochs": 3, "block": 64, "warmup": 5, "checkpoint_every": 4}
    return Plan("toy", [], folder / "out", precision="32", **(given | changes))


def run(
    plan: Plan, source: Source, *, stop_at: int = 0, say: Callable[[str], None] = lambda text: None
) -> tuple[list[dict[str, Any]], Programs]:
    objective = Programs(len(source.genes))

    def progress(what: str, done: int, total: int) -> None:
        if done == stop_at:
            raise Stopped

    history = train(
        plan, source, lambda: objective, fabric=make_fabric(plan), say=say, progress=progress
    )
    return history, objective


def numbers(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a history without what the clock says."""
    return [{name: row[name] for name in row if name != "seconds"} for row in history]


@pytest.fixture(scope="module")
def whole(source: Source, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Programs, Path]:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    history, objective = run(plan_of(folder), source)
    return history, objective, folder / "out"


def test_the_loss_falls(whole: tuple[Any, Programs, Path]) -> None:
    history, objective, out = whole
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for name in ("train", "held_out"):
        losses = [row[name] for row in history]
        assert losses[0] > losses[1] > losses[2]
    assert objective.steps_done == history[-1]["step"]
    assert objective.finished
    written = json.loads((out / "history.json").read_text())
    assert written == [*history, {"figure": 7}]
    assert (out / "curve.png").stat().st_size > 1000


@pytest.mark.parametrize("stop_at", [1, 17, 18, 33])
def test_a_stopped_run_ends_with_the_same_weights(
    source: Source, whole: tuple[Any, Programs, Path], tmp_path: Path, stop_at: int
) -> None:
    plan = plan_of(tmp_path)
    with pytest.raises(Stopped):
        run(plan, source, stop_at=stop_at)
    said: list[str] = []
    history, objective = run(plan, source, say=said.append)
    assert numbers(history) == numbers(whole[0])
    for name, value in objective.state_dict().items():
        assert torch.equal(value, whole[1].state_dict()[name]), name
    going_on = [text for text in said if text.startswith("going on")]
    # The step that was stopped had not been saved; the last checkpoint before it counts.
    last = max((s for s in range(stop_at) if s % 4 == 0 or s % 15 == 0), default=0)
    steps = whole[0][-1]["step"]
    assert going_on == ([f"going on from the checkpoint at step {last} of {steps}"] if last else [])


def test_a_checkpoint_that_is_half_written_does_not_count(
    source: Source, whole: tuple[Any, Programs, Path], tmp_path: Path
) -> None:
    plan = plan_of(tmp_path)
    with pytest.raises(Stopped):
        run(plan, source, stop_at=20)
    (plan.out / "checkpoint.new").write_bytes(b"half of a file")
    assert numbers(run(plan, source)[0]) == numbers(whole[0])


def test_a_checkpoint_that_cannot_be_read_is_told(source: Source, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    plan.out.mkdir()
    (plan.out / CHECKPOINT).write_bytes(b"half of a file")
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        run(plan, source)


@pytest.mark.parametrize("changes", [{"epochs": 4}, {"learning_rate": 1e-2}, {"seed": 1}])
def test_another_plan_in_the_same_folder_is_refused(
    source: Source, whole: tuple[Any, Programs, Path], changes: dict[str, Any]
) -> None:
    plan = plan_of(whole[2].parent, **changes)
    with pytest.raises(InputError, match="another configuration; name another out folder"):
        run(plan, source)


class TwoProcesses:
    """What the loop asks of a device set-up before it trains."""

    world_size = 2

    def launch(self) -> None:
        """Nothing is started."""


def test_blocks_that_the_processes_cannot_share_are_refused(source: Source, tmp_path: Path) -> None:
    fabric = cast("Fabric", TwoProcesses())
    with pytest.raises(InputError, match="3 blocks per step cannot be shared by 2 processes; set"):
        train(plan_of(tmp_path, blocks_per_step=3), source, lambda: Programs(2), fabric=fabric)


def test_two_blocks_a_step_are_the_mean_of_their_gradients(source: Source, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, blocks_per_step=2, epochs=1, clip=1e9)
    history, objective = run(plan, source)
    twin = Programs(len(source.genes))
    optimiser = torch.optim.AdamW(twin.parameters(), lr=plan.learning_rate, weight_decay=0.0)
    streams = [source.blocks(64, epoch=0, stream=s, streams=2, seed=0) for s in (0, 1)]
    steps = min(map(len, streams))
    assert history[0]["step"] == steps
    losses = []
    for step in range(steps):
        rate = min(1, (step + 1) / 5) * 0.5 * (1 + np.cos(np.pi * step / steps))
        optimiser.param_groups[0]["lr"] = plan.learning_rate * rate
        parts = [
            twin(twin.prepare(stream[step], np.random.default_rng([0, 0, step, number])))
            for number, stream in enumerate(streams)
        ]
        loss = (parts[0] + parts[1]) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert history[0]["train"] == pytest.approx(np.mean(losses), abs=1e-4)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(objective.state_dict()[name], value, atol=1e-5, rtol=1e-4)


def test_the_held_out_loss_is_the_mean_over_cells_and_always_the_same(source: Source) -> None:
    plan = plan_of(Path("unused"))
    objective = Programs(len(source.genes))
    fabric = make_fabric(plan)
    found = validate(objective, source, plan, fabric)
    total, n = 0.0, 0
    for number, block in enumerate(source.held_out(64)):
        batch = objective.prepare(block, np.random.default_rng([0, number]))
        total += objective(batch).item() * len(block.totals)
        n += len(block.totals)
    assert found == pytest.approx(total / n, rel=1e-5)
    assert validate(objective, source, plan, fabric) == found
    assert not objective.training


def test_no_epochs_leave_the_start_as_it_is(source: Source, tmp_path: Path) -> None:
    history, objective = run(plan_of(tmp_path, epochs=0), source)
    assert history == []
    assert objective.finished
    assert not (tmp_path / "out" / "curve.png").exists()


def test_a_step_that_cannot_be_prepared_ends_the_run(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Programs, block: Block, rng: np.random.Generator) -> tuple[Any, ...]:
        raise Stopped

    monkeypatch.setattr(Programs, "prepare", broken)
    with pytest.raises(Stopped):
        run(plan_of(tmp_path), source)


def test_a_curve_without_held_out_cells_is_drawn(tmp_path: Path) -> None:
    rows = [{"epoch": e, "train": 1 / e, "held_out": float("nan")} for e in (1, 2)]
    draw_curve(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").exists()


def test_a_process_killed_twice_ends_as_one_that_was_left_alone(
    make_run: MakeRun, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cellvq.CodesConfig
    monkeypatch.setattr(cellvq, "CodesConfig", lambda **given: whole(**{**given, "steps": 5}))
    # A small codebook: what follows the last step is not what is tested.
    given = {
        "model": "n_bits = 3\ncondition_width = 8\ncode_width = 4",
        "training": "checkpoint_every = 1\nseed = 2",
    }
    left, killed = (make_run(tmp_path / name, **given) for name in ("left", "killed"))
    plan = read_plan(killed)
    checkpoint = plan.out / CHECKPOINT
    rng = np.random.default_rng(0)
    for _ in range(2):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = command("pretrain", killed)
        deadline = time.monotonic() + 120
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0, 0.15)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (plan.out / "model.safetensors").exists()
    last = command("pretrain", killed)
    _, said = last.communicate(timeout=200)
    assert last.returncode == 0, said
    assert "going on from the checkpoint at step" in said
    pretrain(left)
    histories = [
        json.loads((path.parent / "out" / "history.json").read_text()) for path in (left, killed)
    ]
    assert [row.keys() for row in histories[0]] == [row.keys() for row in histories[1]]
    # The codebook of this process was trained for a few steps only.
    epochs = [[row for row in history if "epoch" in row] for history in histories]
    assert len(epochs[0]) == 2
    for one, other in zip(*epochs, strict=True):
        for name in one.keys() - {"seconds"}:
            assert one[name] == pytest.approx(other[name], abs=1e-6), name
    assert (plan.out / "curve.png").exists()
