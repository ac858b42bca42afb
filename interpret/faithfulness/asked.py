"""What the faithfulness tests ask of a trained network, and the cells they ask about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from ...encoders.errors import InputError
from ..statistics import Floats, Ints

if TYPE_CHECKING:
    from ...kg.build import Parts

Bools = NDArray[np.bool_]


class Asked(Protocol):
    """A trained network that answers questions about its own graph."""

    def read(self) -> tuple[NDArray[Any], dict[str, NDArray[Any]], NDArray[Any]]:
        """Return attention of every gene edge (1 = uniform), of the fields, and cell states."""

    def code_log_probability(
        self, tokens: csr_matrix | None = None, rows: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Return (n_rows, n_codes) log probabilities of codes, the cell's own code withheld."""

    def attributions(self, rows: NDArray[Any] | None = None, *, steps: int = 16) -> NDArray[Any]:
        """Return the integrated gradient of every gene edge of the rows, in order of tokens."""

    def randomised(self, seed: int) -> "Asked":
        """Return the network with fresh random weights."""


Train = Callable[[int, Ints], Asked]
"""Trains a network anew from a seed on the given cells; its edges are those of these cells."""


@dataclass(frozen=True)
class Explained:
    """The cells whose attention is judged.

    Attributes
    ----------
    tokens
        CSR (n_cells, n_genes), log1p counts per 10,000 of the genes that each cell is joined to.
    attention
        (nnz of tokens,) attention of every edge, 1 = uniform, in the order of the tokens.
    state
        (n_cells,) state of each cell from 0, -1 for none.
    state_of_code
        (n_codes,) state of each column of ``code_log_probability``, -1 for none.
    mean, detection
        (n_genes,) mean log1p expression over all cells, share of cells that express the gene.
    donor
        (n_cells,) donor of each cell, -1 unknown; ``None`` where donors are not known.
    """

    tokens: csr_matrix
    attention: Floats
    state: Ints
    state_of_code: Ints
    mean: Floats
    detection: Floats
    donor: Ints | None = None

    def __post_init__(self) -> None:
        n_cells, n_genes = self.tokens.shape
        wanted = {
            "attention": self.tokens.nnz,
            "state": n_cells,
            "mean": n_genes,
            "detection": n_genes,
            **({} if self.donor is None else {"donor": n_cells}),
        }
        for name, size in wanted.items():
            given = getattr(self, name).shape
            if given != (size,):
                message = (
                    f"{name} of shape {given}; expected {(size,)}, as the tokens have; pass arrays "
                    "of the same cells, genes and edges"
                )
                raise InputError(message)
        if self.state.max(initial=-1) > self.state_of_code.max(initial=-1):
            message = (
                f"states up to {self.state.max()} of cells but up to "
                f"{self.state_of_code.max(initial=-1)} of codes; expected a code for each state; "
                "number both alike"
            )
            raise InputError(message)

    @classmethod
    def of(cls, parts: "Parts", values: csr_matrix) -> "Explained":
        """Return the coarse states of a data set with the attention of its graph.

        Parameters
        ----------
        parts
            Results of the stages before, with a trained network.
        values
            CSR (n_cells, n_genes), log1p of counts per 10,000.

        Raises
        ------
        InputError
            The attention came without its network.
        """
        network = parts.attention.network
        if network is None:
            message = (
                "graph attention without its network; expected the trained network; train the "
                "graph attention here to have it judged"
            )
            raise InputError(message)
        present = sorted(parts.states.code)
        donor = parts.metadata.get("donor")
        return cls(
            tokens=network.graph.tokens,
            attention=parts.attention.genes.data.astype(np.float64),
            state=parts.states.cell[:, 0].astype(np.int64),
            state_of_code=np.array([parts.states.code[code][0] for code in present], np.int64),
            mean=np.asarray(values.mean(axis=0), np.float64).ravel(),
            detection=np.asarray((values > 0).mean(axis=0), np.float64).ravel(),
            donor=None if donor is None else donor.values.astype(np.int64),
        )

    @property
    def n_states(self) -> int:
        """Number of states."""
        return int(self.state_of_code.max(initial=-1)) + 1


@dataclass(frozen=True)
class Edges:
    """Gene edges of some cells: place of the cell in ``rows``, gene, value, attention."""

    rows: Ints
    shape: tuple[int, int]
    cell: Ints
    gene: Ints
    value: NDArray[Any]
    attention: Floats

    @classmethod
    def of(cls, explained: Explained, rows: Ints) -> "Edges":
        """Return the edges of the given cells, in the order of the tokens."""
        some = explained.tokens[rows]
        cell = np.repeat(np.arange(len(rows)), np.diff(some.indptr))
        weight = weights_of(explained.tokens, explained.attention, rows)
        return cls(
            rows, explained.tokens.shape, cell, some.indices.astype(np.int64), some.data, weight
        )

    @property
    def count(self) -> Ints:
        """(n_rows,) edges of each cell."""
        return np.bincount(self.cell, minlength=len(self.rows))

    def kept(self, keep: Bools) -> csr_matrix:
        """Return tokens of all cells with nothing but the kept edges of these rows."""
        count = np.zeros(self.shape[0] + 1, np.int64)
        count[self.rows + 1] = np.bincount(self.cell[keep], minlength=len(self.rows))
        return csr_matrix((self.value[keep], self.gene[keep], np.cumsum(count)), self.shape)


def weights_of(tokens: csr_matrix, weights: NDArray[Any], rows: Ints) -> Floats:
    """Return the weights of the edges of some cells from those of all, in order of tokens."""
    every = csr_matrix((weights, tokens.indices, tokens.indptr), tokens.shape)
    return np.asarray(every[rows].data, np.float64)


def sample_cells(state: Ints, *, per_state: int, at_most: int, rng: np.random.Generator) -> Ints:
    """Return random cells, equally many of each state as far as there are, in order.

    Parameters
    ----------
    state
        (n_cells,) state from 0, -1 for none: never drawn.
    per_state, at_most
        Cells of one state, and of all; with many states the first gives way.
    """
    known = np.flatnonzero(state >= 0)
    shuffled = rng.permutation(known)
    order = shuffled[np.argsort(state[shuffled], kind="stable")]
    size = np.bincount(state[order])
    place = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    n_states = max(int(np.count_nonzero(size)), 1)
    limit = min(per_state, max(at_most // n_states, 1))
    return np.sort(order[place < limit])


def state_log_probability(log_code: NDArray[Any], state_of_code: Ints) -> Floats:
    """Return (n_rows, n_states) log probabilities: ``logsumexp`` over the codes of each state."""
    n_states = int(state_of_code.max(initial=-1)) + 1
    wide = log_code.astype(np.float64)
    columns = [
        logsumexp(wide[:, state_of_code == state], axis=1)
        if (state_of_code == state).any()
        # A state without a code cannot be predicted.
        else np.full(len(wide), -np.inf)
        for state in range(n_states)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(wide), 0))


def ask_states(asked: Asked, explained: Explained, edges: Edges, keep: Bools) -> Floats:
    """Return (n_rows, n_states) log probabilities of the cells that see the kept edges alone."""
    log_code = asked.code_log_probability(edges.kept(keep), edges.rows)
    return state_log_probability(log_code, explained.state_of_code)


def own(log_state: Floats, explained: Explained, rows: Ints) -> Floats:
    """Return (n_rows,) log probability of the own state of each cell."""
    return log_state[np.arange(len(rows)), explained.state[rows]]
