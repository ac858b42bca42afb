"""Networks of known answers: the code of a cell is a softmax over the genes it sees."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import log_softmax

from scypher.interpret.faithfulness.asked import Explained

N_STATES, CODES_PER_STATE, N_GENES, TOKENS = 4, 2, 120, 40
CAUSES = 2


@dataclass(frozen=True)
class Told:
    """logits of codes = sum of the weights (n_genes, n_codes) of the genes of the cell."""

    tokens: csr_matrix
    code: np.ndarray
    weights: np.ndarray
    attention: np.ndarray
    seed: int = 0

    def read(self) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        return self.attention, {}, np.zeros((self.tokens.shape[0], 1))

    def code_log_probability(
        self, tokens: csr_matrix | None = None, rows: Any = None
    ) -> np.ndarray:
        tokens = self.tokens if tokens is None else tokens
        rows = np.arange(tokens.shape[0]) if rows is None else rows
        seen = tokens[rows]
        seen.data = np.ones_like(seen.data)
        return np.asarray(log_softmax(seen @ self.weights, axis=1))

    def attributions(self, rows: Any = None, *, steps: int = 16) -> np.ndarray:
        seen = self.tokens[rows]
        cell = np.repeat(np.arange(len(rows)), np.diff(seen.indptr))
        seen.data = np.ones_like(seen.data)
        own = self.code[rows]
        total = np.zeros(seen.nnz)
        for step in range(steps):
            share = (step + 0.5) / steps
            probability = np.exp(log_softmax(share * (seen @ self.weights), axis=1))
            expected = (probability[cell] * self.weights[seen.indices]).sum(axis=1)
            total += (self.weights[seen.indices, own[cell]] - expected) / steps
        return total

    def randomised(self, seed: int) -> "Told":
        rng = np.random.default_rng(seed)
        return replace(self, attention=rng.random(self.tokens.nnz))


def _toy(seed: int = 0, n_cells: int = 240) -> tuple[Told, Explained]:
    """Cells of four states with two causes each, and attention that knows what each gene does.

    The other genes are the same for all states; expression says nothing of the causes.
    """
    rng = np.random.default_rng(seed)
    code = rng.integers(0, N_STATES * CODES_PER_STATE, n_cells)
    state = code // CODES_PER_STATE
    columns = np.stack(
        [
            np.concatenate(
                [
                    np.arange(CAUSES) + CAUSES * s,
                    rng.choice(
                        np.arange(CAUSES * N_STATES, N_GENES), TOKENS - CAUSES, replace=False
                    ),
                ]
            )
            for s in state
        ]
    )
    columns.sort(axis=1)
    values = rng.uniform(1, 3, columns.size).astype(np.float32)
    shape = (n_cells, N_GENES)
    tokens = csr_matrix((values, columns.ravel(), np.arange(0, columns.size + 1, TOKENS)), shape)
    weights = rng.normal(0, 0.02, (N_GENES, N_STATES * CODES_PER_STATE))
    for gene in range(CAUSES * N_STATES):
        own = gene // CAUSES
        weights[gene, own * CODES_PER_STATE : (own + 1) * CODES_PER_STATE] += 2
    asked = Told(tokens, code, weights, np.zeros(tokens.nnz))
    size = np.abs(asked.attributions(np.arange(n_cells)))
    attention = size * np.exp(rng.normal(0, 0.3, tokens.nnz))
    asked = replace(asked, attention=attention)
    explained = Explained(
        tokens=tokens,
        attention=attention,
        state=state,
        state_of_code=np.arange(N_STATES * CODES_PER_STATE) // CODES_PER_STATE,
        mean=np.asarray(tokens.mean(axis=0)).ravel(),
        detection=np.asarray((tokens > 0).mean(axis=0)).ravel(),
        donor=rng.integers(0, 4, n_cells),
    )
    return asked, explained


def _blind(asked: Told, explained: Explained, seed: int = 0) -> tuple[Told, Explained]:
    """The same with attention that knows nothing."""
    attention = np.random.default_rng(seed).random(asked.tokens.nnz)
    return replace(asked, attention=attention), replace(explained, attention=attention)


def _trainer(asked: Told, *, noise: float) -> Any:
    """Train networks whose attention is the true one times exp(noise)."""

    def train(seed: int, rows: np.ndarray) -> Told:
        rng = np.random.default_rng([seed, rows.sum()])
        every = csr_matrix((asked.attention, asked.tokens.indices, asked.tokens.indptr))
        attention = every[rows].data
        # A gene has one error in a training, or the mean over cells would remove it.
        error = np.exp(noise * rng.normal(size=N_GENES))
        part = asked.tokens[rows]
        return replace(
            asked,
            tokens=part,
            code=asked.code[rows],
            attention=attention * error[part.indices],
        )

    return train


@pytest.fixture(scope="session")
def toy() -> Any:
    """Make a network of known answers and its cells."""
    return _toy


@pytest.fixture(scope="session")
def blind() -> Any:
    """Make the same with attention that knows nothing."""
    return _blind


@pytest.fixture(scope="session")
def trainer() -> Any:
    """Make a training whose attention has errors of a given size."""
    return _trainer
