"""Size of the graph-attention network, course of its training, and its array types."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...encoders.errors import InputError

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class GraphAttentionConfig:
    """Size of the network and course of its training.

    Parameters
    ----------
    hidden, heads, layers
        Width of all node states, attention heads (a divisor of ``hidden``), rounds of messages.
    dropout
        Share of the message entries that are dropped while training, [0, 1).
    epochs, patience
        Passes over all cells at most; passes without a better held-out AUROC before stopping.
    batch_cells
        Cells of a training step. Memory grows with it, not with the number of cells.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter 2019).
    hide
        Share of the gene edges of a batch that is hidden and predicted, (0, 1).
    held_out, held_out_cells
        Share of the gene edges of ``held_out_cells`` random cells that training never sees, used
        to choose the epoch.
    existence_weight, code_weight, metadata_weight
        Weights of the three goals: hidden gene edges (existence and value), cell code, metadata.
    threads
        Threads of torch. Another number gives other last digits; one is as fast as two where other
        work shares the cores, more pay on idle cores.
    """

    hidden: int = 64
    heads: int = 4
    layers: int = 2
    dropout: float = 0.1
    epochs: int = 10
    patience: int = 3
    batch_cells: int = 128
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    hide: float = 0.15
    held_out: float = 0.05
    held_out_cells: int = 1024
    existence_weight: float = 1.0
    code_weight: float = 0.5
    metadata_weight: float = 0.25
    threads: int = 1

    def __post_init__(self) -> None:
        counts = ("hidden", "heads", "layers", "epochs", "patience", "batch_cells")
        for name in (*counts, "held_out_cells", "threads"):
            if getattr(self, name) < 1:
                problem = f"{name} = {getattr(self, name)}; expected at least 1; raise it"
                raise InputError(problem)
        if self.hidden % self.heads:
            problem = (
                f"hidden = {self.hidden} with heads = {self.heads}; expected a multiple of heads; "
                f"use hidden = {self.heads * max(1, self.hidden // self.heads)}"
            )
            raise InputError(problem)
        for name in ("hide", "held_out"):
            if not 0 < getattr(self, name) < 1:
                problem = f"{name} = {getattr(self, name)}; expected a share in (0, 1); change it"
                raise InputError(problem)
        if not 0 <= self.dropout < 1:
            problem = f"dropout = {self.dropout}; expected a share in [0, 1); change it"
            raise InputError(problem)


def check_shape(name: str, array: npt.NDArray[Any], shape: tuple[int | None, ...]) -> None:
    """Raise :class:`InputError` unless an array has the shape; ``None`` stands for any size."""
    fits = array.ndim == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        expected = tuple("any" if size is None else size for size in shape)
        problem = (
            f"{name} of shape {array.shape}; expected {expected}; pass arrays of the same cells "
            "and genes as the matrix"
        )
        raise InputError(problem)
