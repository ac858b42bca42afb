"""Self-supervised objective: reconstruct hidden counts from the embedding and from the code."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .model import CellVQ
from .scd import Discretised, codebook_spread
from .zinb import zinb_nll

SPREAD_WEIGHT = 0.1
CODEBOOK_WEIGHT = 1.0


@dataclass(frozen=True)
class Target:
    """Counts to reconstruct.

    Attributes
    ----------
    genes
        (m,) indices of the genes asked for.
    counts
        (n, m) their counts.
    totals
        (n, 1) counts of each cell over all genes.
    """

    genes: Tensor
    counts: Tensor
    totals: Tensor


def reconstruction(model: CellVQ, cell: Tensor, target: Target) -> Tensor:
    """Return the mean ZINB loss, nats, with zeros weighted to the number of non-zeros.

    Nine of ten counts are zero; at full weight they would drown what is expressed.
    """
    mean, dispersion, dropout = model.decode(cell, target.genes, target.totals)
    loss = zinb_nll(target.counts, mean, dispersion, dropout)
    positive = target.counts > 0
    n_positive = positive.sum().clamp_min(1)
    n_zero = (~positive).sum().clamp_min(1)
    over_positive = (loss * positive).sum() / n_positive
    over_zero = (loss * ~positive).sum() / n_zero
    return 0.5 * (over_positive + over_zero)


def temperature(progress: float) -> float:
    """Return the temperature of the discretisation at a share of the training, [0, 1].

    Falls exponentially from 1 to 0.05 over the first 60 %, then stays at 0.02.

    Examples
    --------
    >>> temperature(0.0), round(temperature(0.3), 3), temperature(0.8)
    (1.0, 0.224, 0.02)
    """
    return float(0.05 ** (progress / 0.6)) if progress < 0.6 else 0.02


def code_terms(model: CellVQ, result: Discretised, usage_weight: float) -> Tensor:
    """Return the codebook terms.

    Spread keeps codes apart; the negative entropy of their usage keeps cells from gathering on a
    few (a codebook collapses); the distance of codes to their cells, the codebook loss of van den
    Oord et al. (2017), keeps codes where the cells are, so that cells of one code are alike.
    """
    usage = result.probability.mean(dim=0)
    negative_entropy = (usage * torch.log(usage + 1e-12)).sum()
    spread = codebook_spread(model.discretise.codebook())
    distance = 1 - result.closeness.mean()
    return SPREAD_WEIGHT * spread + usage_weight * negative_entropy + CODEBOOK_WEIGHT * distance


def thin(
    counts: sparse.csr_matrix, keep: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Return binomially thinned counts: each count of row ``i`` is kept with ``keep[i]``."""
    share = np.repeat(keep, np.diff(counts.indptr))
    drawn = rng.binomial(counts.data.astype(np.int64), share).astype(np.float32)
    # Copied, because dropping the zeros changes the index arrays in place.
    thinned = sparse.csr_matrix(
        (drawn, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
    )
    thinned.eliminate_zeros()
    return thinned


def make_target(counts: sparse.csr_matrix, totals: np.ndarray, genes: np.ndarray) -> Target:
    """Return the dense target for some genes."""
    return Target(
        torch.from_numpy(genes),
        torch.from_numpy(counts[:, genes].toarray().astype(np.float32)),
        torch.from_numpy(totals.astype(np.float32)).unsqueeze(1),
    )
