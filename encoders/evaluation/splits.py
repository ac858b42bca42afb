"""Which cells are learned from and which are judged."""

from typing import NamedTuple

import numpy as np

N_FOLDS = 5


class Fold(NamedTuple):
    """One division of cells.

    Attributes
    ----------
    name
        What is left out.
    train, test
        Positions of cells; ``test`` has only types that ``train`` has too.
    types
        Sorted types that both sides have.
    note
        Why the fold cannot be used; empty when it can.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    types: np.ndarray
    note: str = ""


def intra_folds(labels: np.ndarray, *, n: int = N_FOLDS, seed: int = 0) -> list[Fold]:
    """Return random folds with every type spread evenly over them.

    Parameters
    ----------
    labels
        (n_cells,) type of each cell, known for all.
    n
        Folds.
    seed
        Of the order of cells.
    """
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    number = np.empty(len(labels), np.int64)
    number[order] = np.arange(len(labels)) % n
    return [_fold(f"fold {i + 1}", labels, number == i) for i in range(n)]


def inter_folds(labels: np.ndarray, batch: np.ndarray, *, most: int | None = None) -> list[Fold]:
    """Return one fold per batch: the batch is judged, all others are learned from.

    Parameters
    ----------
    labels, batch
        (n_cells,) type and batch of each cell.
    most
        Batches left out at most, the first ones in sorted order.
    """
    names = sorted(set(batch))[:most]
    return [_fold(str(name), labels, batch == name) for name in names]


def _fold(name: str, labels: np.ndarray, left_out: np.ndarray) -> Fold:
    types = np.array(sorted(set(labels[left_out]) & set(labels[~left_out])), dtype=object)
    test = np.flatnonzero(left_out & np.isin(labels, types))
    note = ""
    if len(types) < 2:
        note = f"{name} shares {len(types)} types with the other cells, two are needed: skipped"
    return Fold(name, np.flatnonzero(~left_out), test, types, note)
