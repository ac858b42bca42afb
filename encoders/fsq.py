"""Finite scalar quantisation, the ablation of the codebook: no codebook, no temperature."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .base import Progress
from .errors import InputError

LEVELS = (8, 8, 8, 8)


def fit_fsq(
    embedding: np.ndarray,
    *,
    seed: int,
    levels: Sequence[int] = LEVELS,
    steps: int = 600,
    progress: Progress = lambda what, done, total: None,
) -> np.ndarray:
    """Return codes of cells by finite scalar quantisation (Mentzer et al., ICLR 2024).

    The embedding is projected to one axis per entry of ``levels``, each axis is rounded to that
    many values, and projection and output are trained so that the rounded place gives the
    embedding back. There are ``prod(levels)`` codes.

    Parameters
    ----------
    embedding
        (n_cells, width).
    seed
        Of the order of cells.
    levels
        Values of each axis.
    steps
        Steps of AdamW, 512 cells each.
    progress
        Told how far it is.

    Returns
    -------
    numpy.ndarray
        (n_cells,) int64.

    Raises
    ------
    InputError
        vector-quantize-pytorch is not installed.
    """
    try:
        from vector_quantize_pytorch import FSQ
    except ImportError as error:
        message = (
            "finite scalar quantisation needs vector-quantize-pytorch; install it with "
            "pip install 'scypher[evaluate]'."
        )
        raise InputError(message) from error
    cells = np.ascontiguousarray(embedding, dtype=np.float32)
    mean = cells.mean(axis=0)
    strength, axes = np.linalg.eigh(np.cov((cells - mean).astype(np.float64).T))
    order = np.argsort(-strength)[: len(levels)]
    weight = (axes[:, order] / np.sqrt(np.maximum(strength[order], 1e-12))).T.astype(np.float32)
    quantiser = FSQ(levels=list(levels))
    enter, leave = nn.Linear(cells.shape[1], len(levels)), nn.Linear(len(levels), cells.shape[1])
    with torch.no_grad():
        enter.weight.copy_(torch.from_numpy(weight))
        enter.bias.copy_(torch.from_numpy(-weight @ mean))
        leave.weight.copy_(torch.from_numpy(np.linalg.pinv(weight)))
        leave.bias.copy_(torch.from_numpy(mean))
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW([*enter.parameters(), *leave.parameters()], lr=1e-3)
    variance = max(float(cells.var(axis=0).sum()), 1e-12)
    for step in range(steps):
        rows = rng.choice(len(cells), min(512, len(cells)), replace=False)
        given = torch.from_numpy(cells[rows])
        rounded, _ = quantiser(enter(given).unsqueeze(0))
        loss = (leave(rounded.squeeze(0)) - given).square().sum(dim=1).mean() / variance
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        progress("finite scalar quantisation", step + 1, steps)
    with torch.no_grad():
        _, code = quantiser(enter(torch.from_numpy(cells)).unsqueeze(0))
    result: np.ndarray = code.squeeze(0).numpy().astype(np.int64)
    return result
