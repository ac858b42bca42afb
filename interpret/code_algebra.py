"""Sets of cell codes: where codes occur, what sets share, and which codes lie next to them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from ..encoders.errors import InputError
from ..kg.metadata import Metadata
from .abundance import compare_abundance
from .statistics import Floats, Ints, tidy

N_NEAR = 10
"""Neighbours returned of each code."""


def cell_frame(code: Ints, metadata: Mapping[str, Metadata], dataset: str) -> pd.DataFrame:
    """Return one row per cell: ``code``, ``dataset`` and each field as text, empty if unknown.

    Frames of several data sets that one encoder with the same weights described can be joined by
    :func:`pandas.concat`; a donor is told apart from one of the same name in another data set.
    """
    columns: dict[str, object] = {"code": code, "dataset": np.full(len(code), dataset, object)}
    for name, found in metadata.items():
        columns[name] = np.array([*found.labels, ""], dtype=object)[found.values]
    return tidy(columns)


@dataclass(frozen=True, eq=False)
class CodeSet:
    """A set of codes and the cells that put them into it.

    ``a | b`` holds the codes of either set, ``a & b`` those of both, ``a - b`` those of ``a`` that
    ``b`` lacks (as counted; :func:`only_in` tests it). Cells of both sets are counted once.

    Attributes
    ----------
    frame
        Of :func:`cell_frame`.
    chosen
        (n_cells,) bool, the cells of the set.
    """

    frame: pd.DataFrame
    chosen: NDArray[np.bool_]

    @property
    def codes(self) -> Ints:
        """Codes of the set, in increasing order."""
        found: Ints = np.unique(self.frame["code"].to_numpy(np.int64)[self.chosen])
        return found

    def table(self) -> pd.DataFrame:
        """Return ``code``, ``n_cells``, ``n_donors`` (0 where donors are unknown), by code."""
        inside = self.frame[self.chosen]
        donor = pd.Series(_donors(self.frame)[self.chosen], inside.index)
        known = donor[donor >= 0].groupby(inside["code"]).nunique()
        n_cells = inside.groupby("code").size()
        return tidy(
            {
                "code": n_cells.index.to_numpy(np.int64),
                "n_cells": n_cells.to_numpy(np.int64),
                "n_donors": known.reindex(n_cells.index, fill_value=0).to_numpy(np.int64),
            }
        )

    def __or__(self, other: "CodeSet") -> "CodeSet":
        """Return the codes of either set."""
        self._check(other)
        return CodeSet(self.frame, self.chosen | other.chosen)

    def __and__(self, other: "CodeSet") -> "CodeSet":
        """Return the codes of both sets, with the cells of either."""
        return (self | other)._of(np.intersect1d(self.codes, other.codes))

    def __sub__(self, other: "CodeSet") -> "CodeSet":
        """Return the codes of this set that the other lacks."""
        self._check(other)
        return self._of(np.setdiff1d(self.codes, other.codes))

    def _of(self, codes: Ints) -> "CodeSet":
        return CodeSet(self.frame, self.chosen & self.frame["code"].isin(codes).to_numpy())

    def _check(self, other: "CodeSet") -> None:
        if other.frame is not self.frame:
            message = (
                "code sets of two different tables of cells were given; expected both from one "
                "table; join the tables by pandas.concat and choose both sets from the result."
            )
            raise InputError(message)


def codes_of(frame: pd.DataFrame, **values: str) -> CodeSet:
    """Return the codes of the cells that have all the values given.

    Parameters
    ----------
    frame
        Of :func:`cell_frame`.
    values
        Column -> value, such as ``condition="control"``; all cells when none is given.

    Raises
    ------
    InputError
        There is no such column, or no cell with that value.
    """
    chosen = np.ones(len(frame), dtype=bool)
    for column, value in values.items():
        chosen &= _column(frame, column, value) == value
    return CodeSet(frame, chosen)


def only_in(
    frame: pd.DataFrame,
    column: str,
    case: str,
    *,
    rng: np.random.Generator,
    control: str | None = None,
) -> pd.DataFrame:
    """Return the codes that occur under one value and not under another, tested over donors.

    By the test of presence of :func:`.abundance.compare_abundance`: codes of at most 0.5 percent of
    the control cells, which two case donors or more hold beyond misassignment.

    Parameters
    ----------
    frame
        Of :func:`cell_frame`, with ``donor``; ``batch``, where there is one, must not be confounded
        with the column.
    column, case, control
        Values to compare, such as ``condition``, ``IFN-beta``, ``control``; every other known value
        when ``control`` is not given.
    rng
        Draws arrangements of donors where there are too many to look at all.

    Returns
    -------
    pandas.DataFrame
        One row per such code of the case, most donors first: ``code``, ``n_cells`` (in the case),
        ``n_cells_control``, ``n_donors`` (compared), ``donors_with``, ``donors_with_control``,
        ``p``, ``q`` (of presence), ``shift_p``, ``shift_q`` (of the difference in abundance, donors
        permuted, q over all codes), ``reason``: empty, or ``not possible: ...``, with every p and q
        NaN and the codes those that no control cell holds.

    Raises
    ------
    InputError
        There is no such column, or no cell with a value.
    """
    text = _column(frame, column, case)
    in_case = text == case
    in_control = text == control if control is not None else ~in_case & (text != "")
    if control is not None:
        _column(frame, column, control)
    condition = np.where(in_case, 1, np.where(in_control, 0, -1))
    codes, position = np.unique(frame["code"].to_numpy(np.int64), return_inverse=True)
    donors = _donors(frame)
    table = compare_abundance(
        position,
        condition,
        donors if (donors >= 0).any() else None,
        n_states=len(codes),
        case=1,
        control=0,
        rng=rng,
        batches=_numbered(frame, "batch"),
    )
    n_case, n_control = (
        np.bincount(position[side], minlength=len(codes)) for side in (in_case, in_control)
    )
    refused = (table["reason"] != "").to_numpy()
    kept = (n_case > 0) & np.where(refused, n_control == 0, table["presence_p"].notna())
    found = tidy(
        {
            "code": codes,
            "n_cells": n_case,
            "n_cells_control": n_control,
            "n_donors": table["n_donors"].to_numpy(),
            "donors_with": table["donors_with_case"].to_numpy(),
            "donors_with_control": table["donors_with_control"].to_numpy(),
            "p": table["presence_p"].to_numpy(),
            "q": table["presence_q"].to_numpy(),
            "shift_p": table["p"].to_numpy(),
            "shift_q": table["q"].to_numpy(),
            "reason": table["reason"].to_numpy(object),
        }
    )[kept]
    order = ["donors_with", "n_cells", "code"]
    found = found.sort_values(order, ascending=[False, False, True], kind="stable")
    return found.reset_index(drop=True)


def near_in_codebook(
    codes: Ints, codebook: Floats, *, among: Ints | None = None, k: int = N_NEAR
) -> pd.DataFrame:
    """Return the codes whose codebook vectors point most nearly the same way.

    Parameters
    ----------
    codes
        Codes asked about.
    codebook
        (n_codes, width), unit rows.
    among
        Codes that may be returned, such as those present in the data; all when not given.

    Returns
    -------
    pandas.DataFrame
        ``code``, ``near``, ``rank`` (from 1), ``similarity`` (cosine, in [-1, 1]), at most ``k``
        rows per code.
    """
    among = np.arange(len(codebook)) if among is None else np.unique(among)
    similarity = codebook[codes] @ codebook[among].T
    similarity = np.where(codes[:, None] == among, -np.inf, similarity)
    return _nearest(codes, among, similarity, k=k)


def near_in_graph(
    codes: Ints, code: Ints, graph: sparse.csr_matrix, *, k: int = N_NEAR
) -> pd.DataFrame:
    """Return the codes whose cells are neighbours more often than chance.

    ``w_ab W / (w_a w_b)`` with ``w_ab`` the neighbour weight between cells of two codes, ``w_a``
    that of all cells of a code and ``W`` that of all: 1 at random.

    Parameters
    ----------
    codes
        Codes asked about; each must occur.
    code
        (n_cells,) code of each cell.
    graph
        CSR (n_cells, n_cells), symmetric neighbour weights.

    Returns
    -------
    pandas.DataFrame
        ``code``, ``near``, ``rank`` (from 1), ``similarity`` (above 0), at most ``k`` rows per
        code; codes without common neighbours are left out.

    Raises
    ------
    InputError
        A code asked about does not occur.
    """
    present, position = np.unique(code, return_inverse=True)
    asked = np.searchsorted(present, codes).clip(max=len(present) - 1)
    if not np.array_equal(present[asked], codes):
        message = (
            f"the codes {sorted(set(codes.tolist()) - set(present.tolist()))} do not occur; "
            "expected codes that some cell has; ask about those."
        )
        raise InputError(message)
    shape = (len(present), len(code))
    member = sparse.csr_matrix((np.ones(len(code)), (position, np.arange(len(code)))), shape=shape)
    weight = np.asarray(graph.sum(axis=1)).ravel()
    strength = np.asarray(member @ weight).ravel()
    between = np.asarray((member[asked] @ graph @ member.T).todense())
    expected = strength[asked, None] * strength / max(weight.sum(), 1e-12)
    similarity = np.divide(between, expected, out=np.zeros_like(between), where=expected > 0)
    similarity = np.where((codes[:, None] == present) | (similarity <= 0), -np.inf, similarity)
    return _nearest(codes, present, similarity, k=k)


def _nearest(codes: Ints, among: Ints, similarity: Floats, *, k: int) -> pd.DataFrame:
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    value = np.take_along_axis(similarity, order, axis=1)
    frame = tidy(
        {
            "code": np.repeat(codes, order.shape[1]),
            "near": among[order].ravel(),
            "rank": np.tile(np.arange(1, order.shape[1] + 1), len(codes)),
            "similarity": value.ravel(),
        }
    )
    near: pd.DataFrame = frame[np.isfinite(value.ravel())].reset_index(drop=True)
    return near


def _column(frame: pd.DataFrame, column: str, value: str) -> NDArray[np.object_]:
    if column not in frame:
        message = (
            f"there is no column {column!r}; there are: {', '.join(map(str, frame))}; name one of "
            "them."
        )
        raise InputError(message)
    text = frame[column].to_numpy(object)
    if not (text == value).any():
        known = sorted({str(item) for item in text} - {""})
        message = (
            f"no cell has the {column} {value!r}; there are: {', '.join(known[:20])}; name one of "
            "them."
        )
        raise InputError(message)
    return text


def _numbered(frame: pd.DataFrame, column: str) -> Ints | None:
    """Return a number per cell for its value of a column and data set, -1 where unknown."""
    if column not in frame:
        return None
    key = frame["dataset"].astype(str) + "\t" + frame[column].astype(str)
    number = pd.factorize(key.where(frame[column] != ""))[0]
    return number.astype(np.int64)


def _donors(frame: pd.DataFrame) -> Ints:
    found = _numbered(frame, "donor")
    return np.full(len(frame), -1, dtype=np.int64) if found is None else found
