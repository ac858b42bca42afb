"""Which genes change most when others are removed or raised, beside matched changes."""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, tidy
from .perturbed_response import Totals

CHANGE_COLUMNS = (
    *("gene", "perturbed"),
    *(f"attention_{end}" for end in ("before", "change", "z", "p")),
    *(f"expression_{end}" for end in ("before", "change", "z", "p")),
)
"""Columns of :func:`predicted_change`."""


def predicted_change(totals: Totals, held: sp.csr_matrix, asked: NDArray[np.bool_]) -> pd.DataFrame:
    """Return by how much each gene changes, in attention and in decoded expression.

    Null of a gene: matched sets, changed in the same way, change it as much in either direction;
    the sets that hold the gene itself are left out. ``z`` is over the mean and deviation of the
    same changes, so that it tells what is particular to the genes that were changed.

    Where the attention of an encoder to a gene depends on nothing but that gene and its value, as
    that of the small CellVQ, its difference tells nothing of the other genes: what a removed gene
    had is divided among them in proportion to what they have, and a gene may come up into the
    bounded number of entries that an encoder keeps of a cell.

    Parameters
    ----------
    totals
        What the changes do; the first is asked.
    held
        (n_changes, n_genes) bool, genes that each change changes.
    asked
        (n_genes,) genes to tell of.

    Returns
    -------
    pandas.DataFrame
        One row per gene, largest change of expression first (of attention, where the encoder cannot
        decode): ``gene`` (position), ``perturbed`` (1 where it was changed itself); for each of
        ``attention`` (attention times genes read, 1 = uniform) and ``expression`` (log1p of
        expected counts per 10,000): ``_before`` (mean over cells), ``_change`` (mean over cells of
        after less before), ``_z`` (missing where the null does not vary) and ``_p``; both are
        missing for a gene that was changed itself. All of expression is missing where the encoder
        cannot decode.
    """
    genes = np.flatnonzero(asked)
    own = np.asarray(held[:, genes].todense(), dtype=bool)
    columns: dict[str, np.ndarray] = {"gene": genes, "perturbed": own[0].astype(np.int64)}
    missing = np.full(len(genes), np.nan)
    for name, change, before in (
        ("attention", totals.attention, totals.attention_before),
        ("expression", totals.expression, totals.expression_before),
    ):
        if change is None or before is None:
            ends = ("before", "change", "z", "p")
            columns |= {f"{name}_{end}": missing for end in ends}
            continue
        z, p = _beside(change[:, genes], own)
        columns |= {
            f"{name}_before": before[genes],
            f"{name}_change": change[0, genes],
            f"{name}_z": z,
            f"{name}_p": p,
        }
    by = "attention" if totals.expression is None else "expression"
    order = np.lexsort((genes, -np.abs(columns[f"{by}_change"])))
    return tidy({name: values[order] for name, values in columns.items()})


def _beside(change: Floats, own: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return z and two-sided p of the first row under the others, without those that are own."""
    observed, null = change[0], np.where(own[1:], np.nan, change[1:])
    n = (~own[1:]).sum(axis=0)
    known = np.where(own[1:], 0, null)
    mean = known.sum(axis=0) / np.maximum(n, 1)
    square = np.where(own[1:], 0, (known - mean) ** 2).sum(axis=0) / np.maximum(n, 1)
    sd = np.sqrt(square)
    # Rounding must not make a tie look like less.
    reached = (np.abs(null) >= np.abs(observed) * (1 - 1e-9) - 1e-12).sum(axis=0)
    moves = sd > 1e-12
    predicted = ~own[0]
    z = np.where(moves & predicted, (observed - mean) / np.where(moves, sd, 1), np.nan)
    return z, np.where(predicted, (reached + 1) / (n + 1), np.nan)
