"""What an encoder brings to the training loop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from torch import Tensor, nn

if TYPE_CHECKING:
    from ..base import Progress
    from .source import Source


class Block(NamedTuple):
    """Some cells to train on: the unit of batching and of randomness.

    Attributes
    ----------
    counts
        CSR (n, n_genes) raw counts of the genes of the source, float32.
    totals
        (n,) counts of each cell over all its measured genes.
    dataset, batch
        (n,) integer data set, and batch among all batches of all data sets.
    labels
        Property -> (n,) index of its value, -1 where it is unknown; only properties asked for.
    """

    counts: sparse.csr_matrix
    totals: np.ndarray
    dataset: np.ndarray
    batch: np.ndarray
    labels: Mapping[str, np.ndarray] = MappingProxyType({})


class Objective(nn.Module, ABC):
    """A model together with what it is trained on.

    The loop calls :meth:`prepare` on the CPU, moves the tensors to the device, calls the module,
    and after each step of the optimiser :meth:`after_step`. All random choices of a block are made
    in :meth:`prepare` (dropout aside), so that a run is the same however many processes share it.
    """

    encoder: str
    """Name of the encoder that is trained."""

    @abstractmethod
    def prepare(self, block: Block, rng: np.random.Generator) -> tuple[Any, ...]:
        """Return the tensors of a block, in (named) tuples: input, hidden parts, targets."""

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Return the loss, a scalar: the mean over the cells of the block."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Return the parameter groups of the optimiser for a peak learning rate."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": rate}]

    def after_step(self) -> None:
        """Do what follows a step of the optimiser, such as moving a momentum copy."""
        return

    def finish(self, source: "Source", seed: int, progress: "Progress") -> dict[str, Any]:
        """Do what follows the last step, such as training a codebook; return figures of it."""
        return {}

    @abstractmethod
    def save(self, folder: Path, *, history: list[dict[str, Any]]) -> None:
        """Write safetensors and ``config.json`` (with the key ``encoder``) as the encoder reads."""
