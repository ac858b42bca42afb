"""Metadata of cells: which columns are used, and their values as integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..encoders.errors import InputError
from .schema import METADATA

if TYPE_CHECKING:
    from anndata import AnnData

UNKNOWN = frozenset({"", "unknown", "unassigned", "nan", "none", "na", "n/a"})
"""Values that say nothing, in any case of letters."""


@dataclass(frozen=True)
class Metadata:
    """One field of metadata.

    Attributes
    ----------
    field
        Key of :data:`scypher.kg.schema.METADATA`.
    column
        Column of ``obs`` it was read from.
    values
        (n_cells,) int position in ``labels``, -1 where unknown.
    labels
        Distinct values, sorted.
    ontology_ids
        Ontology term of each label, empty where none is given.
    """

    field: str
    column: str
    values: np.ndarray
    labels: list[str]
    ontology_ids: list[str]


def read_metadata(
    adata: "AnnData", columns: Mapping[str, str | None], *, strict: bool = True
) -> tuple[dict[str, Metadata], list[str]]:
    """Return the metadata fields of the data, and notes on what was passed over.

    Parameters
    ----------
    adata
        The data.
    columns
        Field -> column named by the user. A field that is not named is read from the column of
        its own name where there is one that says something.
    strict
        Whether a named column must tell cells apart; else it is treated like one that is not
        named, as when the cells are a part of those that it was named for.

    Raises
    ------
    InputError
        A named column does not exist, is constant, or has a different value in every cell.
    """
    fields: dict[str, Metadata] = {}
    notes: list[str] = []
    for field in METADATA:
        named = columns.get(field)
        column = named or field
        if column not in adata.obs:
            if named:
                message = (
                    f"obs has no column {named!r} for the {field.replace('_', ' ')}; there are: "
                    f"{', '.join(map(str, adata.obs.columns))}. Name one of them."
                )
                raise InputError(message)
            continue
        found = _read(adata.obs, field, column)
        problem = _problem(found)
        if problem and named and strict:
            message = (
                f"the column {column!r} {problem}; a {field.replace('_', ' ')} needs several "
                "values that several cells share. Name another column, or none."
            )
            raise InputError(message)
        if problem and field == "cell_type":
            notes.append(f"labels: the column {column!r} {problem}, not used")
        elif problem == "has a different value in every cell":
            notes.append(f"{field}: the column {column!r} {problem}, not used")
        elif len(found.labels) and problem != "has a different value in every cell":
            fields[field] = found
    return fields, notes


def _read(obs: pd.DataFrame, field: str, column: str) -> Metadata:
    text = obs[column].astype(object).where(obs[column].notna(), "").astype(str)
    known = ~text.str.lower().isin(UNKNOWN)
    labels = sorted(set(text[known]))
    values = pd.Index(labels).get_indexer(pd.Index(text.where(known, "\0")))
    terms = [""] * len(labels)
    term_column = f"{field}_ontology_term_id"
    if term_column in obs:
        first = obs.loc[known].groupby(text[known], observed=True)[term_column].first()
        terms = [_curie(str(first.get(label, ""))) for label in labels]
        # A term that two labels share cannot name either.
        terms = [term if terms.count(term) == 1 else "" for term in terms]
    return Metadata(field, column, values, labels, terms)


def _curie(term: str) -> str:
    return term if ":" in term and term.lower() not in UNKNOWN else ""


def _problem(found: Metadata) -> str:
    """Return what is wrong with a field as a grouping of cells, empty if nothing is."""
    if not found.labels:
        return "says nothing of any cell"
    if len(found.labels) == 1:
        return f"has the one value {found.labels[0]!r}"
    if len(found.labels) == int((found.values >= 0).sum()):
        return "has a different value in every cell"
    return ""
