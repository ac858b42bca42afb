"""Adapt a pretrained CellVQ to a data set, without labels, in seconds.

Two things are fitted; the body that reads the genes stays as it is. First, components of the
user's own cells are added to the embedding, because a tissue that the corpus lacks is described
poorly by the corpus alone. Then codebook and decoder are trained to reconstruct counts from codes.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from ..base import Progress
from .model import CellVQ
from .objective import code_terms, make_target, reconstruction, temperature


@dataclass(frozen=True)
class AdaptConfig:
    """Choices of the adaptation.

    Attributes
    ----------
    steps, batch, genes
        Training steps, cells and genes asked for in each.
    learning_rate
        Peak rate of AdamW.
    start
        Where in the temperature schedule to begin, [0, 1]: the codebook is already trained.
    usage
        Weight of the entropy of code usage. A corpus of many tissues needs many codes; on one data
        set a large weight would split cells that are alike.
    """

    steps: int = 240
    batch: int = 128
    genes: int = 800
    learning_rate: float = 5e-4
    start: float = 0.6
    usage: float = 0.01


def fit_own_components(
    model: CellVQ, values: sparse.csr_matrix, embedding: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Set the own loadings of a model to the leading components of the given cells.

    They are scaled to the total variance of the corpus components over these cells, so that both
    parts of the embedding weigh the same.

    Parameters
    ----------
    model
        Changed in place.
    values
        CSR (n_cells, n_genes of the model), log1p of counts per 10,000.
    embedding
        (n_cells, width + own_width) with own components of zero.
    rng
        Source of the starting vector.

    Returns
    -------
    numpy.ndarray
        The embedding with its own components filled in.
    """
    scaled = sparse.csr_matrix(values @ sparse.diags(1 / model.scale.numpy()), dtype=np.float64)
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    n = min(model.config.own_width, min(scaled.shape) - 1)
    operator = LinearOperator(
        scaled.shape,
        matvec=lambda x: scaled @ x.ravel() - mean @ x.ravel(),
        rmatvec=lambda y: scaled.T @ y.ravel() - mean * y.sum(),
        dtype=np.float64,
    )
    _, strength, right = svds(operator, k=n, v0=rng.standard_normal(min(scaled.shape)))
    loadings = right[np.argsort(-strength)].T
    # The sign of a singular vector is arbitrary: make its largest loading positive.
    loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(n)])
    own = scaled @ loadings
    centre = own.mean(axis=0)
    width = model.config.width
    factor = np.sqrt(own.var(axis=0).sum() / embedding[:, :width].var(axis=0).sum())
    with torch.no_grad():
        model.own_loadings[:, :n] = torch.from_numpy(loadings / factor).float()
        model.own_centre[:n] = torch.from_numpy(centre / factor).float()
    filled = embedding.copy()
    filled[:, width : width + n] = (own - centre) / factor
    return filled


def initialise_projection(model: CellVQ, cells: np.ndarray) -> None:
    """Set the projection to the code space to the principal axes of the embedding.

    Centred, and each axis divided by the square root of its deviation: cells then lie all over the
    sphere of the codebook and many codes are used from the start, while large axes still count for
    more than small ones.

    Parameters
    ----------
    cells
        (n_cells, width + own_width) embedding.
    """
    mean = cells.mean(axis=0)
    centred = (cells - mean).astype(np.float64)
    strength, axes = np.linalg.eigh(centred.T @ centred / len(cells))
    k = model.discretise.project.out_features
    strength, axes = strength[::-1][:k], axes[:, ::-1][:, :k]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(k)])
    weight = (axes / np.maximum(strength, 1e-8) ** 0.25).T
    with torch.no_grad():
        model.discretise.project.weight.copy_(torch.from_numpy(weight))
        model.discretise.project.bias.copy_(torch.from_numpy(-weight @ mean))


def adapt_codes(
    model: CellVQ,
    cells: torch.Tensor,
    counts: sparse.csr_matrix,
    totals: np.ndarray,
    *,
    config: AdaptConfig,
    seed: int,
    progress: Progress,
) -> None:
    """Train codebook and decoder on frozen cell embeddings, in place.

    Parameters
    ----------
    cells
        (n_cells, width + own_width) embedding.
    counts
        CSR (n_cells, n_genes of the model).
    totals
        (n_cells,) counts over all measured genes.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    measured = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel() > 0)
    trained = [*model.discretise.parameters(), *model.decoder.parameters(), model.gene_bias]
    optimiser = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)
    model.train()
    for step in range(config.steps):
        rows = rng.choice(len(totals), min(config.batch, len(totals)), replace=False)
        genes = np.sort(rng.choice(measured, min(config.genes, len(measured)), replace=False))
        target = make_target(sparse.csr_matrix(counts[rows]), totals[rows], genes)
        share = step / config.steps
        place = config.start + (1 - config.start) * share
        result = model.discretise(cells[torch.from_numpy(rows)], temperature(place), generator)
        loss = reconstruction(model, result.quantised, target) + code_terms(
            model, result, config.usage
        )
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        progress("adapting the codebook", step + 1, config.steps)
    model.eval()


def copy_of(model: CellVQ) -> CellVQ:
    """Return a copy that can be changed without touching the pretrained model."""
    return copy.deepcopy(model)
