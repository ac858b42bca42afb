"""Names of groups, ligands and receptors in the tables of communication."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..statistics import tidy
from .ligand_receptor import PairGenes, Pairs

if TYPE_CHECKING:
    from anndata import AnnData


def with_names(
    table: pd.DataFrame, labels: list[str], pairs: Pairs, found: PairGenes
) -> pd.DataFrame:
    """Return a table by position with names of groups and symbols of ligand and receptor."""
    row = found.row[table["pair"].to_numpy()]
    ends = np.array(labels, dtype=object)
    named = {
        "source": ends[table["source"].to_numpy()],
        "target": ends[table["target"].to_numpy()],
        "ligand": np.array(["_".join(genes) for genes in pairs.ligand], dtype=object)[row],
        "receptor": np.array(["_".join(genes) for genes in pairs.receptor], dtype=object)[row],
        "pathway": np.array(pairs.pathway, dtype=object)[row],
    }
    rest = table.drop(columns=["source", "target", "pair"])
    out = pd.concat([tidy(named), rest], axis=1)
    untested = len(found) - table["pair"].nunique()
    notes = list(found.notes)
    if untested:
        notes.append(f"{untested} pairs were not tested: too few cells express one of their genes")
    out.attrs["notes"] = notes
    return out


def symbols_of(adata: "AnnData", column: str | None) -> list[str]:
    """Return the symbols of the genes: a column of ``var``, or their names."""
    if column is None:
        return [str(name) for name in adata.var_names]
    if column not in adata.var:
        known = ", ".join(map(str, adata.var.columns)) or "none"
        message = (
            f"there is no column {column!r} in var; its columns are: {known}. Name the one with "
            "the symbols of the genes."
        )
        raise InputError(message)
    return [str(name) for name in adata.var[column]]
