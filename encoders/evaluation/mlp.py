"""The multilayer perceptron of the reference protocol."""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .probes import standardise

HIDDEN = (512, 256)
DROPOUT = 0.1
RATE = 1e-3
EPOCHS = 150
PATIENCE = 30
BATCH = 256
HELD_OUT = 0.1
"""Share of the training cells that early stopping looks at."""


def mlp(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, *, seed: int, epochs: int = EPOCHS
) -> np.ndarray:
    """Return the labels that a multilayer perceptron predicts.

    width-512-256-classes, batch normalisation, GELU and dropout 0.1 after both hidden layers;
    cross-entropy, Adam at 1e-3, batches of 256, up to 150 epochs (protocol of the evaluation of
    Cell2Sentence with variable genes). Training stops when the cross-entropy of a tenth of the
    training cells has not fallen for 30 epochs; the best state is used.

    Parameters
    ----------
    train, test
        (n, width), standardised here by mean and deviation of the training cells.
    labels
        (n_train,) labels.
    seed
        Of initial weights, held-out cells, order and dropout.
    epochs
        Most epochs.
    """
    types, target = np.unique(labels.astype(str), return_inverse=True)
    train, test = standardise(train, test)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train))
    n_held = max(1, round(HELD_OUT * len(train)))
    held, kept = order[:n_held], order[n_held:]
    x = torch.from_numpy(np.ascontiguousarray(train, dtype=np.float32))
    y = torch.from_numpy(target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout has no generator of its own
        model = _model(x.shape[1], len(types))
        best = _fit(model, (x[kept], y[kept]), (x[held], y[held]), rng=rng, epochs=epochs)
    model.load_state_dict(best)
    return np.asarray(types[_logits(model, test).argmax(dim=1).numpy()])


def _model(width: int, n_types: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for hidden in HIDDEN:
        layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Dropout(DROPOUT)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, n_types))


def _fit(
    model: nn.Sequential,
    train: tuple[Tensor, Tensor],
    held: tuple[Tensor, Tensor],
    *,
    rng: np.random.Generator,
    epochs: int,
) -> dict[str, Tensor]:
    x, y = train
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, foreach=True)
    best, lowest, since = copy.deepcopy(model.state_dict()), float("inf"), 0
    for _ in range(epochs):
        model.train()
        order = torch.from_numpy(rng.permutation(len(x)))
        # A last batch of one cell is left out: it has no variance to normalise by.
        for start in range(0, len(x) - 1, BATCH):
            rows = order[start : start + BATCH]
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        value = float(functional.cross_entropy(_logits(model, held[0]), held[1]))
        since += 1
        if value < lowest:
            best, lowest, since = copy.deepcopy(model.state_dict()), value, 0
        if since >= PATIENCE:
            break
    return best


@torch.no_grad()
def _logits(model: nn.Sequential, values: Tensor | np.ndarray) -> Tensor:
    model.eval()
    result: Tensor = model(torch.as_tensor(values, dtype=torch.float32))
    return result
