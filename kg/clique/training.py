"""Masked training of :mod:`scypher.kg.clique`.

Imports torch: load it only where a network is trained.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...encoders.codes import temperature
from ..attention.trained import row_batches, use_threads
from .batches import ask, see
from .data import CliqueData
from .model import CliqueNetwork
from .trained import TrainedClique

if TYPE_CHECKING:
    from ...encoders.base import Progress
    from ..attention.config import Integers
    from .config import CliqueConfig

TERMS = ("value_cell", "count_cell", "value_gene", "count_gene", "code")


@dataclass(frozen=True)
class _Plan:
    """What is trained on: data, choices, cells that are watched, tokens that training knows."""

    data: CliqueData
    config: "CliqueConfig"
    watched: "Integers"
    known: npt.NDArray[np.bool_]


def train(
    data: CliqueData, config: "CliqueConfig", seed: int, progress: "Progress"
) -> "tuple[TrainedClique, list[dict[str, Any]]]":
    """Train, restore the epoch of least held-out loss and return the network and its history."""
    rng = np.random.default_rng(seed)
    plan = _plan(data, config, rng)
    # Dropout and the initial weights draw from the global generator of the CPU: lend it.
    with use_threads(config.threads), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        network = CliqueNetwork(data, config)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-8
        )
        n_cells = data.tokens.shape[0]
        steps = config.epochs * -(-n_cells // config.batch_cells)
        # A cycle needs a rise and a fall: with fewer steps than three it has no length.
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.learning_rate, total_steps=max(steps, 3)
        )
        history: list[dict[str, Any]] = []
        best, weights, step = -1, _copy(network), 0
        for epoch in range(config.epochs):
            network.train()
            terms = []
            for rows in row_batches(rng.permutation(n_cells), config.batch_cells):
                found = _step(network, plan, rows, temperature(step / steps), generator, rng)
                optimiser.zero_grad()
                torch.autograd.backward(found["loss"])
                optimiser.step()
                schedule.step()
                step += 1
                terms.append({name: term.item() for name, term in found.items()})
            history.append({"epoch": epoch + 1, **_mean(terms), **_judge(network, plan, seed)})
            progress("clique attention", epoch + 1, config.epochs + 1)
            if best < 0 or history[epoch]["held_out"] < history[best]["held_out"]:
                best, weights = epoch, _copy(network)
        network.load_state_dict(weights)
    for epoch, row in enumerate(history):
        row["kept"] = epoch == best
    return TrainedClique(data, network, config), history


def _step(
    network: CliqueNetwork,
    plan: _Plan,
    rows: "Integers",
    heat: float,
    generator: torch.Generator,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Return the loss and its terms of a batch with a share of its genes hidden."""
    data = plan.data
    cell, position = data.edges_of(rows)
    hidden = plan.known[position] & (rng.random(len(cell)) < plan.config.hide)
    visible = plan.known[position] & ~hidden
    batch = see(data, rows, cell[visible], position[visible])
    questions = ask(data, rows, cell[hidden], position[hidden], rng=rng)
    terms, _ = network.losses(batch, questions, heat, generator=generator)
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def _plan(data: CliqueData, config: "CliqueConfig", rng: np.random.Generator) -> _Plan:
    """Choose the cells that lose tokens to validation, and these tokens."""
    n_cells = data.tokens.shape[0]
    size = min(config.held_out_cells, n_cells)
    watched = np.sort(rng.choice(n_cells, size, replace=False))
    _, position = data.edges_of(watched)
    known = np.ones(data.tokens.nnz, dtype=bool)
    known[position[rng.random(len(position)) < config.held_out]] = False
    if not known.any():
        known[:] = True
    return _Plan(data, config, watched, known)


@torch.inference_mode()
def _judge(network: CliqueNetwork, plan: _Plan, seed: int) -> dict[str, float]:
    """Return the held-out loss, and the AUROC of held-out genes against genes without a count."""
    from sklearn.metrics import roc_auc_score

    network.eval()
    data = plan.data
    # The same absent genes in every epoch, so that epochs can be compared.
    rng = np.random.default_rng([seed, 1])
    loss, weight = [], []
    truth, ours, popular = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for rows in row_batches(plan.watched, plan.config.batch_cells):
        cell, position = data.edges_of(rows)
        shown = plan.known[position]
        batch = see(data, rows, cell[shown], position[shown])
        questions = ask(data, rows, cell[~shown], position[~shown], rng=rng)
        terms, value = network.losses(batch, questions, temperature(1.0), generator=None)
        there = questions.there.numpy()
        if not there.any():
            continue
        loss.append(sum(term.item() for name, term in terms.items() if name != "code"))
        weight.append(there.sum())
        truth.append(questions.count.numpy()[there] > 0)
        ours.append(value.numpy()[there])
        length = np.bincount(cell[shown], minlength=len(rows))[:, None]
        popular.append((data.degree[questions.gene.numpy()] * length)[there])
    labels = np.concatenate(truth)
    found = {"held_out": float(np.average(loss, weights=weight)) if weight else 0.0}
    if not 0 < labels.sum() < len(labels):
        return {**found, "auroc": np.nan, "auroc_popularity": np.nan}
    return {
        **found,
        "auroc": float(roc_auc_score(labels, np.concatenate(ours))),
        "auroc_popularity": float(roc_auc_score(labels, np.concatenate(popular))),
    }


def _copy(network: CliqueNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _mean(terms: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the steps that had it, ``NaN`` where none had."""
    found = {name: [s[name] for s in terms if name in s] for name in ("loss", *TERMS)}
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}
