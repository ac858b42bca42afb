"""Pretrain CellVQ mini on a folder of raw counts and write the weights.

Run by maintainers::

    python -m scypher.encoders.cellvq.pretrain CORPUS_DIR OUT_DIR [--epochs N] [--seed N]

The body learns first, to reconstruct hidden counts from the cell embedding; the codebook then
learns on the finished embedding, so that discrete codes never make it coarser. Every epoch ends
with a checkpoint; a run that was stopped goes on from it when started again with the same
arguments.
"""

import argparse
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import nn

from ..counts import normalise
from .adapt import AdaptConfig, adapt_codes, initialise_projection
from .config import CellVQConfig
from .corpus import Corpus, corpus_svd, read_corpus
from .inference import assign_codes, embed
from .model import CellVQ
from .objective import Target, make_target, reconstruction, thin
from .tokens import DEEPEST, Tokens, keep_top, tokenise
from .weights import save_model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainConfig:
    """Choices of a pretraining run.

    Attributes
    ----------
    epochs, batch, learning_rate, warmup
        Passes over the training cells, cells a step, peak rate of AdamW, steps of linear warm-up.
    code_steps, code_rate, code_usage
        Steps, peak learning rate and usage weight of the codebook afterwards.
    gene_rate
        Factor on the learning rate of the gene loadings, which start as the corpus SVD.
    hidden_genes
        Share of genes hidden from the input of a batch and asked for, [0, 1].
    no_batch
        Share of cells decoded without their batch term, [0, 1].
    max_tokens
        Most expressed genes read of a cell while training; fewer than at inference, for speed.
    held_out
        Share of cells kept for validation, [0, 1].
    seed
        Of every random choice.
    """

    epochs: int = 4
    code_steps: int = 2500
    code_rate: float = 2e-3
    code_usage: float = 0.1
    batch: int = 64
    learning_rate: float = 1e-3
    warmup: int = 200
    gene_rate: float = 0.1
    hidden_genes: float = 0.25
    no_batch: float = 0.25
    max_tokens: int = 2048
    held_out: float = 0.03
    seed: int = 0


def initial_model(corpus: Corpus, config: CellVQConfig, rng: np.random.Generator) -> CellVQ:
    """Return the untrained model, whose cell embedding equals the corpus SVD."""
    values = normalise(corpus.counts, corpus.totals)
    svd = corpus_svd(values, corpus.batch, config.width, rng)
    model = CellVQ(config)
    with torch.no_grad():
        model.loadings.copy_(torch.from_numpy(svd.loadings))
        model.scale.copy_(torch.from_numpy(svd.scale))
        model.centre.copy_(torch.from_numpy(svd.centre))
        rate = np.asarray(corpus.counts.sum(axis=0)).ravel() / corpus.totals.sum()
        model.gene_bias.copy_(torch.from_numpy(np.log(np.maximum(rate, 1e-9)).astype(np.float32)))
    return model


