"""Cell codes for any embedding: a codebook is fitted, every cell gets its nearest entry."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .base import Progress
from .scd import Discretised, SoftConditionalDiscretisation, codebook_spread

SOFT_TEMPERATURE = 0.1
"""Temperature of the soft code probabilities."""

SPREAD_WEIGHT = 0.1
CODEBOOK_WEIGHT = 1.0


class Assignment(NamedTuple):
    """Codes of ``n`` cells.

    Attributes
    ----------
    code, second
        (n,) index of the nearest and the second nearest codebook entry.
    probability, entropy
        (n,) soft probability of the code at temperature 0.1; entropy of the assignment, nats.
    """

    code: np.ndarray
    second: np.ndarray
    probability: np.ndarray
    entropy: np.ndarray


@dataclass(frozen=True)
class Codes:
    """A fitted codebook and the codes of the cells it was fitted to.

    Attributes
    ----------
    code, second, probability, entropy
        See :class:`Assignment`.
    codebook
        (n_codes, code_width) float32, unit rows.
    bits
        Binary digits of each code, the condition its entry is generated from.
    health
        One sentence for the user.
    """

    code: np.ndarray
    second: np.ndarray
    probability: np.ndarray
    entropy: np.ndarray
    codebook: np.ndarray
    bits: list[str]
    health: str


@dataclass(frozen=True)
class CodesConfig:
    """Choices of the fit.

    Attributes
    ----------
    n_bits
        Bits of a code; fewer are taken when there are less than ``cells_per_code`` cells a code.
    cells_per_code
        Cells that a code should have on average.
    code_width, condition_width
        Width of the code space and of the layers that generate the codebook.
    steps, batch, learning_rate
        Steps of AdamW, cells in each, peak rate.
    start
        Where in the temperature schedule to begin, [0, 1]: above 0 for a trained codebook.
    usage
        Weight of the entropy of code usage. A corpus of many tissues needs many codes; on one data
        set a large weight would split cells that are alike.
    """

    n_bits: int = 10
    cells_per_code: int = 3
    code_width: int = 32
    condition_width: int = 128
    steps: int = 600
    batch: int = 512
    learning_rate: float = 2e-3
    start: float = 0.0
    usage: float = 0.01


def fit_codes(
    embedding: np.ndarray, *, seed: int, progress: Progress, config: CodesConfig | None = None
) -> Codes:
    """Fit a codebook to an embedding and return the codes of its cells.

    The embedding is projected to its principal axes, each divided by the square root of its
    deviation; the codebook of :class:`~scypher.encoders.scd.SoftConditionalDiscretisation` is then
    trained so that the code of a cell gives its place back. No count and no label is used.

    Parameters
    ----------
    embedding
        (n_cells, width).
    seed
        Of every random choice.
    progress
        Told how far it is.
    config
        Choices of the fit.
    """
    cells = np.ascontiguousarray(embedding, dtype=np.float32)
    model = fit_codebook(cells, seed=seed, progress=progress, config=config or CodesConfig())
    assignment = assign_codes(model, cells)
    with torch.no_grad():
        codebook = model.codebook().numpy()
    return Codes(
        *assignment,
        codebook=codebook,
        bits=binary(len(codebook)),
        health=code_health(assignment.code, len(codebook)),
    )


def fit_codebook(
    cells: np.ndarray, *, seed: int, progress: Progress, config: CodesConfig
) -> SoftConditionalDiscretisation:
    """Return a discretisation made for an embedding and trained on it; see :func:`fit_codes`.

    Parameters
    ----------
    cells
        (n_cells, width) float32.
    seed, progress, config
        See :func:`fit_codes`.
    """
    n_bits = int(np.clip(np.log2(max(len(cells) / config.cells_per_code, 2)), 3, config.n_bits))
    width = cells.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SoftConditionalDiscretisation(
            width,
            width,
            n_bits=n_bits,
            code_width=min(config.code_width, width),
            condition_width=config.condition_width,
        )
    initialise_projection(model, cells)
    train_codes(model, cells, seed=seed, progress=progress, config=config)
    return model


def binary(n_codes: int) -> list[str]:
    """Return the binary digits of each code, most significant first.

    Examples
    --------
    >>> binary(4)
    ['00', '01', '10', '11']
    """
    return [format(index, f"0{(n_codes - 1).bit_length()}b") for index in range(n_codes)]


def train_codes(
    model: SoftConditionalDiscretisation,
    cells: np.ndarray,
    *,
    seed: int,
    progress: Progress,
    config: CodesConfig,
) -> None:
    """Train codebook and output, in place, so that the code of a cell gives its embedding back.

    The projection to the code space stays as it is. The loss is the squared distance of embedding
    and output over the variance of the embedding, plus :func:`code_terms`.

    Parameters
    ----------
    model
        Changed in place.
    cells
        (n_cells, in_width) embedding; ``out_width`` equals ``in_width``.
    seed, progress, config
        See :func:`fit_codes`.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    variance = max(float(cells.var(axis=0).sum()), 1e-12)
    trained = [*model.condition.parameters(), *model.expand.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    for step in range(config.steps):
        rows = rng.choice(len(cells), min(config.batch, len(cells)), replace=False)
        given = torch.from_numpy(cells[rows])
        place = config.start + (1 - config.start) * step / config.steps
        result = model(given, temperature(place), generator)
        loss = (result.quantised - given).square().sum(dim=1).mean() / variance
        loss = loss + code_terms(model, result, config.usage)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        progress("training the codebook", step + 1, config.steps)


def initialise_projection(model: SoftConditionalDiscretisation, cells: np.ndarray) -> None:
    """Set the projection to the code space to the principal axes of the embedding.

    Centred, and each axis divided by the square root of its deviation: cells then lie all over the
    sphere of the codebook and many codes are used from the start, while large axes still count for
    more than small ones.

    Parameters
    ----------
    model
        Changed in place.
    cells
        (n_cells, width) embedding.
    """
    mean = cells.mean(axis=0)
    centred = (cells - mean).astype(np.float64)
    strength, axes = np.linalg.eigh(centred.T @ centred / len(cells))
    k = model.project.out_features
    strength, axes = strength[::-1][:k], axes[:, ::-1][:, :k]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(k)])
    weight = (axes / np.maximum(strength, 1e-8) ** 0.25).T
    with torch.no_grad():
        model.project.weight.copy_(torch.from_numpy(weight))
        model.project.bias.copy_(torch.from_numpy(-weight @ mean))


