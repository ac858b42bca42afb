"""Frames of the modules of several contexts, and of their genes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..statistics import adjust
from .communities import Modules

ALL = "all"
"""Name of the context that holds all cells."""

MIN_CELLS = 100
"""Cells that a context needs."""

_HUBS = 5
_MODULE: dict[str, type] = {
    "context": object,
    "module": np.int64,
    "name": object,
    "size": np.int64,
    "stability": np.float64,
    "donor_stability": np.float64,
    "mean_weight": np.float64,
    "null_weight": np.float64,
    "null_z": np.float64,
    "null_p": np.float64,
    "null_q": np.float64,
    "hubs": object,
    "n_cells": np.int64,
    "n_donors": np.int64,
}
_MEMBER: dict[str, type] = {
    "context": object,
    "module": np.int64,
    "name": object,
    "gene": object,
    "position": np.int64,
    "strength": np.float64,
    "hub_rank": np.int64,
}


@dataclass(frozen=True)
class Found:
    """The modules of one context, and how many cells and donors were asked."""

    context: str
    modules: Modules
    n_cells: int
    n_donors: int


def context_frames(
    found: list[Found], names: NDArray[np.object_]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the modules and the members of all contexts, with the names of the genes."""
    modules, members = [], []
    for one in found:
        context, result = one.context, one.modules
        named = np.array([_name(context, number) for number in result.modules["module"]], object)
        genes = names[result.membership["gene"].to_numpy(dtype=np.int64)]
        member = result.membership.rename(columns={"gene": "position"})
        number = member["module"].to_numpy(dtype=np.int64)
        member = member.assign(context=context, name=named[number], gene=genes)
        members.append(member[list(_MEMBER)])
        hubs = member[member["hub_rank"] <= _HUBS].groupby("module")["gene"].agg(", ".join)
        modules.append(
            result.modules.assign(
                context=context,
                name=named,
                hubs=hubs.reindex(result.modules["module"]).to_numpy(dtype=object),
                n_cells=one.n_cells,
                n_donors=one.n_donors,
                null_q=1.0,
            )[list(_MODULE)]
        )
    table = _typed(modules, _MODULE)
    return table.assign(null_q=adjust(table["null_p"].to_numpy())), _typed(members, _MEMBER)


def _typed(frames: list[pd.DataFrame], columns: dict[str, type]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    return table.astype(columns)


def _name(context: str, number: int) -> str:
    return f"M{number + 1}" if context == ALL else f"{context}:M{number + 1}"