def sample_cells(dataset: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return cells drawn with replacement, each data set by the square root of its size."""
    sizes = np.bincount(dataset)
    share = 1 / np.sqrt(sizes[dataset])
    return rng.choice(len(dataset), size=n, p=share / share.sum())


def make_batch(
    counts: sparse.csr_matrix,
    totals: np.ndarray,
    *,
    hidden_genes: float,
    max_tokens: int,
    rng: np.random.Generator,
) -> tuple[Tokens, Target]:
    """Return the input (thinned, genes hidden) and the target of a batch of cells."""
    # Full-length protocols count a hundred times deeper than UMI: bring them to a common depth.
    depth = DEEPEST * rng.uniform(0.25, 1, len(totals))
    keep = np.minimum(1, depth / totals)
    target_counts = thin(counts, keep, rng) if (keep < 1).any() else counts
    target_totals = totals * keep
    fraction = np.where(rng.random(len(totals)) < 0.3, 1.0, rng.uniform(0.2, 1, len(totals)))
    given = thin(target_counts, fraction, rng)
    hidden = np.sort(
        rng.choice(counts.shape[1], int(hidden_genes * counts.shape[1]), replace=False)
    )
    shown = np.ones(counts.shape[1], np.float32)
    shown[hidden] = 0
    given = sparse.csr_matrix(given @ sparse.diags(shown))
    given.eliminate_zeros()
    given_totals = np.maximum(target_totals * fraction, 1)
    values = keep_top(normalise(given, given_totals), max_tokens)
    tokens = tokenise(values, given_totals, np.log10(np.maximum(target_totals, 1)))
    return tokens, make_target(target_counts, target_totals, hidden)


class _Loss(nn.Module):
    """The objective with its batch terms, which are needed only while training."""

    def __init__(self, model: CellVQ, n_batches: int) -> None:
        super().__init__()
        self.model = model
        self.batch_term = nn.Embedding(n_batches + 1, model.config.width, padding_idx=0)
        nn.init.zeros_(self.batch_term.weight)

    def forward(self, tokens: Tokens, target: Target, batch: torch.Tensor) -> torch.Tensor:
        cell = self.model.read(tokens).cell
        return reconstruction(self.model, cell + self.batch_term(batch), target)


def pretrain(corpus_dir: Path, out: Path, config: PretrainConfig) -> None:
    """Train, with a checkpoint each epoch; write weights, configuration and curve to ``out``."""
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    corpus = read_corpus(corpus_dir)
    sizes = CellVQConfig(n_genes=len(corpus.genes))
    model = initial_model(corpus, sizes, rng)
    loss = _Loss(model, int(corpus.batch.max()) + 1)
    shuffled = rng.permutation(len(corpus.totals))
    n_held = int(config.held_out * len(shuffled))
    held, train = shuffled[:n_held], shuffled[n_held:]
    tables = [model.loadings]
    rest = [item for item in loss.parameters() if item is not model.loadings and item.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": tables, "lr": config.learning_rate * config.gene_rate},
            {"params": rest, "lr": config.learning_rate},
        ],
        weight_decay=0.0,
    )
    steps = config.epochs * (len(train) // config.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / config.warmup) * _cosine(min(step / steps, 1)),
    )
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    history: list[dict[str, float]] = []
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        loss.load_state_dict(state["loss"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        start, history = state["epoch"], json.loads(state["history"])
        log.info("going on after epoch %d", start)
    per_epoch = len(train) // config.batch
    for epoch in range(start, config.epochs):
        rng = np.random.default_rng([config.seed, epoch])
        order = train[sample_cells(corpus.dataset[train], per_epoch * config.batch, rng)]
        began, sum_ = time.perf_counter(), 0.0
        for position in range(per_epoch):
            cells = order[position * config.batch : (position + 1) * config.batch]
            tokens, target = make_batch(
                corpus.counts[cells],
                corpus.totals[cells],
                hidden_genes=config.hidden_genes,
                max_tokens=config.max_tokens,
                rng=rng,
            )
            batch = corpus.batch[cells] + 1
            batch = np.where(rng.random(len(cells)) < config.no_batch, 0, batch)
            value = loss(tokens, target, torch.from_numpy(batch))
            optimiser.zero_grad()
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            sum_ += value.item()
        row = {
            "epoch": epoch + 1,
            "train": sum_ / per_epoch,
            "held_out": validate(model, corpus, held, config.hidden_genes),
            "seconds": round(time.perf_counter() - began, 1),
        }
        history.append(row)
        log.info(" ".join(f"{name} {value:.4f}" for name, value in row.items()))
        torch.save(
            {
                "loss": loss.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "epoch": epoch + 1,
                "history": json.dumps(history),
            },
            checkpoint.with_suffix(".new"),
        )
        checkpoint.with_suffix(".new").replace(checkpoint)
    health = train_codes(model, corpus, train, held, config)
    log.info(json.dumps(health))
    save_model(model, corpus.genes, out, history=[*history, health])


def _cosine(share: float) -> float:
    """Return the falling half cosine from 1 to 0 at a share of the training."""
    return 0.5 * (1 + math.cos(math.pi * share))


@torch.no_grad()
def validate(model: CellVQ, corpus: Corpus, cells: np.ndarray, hidden_genes: float) -> float:
    """Return the loss on held-out cells, without batch terms, with the same hidden genes."""
    rng = np.random.default_rng(1)
    losses = []
    for chunk in np.array_split(cells, max(1, len(cells) // 64)):
        tokens, target = make_batch(
            corpus.counts[chunk],
            corpus.totals[chunk],
            hidden_genes=hidden_genes,
            max_tokens=model.config.max_tokens,
            rng=rng,
        )
        losses.append(float(reconstruction(model, model.read(tokens).cell, target)))
    return float(np.mean(losses))


def train_codes(
    model: CellVQ,
    corpus: Corpus,
    train: np.ndarray,
    held: np.ndarray,
    config: PretrainConfig,
) -> dict[str, float]:
    """Train the codebook on the embedding of the corpus, in place; return its health."""
    rng = np.random.default_rng([config.seed, 99])
    cells = np.unique(sample_cells(corpus.dataset[train], len(train), rng))
    cells = np.concatenate([train[cells], held])
    keep = np.minimum(1, DEEPEST / corpus.totals[cells])
    counts = thin(sparse.csr_matrix(corpus.counts[cells]), keep, rng)
    totals = corpus.totals[cells] * keep
    embedding, _ = embed(
        model, keep_top(normalise(counts, totals), model.config.max_tokens), totals
    )
    n = len(cells) - len(held)
    initialise_projection(model, embedding[:n])
    adapt_codes(
        model,
        torch.from_numpy(embedding[:n]),
        sparse.csr_matrix(counts[:n]),
        totals[:n],
        config=AdaptConfig(
            steps=config.code_steps,
            learning_rate=config.code_rate,
            start=0.0,
            usage=config.code_usage,
        ),
        seed=config.seed,
        progress=lambda what, done, total: None,
    )
    code = assign_codes(model, embedding)[0]
    usage = np.bincount(code, minlength=model.config.n_codes) / len(code)
    used = usage[usage > 0]
    batches = np.unique(corpus.batch[cells], return_inverse=True)[1]
    return {
        "cells": len(code),
        "active_codes": len(used),
        "dead_share": float(1 - len(used) / len(usage)),
        "perplexity": float(np.exp(-(used * np.log(used)).sum())),
        "batch_entropy": batch_entropy(code, batches),
    }


def batch_entropy(code: np.ndarray, batch: np.ndarray) -> float:
    """Return the mean over cells of the entropy of batches in their code, over the global one."""
    table = np.zeros((code.max() + 1, batch.max() + 1))
    np.add.at(table, (code, batch), 1)
    size = table.sum(axis=1)
    share = table / np.maximum(size, 1)[:, None]
    inside = -(share * np.log(np.maximum(share, 1e-300))).sum(axis=1)
    overall = table.sum(axis=0) / table.sum()
    return float(inside @ size / size.sum() / -(overall * np.log(overall)).sum())


def main() -> None:
    """Parse the arguments and pretrain."""
    parser = argparse.ArgumentParser(description="Pretrain CellVQ mini.")
    parser.add_argument("corpus", type=Path, help="folder of .h5ad files with raw counts")
    parser.add_argument("out", type=Path, help="folder for checkpoint and weights")
    parser.add_argument("--epochs", type=int, default=PretrainConfig.epochs)
    parser.add_argument("--seed", type=int, default=PretrainConfig.seed)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = PretrainConfig(epochs=arguments.epochs, seed=arguments.seed)
    pretrain(arguments.corpus, arguments.out, config)


if __name__ == "__main__":
    main()
