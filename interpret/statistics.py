"""Small statistics that the parts of interpretation share: p values, q values, checks, tables."""

from typing import Any, NoReturn

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import log_ndtr

from ..encoders.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SMALLEST = float(np.finfo(np.float64).tiny)
"""Smallest normal double, the floor of every p: a p of 0 cannot be defended."""


def adjust(p: Floats) -> Floats:
    """Return Benjamini-Hochberg q values of all hypotheses in ``p``, same shape, in (0, 1].

    Benjamini & Hochberg 1995, J R Stat Soc B 57:289: ``q_(i) = min over j >= i of p_(j) m / j``.
    """
    from scipy.stats import false_discovery_control

    if not p.size:
        return p.copy()
    return np.asarray(false_discovery_control(p.ravel())).reshape(p.shape)


def two_sided(z: Floats) -> Floats:
    """Return the two-sided normal p of ``z``, through the log survival function, in (0, 1]."""
    log_p = np.log(2) + log_ndtr(-np.abs(z))
    p: Floats = np.exp(np.maximum(log_p, np.log(SMALLEST)))
    return p.clip(SMALLEST, 1.0)


def check_cells(matrix: sp.csr_matrix, groups: NDArray[Any], n_groups: int) -> None:
    """Raise :class:`InputError` when a cell matrix or its group labels cannot be compared."""
    if groups.shape != (matrix.shape[0],):
        refuse(
            f"{len(groups)} group labels were given for {matrix.shape[0]} cells",
            "one label per cell",
            "pass an integer array with one group, or -1, for each row of the matrix",
        )
    if len(groups) and (groups.max() >= n_groups or n_groups >= (1 << 16) - 1):
        refuse(
            f"group labels up to {groups.max()} were given for {n_groups} groups",
            "labels from -1 to the number of groups less one, at most 65,534 groups",
            "number the groups from 0 and pass their number",
        )
    if matrix.nnz and not (matrix.data.min() >= 0 and np.isfinite(matrix.data.max())):
        refuse(
            "values that are negative or not finite were given",
            "log1p of counts per 10,000, or attention weights, all at least 0",
            "normalise the raw counts again and leave out scaling and regression",
        )


def refuse(given: str, expected: str, action: str) -> NoReturn:
    """Raise :class:`InputError` that says what was given, what was expected and what to do."""
    message = f"{given}; expected {expected}; {action}."
    raise InputError(message)


def tidy(columns: dict[str, Any]) -> pd.DataFrame:
    """Return a frame with int64, float64 and text columns, rows numbered from 0."""
    return pd.DataFrame({name: _plain(np.asarray(column)) for name, column in columns.items()})


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    kinds: dict[str, Any] = {"i": np.int64, "u": np.int64, "f": np.float64}
    return values.astype(kinds.get(values.dtype.kind, object))