@torch.no_grad()
def assign_codes(
    model: SoftConditionalDiscretisation, embedding: np.ndarray, chunk: int = 8192
) -> Assignment:
    """Return the codes of cells: highest cosine, ties to the lowest index."""
    codebook = model.codebook()
    parts = []
    for start in range(0, len(embedding), chunk):
        cells = torch.from_numpy(np.ascontiguousarray(embedding[start : start + chunk]))
        parts.append(assign(model.similarity(cells, codebook)))
    return Assignment(*(np.concatenate(item) for item in zip(*parts, strict=True)))


def assign(similarity: Tensor) -> Assignment:
    """Return the codes of cells from their cosines to all codes, (n, n_codes)."""
    probability = (2 * similarity / SOFT_TEMPERATURE).softmax(dim=1)
    code = similarity.argmax(dim=1)
    best = probability.gather(1, code[:, None]).squeeze(1)
    entropy = -(probability * torch.log(probability.clamp_min(1e-12))).sum(dim=1)
    second = similarity.scatter(1, code[:, None], -2).argmax(dim=1)
    return Assignment(*(item.numpy() for item in (code, second, best, entropy)))


def temperature(progress: float) -> float:
    """Return the temperature of the discretisation at a share of the training, [0, 1].

    Falls exponentially from 1 to 0.05 over the first 60 %, then stays at 0.02.

    Examples
    --------
    >>> temperature(0.0), round(temperature(0.3), 3), temperature(0.8)
    (1.0, 0.224, 0.02)
    """
    return float(0.05 ** (progress / 0.6)) if progress < 0.6 else 0.02


def code_terms(
    model: SoftConditionalDiscretisation, result: Discretised, usage_weight: float
) -> Tensor:
    """Return the codebook terms.

    Spread keeps codes apart; the negative entropy of their usage keeps cells from gathering on a
    few (a codebook collapses); the distance of codes to their cells, the codebook loss of van den
    Oord et al. (2017), keeps codes where the cells are, so that cells of one code are alike.
    """
    usage = result.probability.mean(dim=0)
    negative_entropy = (usage * torch.log(usage + 1e-12)).sum()
    spread = codebook_spread(model.codebook())
    distance = 1 - result.closeness.mean()
    return SPREAD_WEIGHT * spread + usage_weight * negative_entropy + CODEBOOK_WEIGHT * distance


def perplexity(code: np.ndarray) -> float:
    """Return the exponential of the entropy of code usage: the number of codes used equally."""
    share = np.bincount(code) / len(code)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def code_health(code: np.ndarray, n_codes: int) -> str:
    """Return how many codes are in use and their perplexity, as a sentence for the user."""
    used = len(np.unique(code))
    return f"{used} of {n_codes} codes in use, perplexity {perplexity(code):.0f}"
