"""Donors whose cells must stay out of a data set, since they were removed from its graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..encoders.cells import read_h5ad
from ..encoders.errors import InputError
from ..kg.metadata import read_metadata
from ..kg.versions.donors import donor_token

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class LeftOut:
    """The cells of the other donors, where they are from, and how many were left out."""

    adata: "AnnData"
    source: str
    note: str


def leave_out(
    data: "AnnData | str | Path",
    dataset: str,
    excluded: Sequence[str],
    columns: Mapping[str, str | None],
) -> LeftOut:
    """Return the data without the cells of excluded donors.

    Columns are checked on the whole file, so that one which the remaining cells no longer need is
    no error.

    Parameters
    ----------
    data
        AnnData object or path of an ``.h5ad`` file.
    dataset
        Key of the data set.
    excluded
        Tokens by :func:`scypher.kg.versions.donors.donor_token`.
    columns
        Field -> column, as the user named them.

    Raises
    ------
    InputError
        The file does not say which cell is of which donor, or no cell is left.
    """
    source = "AnnData"
    if isinstance(data, (str, Path)):
        source = Path(data).name
        data = read_h5ad(data)
    metadata, _ = read_metadata(data, columns)
    donors = metadata.get("donor")
    if donors is None:
        message = (
            f"{len(excluded)} donors of {dataset} were removed from the graph and must stay out, "
            f"but {source} does not say which donor a cell is from; a column with the labels of "
            "the donors was expected. Name it by --donor."
        )
        raise InputError(message)
    tokens = [donor_token(dataset, label) for label in donors.labels]
    out = np.isin(donors.values, np.flatnonzero(np.isin(tokens, list(excluded))))
    if out.all():
        message = (
            f"All {len(out)} cells of {source} are of donors that were removed from {dataset}; "
            "cells of others were expected. Give another file or another --name."
        )
        raise InputError(message)
    note = (
        f"donors: {int(out.sum())} cells left out, of {len(excluded)} donors that were removed "
        "from this data set"
    )
    return LeftOut(data[~out].copy() if out.any() else data, source, note)
