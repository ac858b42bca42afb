"""How much a donor, a disease or a tissue weighs for the cells of a state, and beyond chance?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..encoders.errors import InputError
from .permutations import permuted_sums, shuffles
from .statistics import Floats, Ints, adjust, tidy

MIN_CELLS = 10
"""Cells with a value that a test needs inside the state, and elsewhere."""

MIN_DONOR_CELLS = 3
"""Cells that a donor needs in the state, and elsewhere, to be compared."""

_DRAWS_AT_ONCE = 64
_SAME = 1e-9
_WITHIN, _BETWEEN, _CELLS = "cells within donors", "donors", "cells"
_FEW_CELLS = f"not possible: fewer than {MIN_CELLS} cells with the value in the state or elsewhere"
_FEW_DONORS = (
    f"not possible: fewer than two donors with the value have {MIN_DONOR_CELLS} cells in the state "
    "and elsewhere"
)
_COLUMNS = {
    "state": np.int64,
    "field": object,
    "value": np.int64,
    "weight": np.float64,
    "lift": np.float64,
    "z": np.float64,
    "p": np.float64,
    "q": np.float64,
    "n_cells": np.int64,
    "n_donors": np.int64,
    "null": object,
}


@dataclass(frozen=True)
class MetadataAttention:
    """Attention of states to metadata.

    Attributes
    ----------
    table
        One row per state, field and value that a cell of the state has, in this order: ``state``,
        ``field``, ``value`` (position), ``weight`` (mean attention over the cells of the state that
        have the value; 1 = uniform), ``lift`` (over what is usual for these cells: the mean of all
        cells of their donor and value), ``z``, ``p``, ``q`` (Benjamini-Hochberg over all rows that
        could be tested; 0, 1 and 1 otherwise), ``n_cells`` and ``n_donors`` (with the value in the
        state; 0 donors where they are unknown), ``null`` (``cells within donors``, ``donors``,
        ``cells``, or ``not possible: ...`` with the reason).
    notes
        What could not be said, and why.
    """

    table: pd.DataFrame
    notes: list[str]


def metadata_attention(
    weights: Mapping[str, NDArray[Any]],
    values: Mapping[str, Ints],
    groups: Ints,
    n_groups: int,
    *,
    donors: Ints | None,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> MetadataAttention:
    """Return the mean attention of every state to every value of its metadata, with a null.

    A state is compared with the other cells that have the same value: what differs is the state,
    not the value. The null depends on where a field varies.

    *Within donors* (such as a condition that all donors were given): the statistic is the mean in
    the state; labels of states are permuted over the cells of one donor and one value.
    *Between donors* (such as a disease, which a donor has or has not): cells of one donor are no
    replicates of it, the donor is the unit. The statistic is the mean over donors of the difference
    between state and elsewhere; under the null the labels of both are exchanged as a whole in each
    donor, which flips the sign of its difference (Fisher 1935, The Design of Experiments). Needs
    two donors with the value that have 3 cells on both sides; with ``n`` of them p is at least
    about ``1 / 2^(n - 1)``. Without known donors cells are permuted, and the null says so.
    ``p = (b + 1) / (B + 1)``, two-sided: ``b`` of ``B`` draws lie as far from the mean of the
    draws, or from 0 where signs were flipped.

    Parameters
    ----------
    weights
        Field -> attention of each cell to its value, 1 = uniform, ``NaN`` where unknown, shape
        (n_cells,): :attr:`scypher.kg.attention.GraphAttention.metadata`.
    values
        Field -> value of each cell from 0, -1 where unknown, shape (n_cells,).
    groups
        State of each cell, or -1, shape (n_cells,).
    n_groups
        Number of states.
    donors
        Donor of each cell, -1 where unknown; ``None`` without any.
    rng
        Source of the permutations.
    n_permutations
        Permutations, at least 1.

    Raises
    ------
    InputError
        When a field has no values or shapes disagree.
    """
    _check(weights, values, groups, donors)
    donor = np.full(len(groups), -1) if donors is None else donors.astype(np.int64)
    notes, frames = [], []
    fields = [field for field in weights if np.isfinite(weights[field]).any()]
    if not fields:
        notes.append(
            "attention to metadata: not possible, no field has two values, so the network had no "
            "metadata to weigh"
        )
    for field in fields:
        usable = np.isfinite(weights[field]) & (values[field] >= 0)
        cells = _Cells(
            weights[field][usable].astype(np.float64),
            values[field][usable].astype(np.int64),
            np.where(groups[usable] < 0, n_groups, groups[usable]).astype(np.int64),
            donor[usable],
        )
        if np.ptp(cells.weight) < _SAME:
            notes.append(
                f"attention to {field}: not possible, it is {cells.weight[0]:.3g} in every cell, "
                "as with a single field, whose attention is 1 whatever was learned"
            )
            continue
        frame = _test(cells, n_groups, rng=rng, n_permutations=n_permutations)
        refused = frame["null"].str.startswith("not possible")
        if refused.any():
            notes.append(
                f"attention to {field}: no test of {refused.sum()} of {len(frame)} pairs of state "
                f"and value; {'; '.join(sorted(frame.loc[refused, 'null'].unique()))}"
            )
        frames.append(frame.assign(field=field))
    if not frames:
        empty = {name: np.empty(0, dtype=kind) for name, kind in _COLUMNS.items()}
        return MetadataAttention(pd.DataFrame(empty), notes)
    table = pd.concat(frames, ignore_index=True)
    tested = ~table["null"].str.startswith("not possible").to_numpy()
    q = np.ones(len(table))
    q[tested] = adjust(table["p"].to_numpy()[tested])
    table = table.assign(q=q)[list(_COLUMNS)]
    return MetadataAttention(
        table.sort_values(["state", "field", "value"], ignore_index=True), notes
    )


@dataclass(frozen=True)
class _Cells:
    """Cells whose value of a field is known; group of none: n_groups, donor of none: -1."""

    weight: Floats
    value: Ints
    group: Ints
    donor: Ints


def _test(
    cells: _Cells, n_groups: int, *, rng: np.random.Generator, n_permutations: int
) -> pd.DataFrame:
    """Return the rows of one field, without q."""
    n_values = int(cells.value.max()) + 1
    slot = cells.group * n_values + cells.value
    shape = (n_groups + 1, n_values)
    number = np.bincount(slot, minlength=shape[0] * n_values).reshape(shape)
    total = np.bincount(slot, cells.weight, shape[0] * n_values).reshape(shape)
    other = number.sum(0) - number
    mean = total / np.maximum(number, 1)
    strata = np.unique(cells.donor * n_values + cells.value, return_inverse=True)[1].ravel()
    usual = np.bincount(strata, cells.weight) / np.bincount(strata)
    expected = np.bincount(slot, usual[strata], shape[0] * n_values).reshape(shape)
    group, value = at = np.nonzero(number[:-1])
    positive = expected[at] > 0
    enough = (number[at] >= MIN_CELLS) & (other[at] >= MIN_CELLS)
    null = np.where(enough, _CELLS, _FEW_CELLS).astype(object)
    z, p = np.zeros(len(group)), np.ones(len(group))
    if _varies_within_donors(cells):
        if (cells.donor >= 0).any():
            null[enough] = _WITHIN
        columns = sp.csc_matrix(
            (cells.weight, (np.arange(len(slot)), cells.value)), shape=(len(slot), n_values)
        )
        drawn = np.empty((n_permutations, len(group)))
        for start in range(0, n_permutations, _DRAWS_AT_ONCE):
            stop = min(start + _DRAWS_AT_ONCE, n_permutations)
            labels = shuffles(cells.group, strata, rng, n=stop - start)
            sums = permuted_sums(columns, labels, n_groups)[0]
            drawn[start:stop] = sums[value, :, group].T / number[at]
        z[enough], p[enough] = _against(
            drawn[:, enough], mean[at][enough], drawn[:, enough].mean(0)
        )
    else:
        difference, counted = _donor_differences(cells, n_groups)
        of_value = np.zeros((len(difference), n_values), dtype=bool)
        of_value[np.unique(cells.donor, return_inverse=True)[1], cells.value] = True
        for row in np.flatnonzero(enough):
            own = difference[of_value[:, value[row]] & counted[:, group[row]], group[row]]
            if len(own) < 2:
                null[row] = _FEW_DONORS
                continue
            null[row] = _BETWEEN
            signs = rng.choice([-1.0, 1.0], size=(n_permutations, len(own)))
            drawn = (signs @ own / len(own))[:, None]
            z[[row]], p[[row]] = _against(drawn, own[None].mean(1), np.zeros(1))
    return tidy(
        {
            "state": group,
            "value": value,
            "weight": mean[at],
            "lift": np.where(positive, total[at] / np.where(positive, expected[at], 1), 1.0),
            "z": z,
            "p": p,
            "n_cells": number[at],
            "n_donors": _count_donors(cells, n_values)[at],
            "null": null,
        }
    )


def _varies_within_donors(cells: _Cells) -> bool:
    """Return whether some donor has two values; without donors labels are exchanged anyway."""
    known = cells.donor >= 0
    pairs = np.unique(np.column_stack([cells.donor[known], cells.value[known]]), axis=0)
    return not len(pairs) or len(pairs) > len(np.unique(pairs[:, 0]))


def _donor_differences(cells: _Cells, n_groups: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return mean attention in the state less elsewhere, and where both have enough cells.

    Both of shape (n_donors, n_groups), a row per donor in increasing order; unknown donors do not
    count.
    """
    known, donor = np.unique(cells.donor, return_inverse=True)
    shape = (len(known), n_groups + 1)
    slot = donor.ravel() * shape[1] + cells.group
    number = np.bincount(slot, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(slot, cells.weight, shape[0] * shape[1]).reshape(shape)
    other = number.sum(1, keepdims=True) - number
    rest = (total.sum(1, keepdims=True) - total) / np.maximum(other, 1)
    counted = (number >= MIN_DONOR_CELLS) & (other >= MIN_DONOR_CELLS) & (known >= 0)[:, None]
    return total / np.maximum(number, 1) - rest, counted


def _count_donors(cells: _Cells, n_values: int) -> Ints:
    """Return the known donors per group and value, shape (n_groups + 1, n_values)."""
    count = np.zeros((int(cells.group.max()) + 1, n_values), dtype=np.int64)
    known = cells.donor >= 0
    parts = (cells.group[known], cells.value[known], cells.donor[known])
    trio = np.unique(np.column_stack(parts), axis=0)
    np.add.at(count, (trio[:, 0], trio[:, 1]), 1)
    return count


def _against(drawn: Floats, seen: Floats, centre: Floats) -> tuple[Floats, Floats]:
    """Return z and two-sided p of statistics, given draws of shape (n_draws, n_statistics)."""
    spread = np.sqrt(((drawn - centre) ** 2).mean(0))
    moves = spread > _SAME
    z = np.where(moves, (seen - centre) / np.where(moves, spread, 1), 0.0)
    # sums are added in different orders: a distance this much smaller is rounding
    reached = (np.abs(drawn - centre) >= np.abs(seen - centre) - _SAME).sum(0)
    return z, np.where(moves, (reached + 1) / (len(drawn) + 1), 1.0)


def _check(
    weights: Mapping[str, NDArray[Any]],
    values: Mapping[str, Ints],
    groups: Ints,
    donors: Ints | None,
) -> None:
    lengths = {f"values of {field}": len(values.get(field, ())) for field in weights}
    lengths |= {f"attention to {field}": len(weights[field]) for field in weights}
    if donors is not None:
        lengths["donors"] = len(donors)
    wrong = [f"{number} {name}" for name, number in lengths.items() if number != len(groups)]
    if wrong:
        message = (
            f"{', '.join(wrong)} were given for the states of {len(groups)} cells; expected one "
            "per cell; pass the attention and the values of the same cells and fields."
        )
        raise InputError(message)
