"""The verb of training: a configuration in, a folder of weights out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..base import Progress
from ..errors import InputError
from ..registry import cards, find_encoder
from .loop import make_fabric, train
from .plan import read_plan
from .source import Source


def pretrain(
    config: Path,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda what, done, total: None,
) -> list[dict[str, Any]]:
    """Train an encoder as a configuration says; return the losses of each epoch.

    Written to its ``out`` folder: ``model.safetensors`` and ``config.json``, which
    ``--encoder DIR`` reads; ``history.json``; ``curve.png``; ``checkpoint.pt``, from which the same
    call goes on when it was stopped.

    Parameters
    ----------
    config
        TOML file, see :class:`~scypher.encoders.training.plan.Plan`.
    say
        Told what is read and where training begins.
    progress
        Told how far it is.

    Raises
    ------
    InputError
        The configuration or the data are wrong, or the encoder cannot be trained; the message lists
        those that can.
    """
    plan = read_plan(config)
    card, argument = find_encoder(plan.encoder)
    if card.pretrain is None or argument is not None:
        known = ", ".join(name for name, item in cards().items() if item.pretrain)
        message = f"{plan.encoder!r} cannot be trained; these can: {known}."
        raise InputError(message)
    make = card.pretrain
    fabric = make_fabric(plan)
    source = Source(
        plan.data,
        layer=plan.layer,
        batch=plan.batch_column or None,
        properties=plan.properties,
        min_sets=plan.min_sets,
        min_cells=plan.min_cells,
        held_out=plan.held_out,
        seed=plan.seed,
    )
    settings = {"seed": plan.seed, **plan.model}
    if fabric.global_rank == 0:
        say(f"{source.n_cells} cells of {len(source.names)} files, {len(source.genes)} genes")
    return train(
        plan, source, lambda: make(settings, source), fabric=fabric, say=say, progress=progress
    )
