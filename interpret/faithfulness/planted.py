"""Cells whose codes have known causes: what a test of explanations must find."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..statistics import Floats, Ints, tidy
from .asked import Explained

KINDS = ("driver", "decoy", "hub", "background")
DRIVERS, DECOYS = 2, 2
"""Genes of either kind of a state."""

_ON, _OFF, _DEPTH = 6.0, 0.3, 0.3
_FOLLOWS = 0.75
_HUB = 40.0


@dataclass(frozen=True)
class Planted:
    """Cells whose codes are caused by known genes.

    Attributes
    ----------
    counts
        CSR (n_cells, n_genes) counts.
    tokens
        CSR (n_cells, n_genes) log1p counts per 10,000 of every expressed gene.
    code, state
        (n_cells,) code; its state, code // 2.
    batch
        (n_cells,) batch.
    kind
        (n_genes,) position in :data:`KINDS`.
    owner
        (n_genes,) state of a driver or decoy, -1 for others.
    """

    counts: csr_matrix
    tokens: csr_matrix
    code: Ints
    state: Ints
    batch: Ints
    kind: Ints
    owner: Ints

    def explained(self, attention: NDArray[Any]) -> Explained:
        """Return the cells to be judged, with the attention of their edges."""
        present = np.unique(self.code)
        return Explained(
            tokens=self.tokens,
            attention=np.asarray(attention, np.float64),
            state=self.state,
            state_of_code=present // 2,
            mean=np.asarray(self.tokens.mean(axis=0), np.float64).ravel(),
            detection=np.asarray((self.tokens > 0).mean(axis=0), np.float64).ravel(),
        )


def plant(
    rng: np.random.Generator,
    *,
    n_cells: int = 3000,
    n_states: int = 8,
    n_hubs: int = 10,
    n_background: int = 120,
) -> Planted:
    """Draw cells whose codes are caused by the counts of their driver genes alone.

    Each cell runs the program of one state, which raises the Poisson rate of two drivers and two
    decoys twenty-fold; one decoy in four runs a random program instead, so that a decoy goes along
    with its drivers but says less of them. The state of a cell is the one whose drivers have the
    highest sum of log1p counts, whatever its program, and the code says which of the two drivers is
    higher, ties at random: given the drivers, no other gene has anything to do with the code. Hubs
    are high in all cells. Cells differ in depth (log sd 0.3) and lie in two batches that change
    every background gene and hub by a factor (log sd 0.5).

    Parameters
    ----------
    rng
        Source of all randomness.
    n_cells, n_states, n_hubs, n_background
        Sizes; every state has two drivers and two decoys.
    """
    kind = np.repeat(np.arange(4), [DRIVERS * n_states, DECOYS * n_states, n_hubs, n_background])
    owner = np.full(len(kind), -1)
    owner[kind == 0] = np.repeat(np.arange(n_states), DRIVERS)
    owner[kind == 1] = np.repeat(np.arange(n_states), DECOYS)
    program, batch = rng.integers(n_states, size=n_cells), rng.integers(2, size=n_cells)
    base = np.where(kind == 2, _HUB, rng.gamma(0.5, 2.0, len(kind)) + 0.05)
    rate = base * np.exp(rng.normal(0, 0.5, (2, len(kind))))[batch]
    runs = np.where(
        (kind == 1) & (rng.random(rate.shape) > _FOLLOWS),
        rng.integers(n_states, size=rate.shape),
        program[:, None],
    )
    of_state = owner >= 0
    rate[:, of_state] = np.where(runs == owner, _ON, _OFF)[:, of_state]
    rate *= np.exp(rng.normal(0, _DEPTH, (n_cells, 1)))
    counts = rng.poisson(rate)
    logs = np.log1p(counts[:, kind == 0]).reshape(n_cells, n_states, DRIVERS)
    logs = logs + rng.uniform(0, 1e-6, logs.shape)
    state = logs.sum(axis=2).argmax(axis=1)
    code = 2 * state + logs[np.arange(n_cells), state].argmax(axis=1)
    sparse = csr_matrix(counts.astype(np.float32))
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    tokens = csr_matrix(np.log1p(counts / total * 1e4).astype(np.float32))
    return Planted(sparse, tokens, code, state, batch, kind, owner)


def recovered(planted: Planted, state: Ints, gene: Ints, score: Floats) -> pd.DataFrame:
    """Return where a score puts the planted genes of each state.

    Parameters
    ----------
    planted
        The cells.
    state, gene, score
        (n,) score of genes in states, such as the columns of
        :func:`~scypher.interpret.faithfulness.ablation.ablation`; genes that are not listed for a
        state count as below all others.

    Returns
    -------
    DataFrame
        One row per state: ``state``; ``best_driver`` and ``best_decoy``, ranks from 1 among all
        genes, ties at mean rank; ``hubs_above``, share of the hubs above the 95th percentile of
        the genes; ``auroc`` of the drivers against all genes that are not its drivers, decoys and
        the drivers of other states among them, [0, 1].
    """
    from scipy.stats import rankdata

    n_states, n_genes = int(planted.owner.max()) + 1, len(planted.owner)
    table = np.full((n_states, n_genes), -np.inf)
    table[state, gene] = score
    ranks = rankdata(-table, axis=1)
    numbers = np.arange(n_states)[:, None]
    driver = (planted.kind == 0) & (planted.owner == numbers)
    decoy = (planted.kind == 1) & (planted.owner == numbers)
    own_ranks = np.where(driver, ranks, 0).sum(axis=1)
    n_driver = driver.sum(axis=1)
    n_other = n_genes - n_driver
    # Mann-Whitney: pairs in which the driver ranks before the other gene.
    area = 1 - (own_ranks - n_driver * (n_driver + 1) / 2) / (n_driver * n_other)
    return tidy(
        {
            "state": np.arange(n_states),
            "best_driver": np.where(driver, ranks, np.inf).min(axis=1),
            "best_decoy": np.where(decoy, ranks, np.inf).min(axis=1),
            "hubs_above": (ranks[:, planted.kind == 2] <= 0.05 * n_genes).mean(axis=1),
            "auroc": area,
        }
    )
