"""The training loop: the same on a CPU, one GPU, or many processes started by ``torchrun``."""

import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..base import Progress
from ..errors import InputError
from .objective import Objective
from .plan import Plan
from .source import Source

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECKPOINT = "checkpoint.pt"


def make_fabric(plan: Plan) -> "Fabric":
    """Return the device set-up: a GPU where there is one, the processes of ``torchrun`` if any.

    Raises
    ------
    InputError
        lightning-fabric is not installed, or the precision is unknown.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        message = "training needs lightning-fabric; install it with pip install 'scypher[train]'."
        raise InputError(message) from error
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    gpu = torch.cuda.is_available()
    precisions: dict[str, Literal["bf16-mixed", "32-true"]] = {
        "auto": "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true",
        "32": "32-true",
        "bf16": "bf16-mixed",
    }
    if plan.precision not in precisions:
        message = f"precision is {plan.precision!r}; expected one of {', '.join(precisions)}."
        raise InputError(message)
    return Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=local,
        num_nodes=max(1, world // local),
        strategy="ddp" if world > 1 else "auto",
        precision=precisions[plan.precision],
    )


def train(
    plan: Plan,
    source: Source,
    make: Callable[[], Objective],
    *,
    fabric: "Fabric",
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda what, done, total: None,
) -> list[dict[str, Any]]:
    """Train, with checkpoints; write weights, history and curve; return the history.

    A run that was stopped at any moment goes on from its last checkpoint when started again with
    the same plan, through the same blocks with the same randomness.

    Parameters
    ----------
    plan
        What and how.
    source
        The cells.
    make
        Returns the untrained objective, the same in every process.
    fabric
        Device and processes.
    say, progress
        Told, in the first process, where training begins and how each epoch ended; how far it is.

    Raises
    ------
    InputError
        The blocks of a step cannot be shared by the processes, or the folder holds a checkpoint of
        another plan.
    """
    fabric.launch()
    if plan.blocks_per_step % fabric.world_size:
        message = (
            f"{plan.blocks_per_step} blocks per step cannot be shared by {fabric.world_size} "
            "processes; set blocks_per_step to a multiple."
        )
        raise InputError(message)
    plan.out.mkdir(parents=True, exist_ok=True)
    objective = make()
    # One pass over every table instead of one per operation of the rule.
    optimiser = torch.optim.AdamW(
        objective.groups(plan.learning_rate), weight_decay=0.0, fused=True
    )
    steps_per_epoch = min(
        len(
            source.blocks(
                plan.block, epoch=0, stream=s, streams=plan.blocks_per_step, seed=plan.seed
            )
        )
        for s in range(plan.blocks_per_step)
    )
    steps = plan.epochs * steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / plan.warmup) * _cosine(min(step / max(steps, 1), 1)),
    )
    module, wrapped = fabric.setup(objective, optimiser)
    state = _Checkpoint(plan, objective, optimiser, schedule)
    step, history, sum_ = state.load()
    first = fabric.global_rank == 0
    if step and first:
        say(f"going on from the checkpoint at step {step} of {steps}")
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as ahead:
        batches = _Batches(plan, source, objective, fabric)
        following = ahead.submit(batches.of_step, step, steps_per_epoch) if step < steps else None
        while step < steps and following is not None:
            ready = following.result()
            # The next step is prepared while this one is computed.
            following = (
                ahead.submit(batches.of_step, step + 1, steps_per_epoch)
                if step + 1 < steps
                else None
            )
            objective.train()
            loss = _step(fabric, module, ready, plan)
            fabric.clip_gradients(module, wrapped, max_norm=plan.clip)
            wrapped.step()
            wrapped.zero_grad()
            schedule.step()
            objective.after_step()
            sum_ += float(cast("Tensor", fabric.all_reduce(loss, reduce_op="mean")))
            step += 1
            if first:
                progress("training", step, steps)
            if step % steps_per_epoch == 0:
                row = {
                    "epoch": step // steps_per_epoch,
                    "step": step,
                    "train": round(sum_ / steps_per_epoch, 5),
                    "held_out": round(validate(objective, source, plan, fabric), 5),
                    "seconds": round(time.perf_counter() - began, 1),
                }
                history.append(row)
                sum_, began = 0.0, time.perf_counter()
                if first:
                    say(", ".join(f"{name} {value}" for name, value in row.items()))
            if first and (step % plan.checkpoint_every == 0 or step % steps_per_epoch == 0):
                state.save(step, history, sum_)
    if first:
        figures = objective.finish(source, plan.seed, progress)
        objective.save(plan.out, history=[*history, figures] if figures else history)
        draw_curve(history, plan.out / "curve.png")
    fabric.barrier()
    return history


class _Batches:
    """The blocks of a step that belong to this process, prepared."""

    def __init__(self, plan: Plan, source: Source, objective: Objective, fabric: "Fabric") -> None:
        self._plan, self._source, self._objective = plan, source, objective
        self._mine = range(fabric.global_rank, plan.blocks_per_step, fabric.world_size)
        self._epoch = -1
        self._streams: list[Any] = []

    def of_step(self, step: int, steps_per_epoch: int) -> list[tuple[Any, ...]]:
        plan = self._plan
        epoch, place = divmod(step, steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._streams = [
                self._source.blocks(
                    plan.block, epoch=epoch, stream=s, streams=plan.blocks_per_step, seed=plan.seed
                )
                for s in self._mine
            ]
        return [
            self._objective.prepare(
                stream[place], np.random.default_rng([plan.seed, epoch, place, number])
            )
            for number, stream in zip(self._mine, self._streams, strict=True)
        ]


def _step(fabric: "Fabric", module: Any, ready: list[tuple[Any, ...]], plan: Plan) -> Tensor:
    """Accumulate the gradients of the blocks of a step; return their mean loss."""
    total = torch.zeros((), device=fabric.device)
    for number, batch in enumerate(ready):
        last = number == len(ready) - 1
        try:
            with fabric.no_backward_sync(module, enabled=not last):
                loss = module(fabric.to_device(batch)) / len(ready)
                fabric.backward(loss)
        except torch.OutOfMemoryError as error:
            message = (
                f"a block of {plan.block} cells does not fit into the memory of {fabric.device}; "
                f"set block = {max(plan.block // 2, 1)} and blocks_per_step = "
                f"{2 * plan.blocks_per_step}, which makes the same step."
            )
            raise InputError(message) from error
        total += loss.detach()
    return total


@torch.no_grad()
def validate(objective: Objective, source: Source, plan: Plan, fabric: "Fabric") -> float:
    """Return the loss of the held-out cells, under a corruption that is always the same."""
    objective.eval()
    losses, sizes = [], []
    for number, block in enumerate(source.held_out(plan.block)):
        batch = objective.prepare(block, np.random.default_rng([plan.seed, number]))
        losses.append(float(objective(fabric.to_device(batch))))
        sizes.append(len(block.totals))
    return float(np.average(losses, weights=sizes)) if losses else math.nan


class _Checkpoint:
    """Everything that a stopped run needs to go on, in one file that is replaced at once."""

    def __init__(self, plan: Plan, objective: Objective, optimiser: Any, schedule: Any) -> None:
        self._path = plan.out / CHECKPOINT
        self._plan = json.dumps(asdict(plan), default=str, sort_keys=True)
        self._parts = {"objective": objective, "optimiser": optimiser, "schedule": schedule}

    def load(self) -> tuple[int, list[dict[str, Any]], float]:
        """Return step, history and the running sum of the loss; zero without a checkpoint."""
        if not self._path.exists():
            return 0, [], 0.0
        try:
            state = torch.load(self._path, weights_only=True, map_location="cpu")
        # A broken pickle raises almost any kind of error; the cause is kept.
        except Exception as error:
            message = (
                f"{self._path} is no whole checkpoint ({type(error).__name__}: {error}); remove it "
                "to begin anew."
            )
            raise InputError(message) from error
        if state["plan"] != self._plan:
            message = (
                f"{self._path} belongs to a run with another configuration; name another out "
                "folder, or remove the checkpoint to begin anew."
            )
            raise InputError(message)
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        return state["step"], json.loads(state["history"]), state["sum"]

    def save(self, step: int, history: list[dict[str, Any]], sum_: float) -> None:
        state = {name: part.state_dict() for name, part in self._parts.items()}
        state |= {"plan": self._plan, "step": step, "history": json.dumps(history), "sum": sum_}
        partial = self._path.with_suffix(".new")
        torch.save(state, partial)
        partial.replace(self._path)


def draw_curve(history: list[dict[str, Any]], path: Path) -> None:
    """Draw training and held-out loss over epochs."""
    from matplotlib.figure import Figure

    if not history:
        return
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    for name, label in (("train", "training"), ("held_out", "held out")):
        axes.plot(epochs, [row[name] for row in history], marker="o", label=label)
    axes.set(xlabel="epoch", ylabel="loss (nats)")
    axes.legend()
    figure.savefig(path, dpi=150)


def _cosine(share: float) -> float:
    """Return the falling half cosine from 1 to 0 at a share of the training."""
    return 0.5 * (1 + math.cos(math.pi * share))
