"""Masked training of :mod:`scypher.kg.attention`.

Imports torch: load it only where a network is trained.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .batches import absent_genes, hide, local_pairs, see
from .bipartite import Bipartite, Bools, Popularity
from .model import Network
from .trained import TrainedNetwork, row_batches, use_threads

if TYPE_CHECKING:
    from ...encoders.base import Progress
    from .config import GraphAttentionConfig, Integers


def train(
    graph: Bipartite, config: "GraphAttentionConfig", seed: int, progress: "Progress"
) -> "tuple[TrainedNetwork, list[dict[str, Any]]]":
    """Train, restore the best epoch and return the network and its history."""
    rng = np.random.default_rng(seed)
    watched, known = _hold_out(graph, config, rng)
    popularity = Popularity.of(graph, known)
    # Dropout and the initial weights draw from the global generator of the CPU: lend it.
    with use_threads(config.threads), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = Network(graph, config)
        # Start the prediction of values at their mean, or its error drowns the other goals.
        nn.init.constant_(network.value.offset.bias, float(graph.tokens.data[known].mean()))
        history: list[dict[str, Any]] = []
        best, weights = -1, _copy(network)
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        for epoch in range(config.epochs):
            network.train()
            terms = [
                _update(network, optimiser, graph, rows, known, popularity, config, rng)
                for rows in row_batches(rng.permutation(len(graph.cells)), config.batch_cells)
            ]
            score = _judge(network, graph, watched, known, popularity, config, seed)
            history.append({"epoch": epoch + 1, **_mean(terms), **score})
            progress("graph attention", epoch + 1, config.epochs + 1)
            reached = history[best]["auroc"] if best >= 0 else np.nan
            if not score["auroc"] <= reached:
                best, weights = epoch, _copy(network)
            elif epoch - best >= config.patience:
                break
        network.load_state_dict(weights)
    for epoch, row in enumerate(history):
        row["kept"] = epoch == best
    return TrainedNetwork(graph, network, popularity, config), history


def _update(
    network: Network,
    optimiser: torch.optim.Optimizer,
    graph: Bipartite,
    rows: "Integers",
    known: Bools,
    popularity: Popularity,
    config: "GraphAttentionConfig",
    rng: np.random.Generator,
) -> dict[str, float]:
    step = hide(graph, rows, known, popularity=popularity, share=config.hide, rng=rng)
    terms = network.losses(step, graph.first)
    scale = {
        "existence": config.existence_weight,
        "value": config.existence_weight,
        "code": config.code_weight,
        "metadata": config.metadata_weight,
    }
    if not terms:
        return {}
    loss = torch.stack([scale[name] * term for name, term in terms.items()]).sum()
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
    return {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}


def _hold_out(
    graph: Bipartite, config: "GraphAttentionConfig", rng: np.random.Generator
) -> "tuple[Integers, Bools]":
    """Return the cells that lose edges to validation and, per token, whether training knows it."""
    size = min(config.held_out_cells, len(graph.cells))
    watched = np.sort(rng.choice(len(graph.cells), size, replace=False))
    _, position = graph.positions(watched)
    known = np.ones(graph.tokens.nnz, dtype=bool)
    known[position[rng.random(len(position)) < config.held_out]] = False
    if not known.any():
        known[:] = True
    return watched, known


@torch.inference_mode()
def _judge(
    network: Network,
    graph: Bipartite,
    watched: "Integers",
    known: Bools,
    popularity: Popularity,
    config: "GraphAttentionConfig",
    seed: int,
) -> dict[str, float]:
    """Return the AUROC of held-out edges against absent genes, ours and by popularity."""
    from sklearn.metrics import roc_auc_score

    network.eval()
    # The same absent genes in every epoch, so that epochs can be compared.
    rng = np.random.default_rng([seed, 1])
    truth, ours, popular = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for rows in row_batches(watched, config.batch_cells):
        cell, position = graph.positions(rows)
        every = graph.edges(cell, position)
        held = every[~known[position]]
        absent = absent_genes(every, held.cell, popularity, rng)
        batch = see(
            graph,
            rows,
            every[known[position]],
            codes=graph.codes[rows],
            values=graph.values[rows],
            blind=np.zeros(len(rows), dtype=bool),
            popularity=popularity,
            further=(held.gene, absent.gene),
        )
        cells, genes, _ = network(batch)
        ours.append(network.existence(cells, genes, local_pairs(batch, held, absent)).numpy())
        count = np.bincount(cell[known[position]], minlength=len(rows))
        for edges, label in ((held, 1), (absent, 0)):
            truth.append(np.full(len(edges), label))
            popular.append(popularity.degree[edges.gene] * count[edges.cell])
    labels = np.concatenate(truth)
    if not 0 < labels.sum() < len(labels):
        return {"auroc": np.nan, "auroc_popularity": np.nan}
    return {
        "auroc": float(roc_auc_score(labels, np.concatenate(ours))),
        "auroc_popularity": float(roc_auc_score(labels, np.concatenate(popular))),
    }


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _mean(terms: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the steps that had it, ``NaN`` where none had."""
    names = ("loss", "existence", "value", "code", "metadata")
    found = {name: [step[name] for step in terms if name in step] for name in names}
    return {name: float(np.mean(values)) if values else np.nan for name, values in found.items()}
