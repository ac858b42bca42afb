"""What an encoder says would change if genes were removed from cells, or added to them.

It says what a model draws on, not what a cell would do: the null is over genes, cells and donors
are no replicates of it, and no response of the other genes is put in. Compare a prediction with
co-expression before it is believed.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.response import Responds, Response
from ..statistics import Ints, adjust, refuse, tidy
from .cuts import beside_null
from .perturbed_response import MEASURES, Totals, add_up
from .plan import changes_of, checked
from .predicted_change import CHANGE_COLUMNS, predicted_change
from .state_transitions import transitions


@dataclass(frozen=True)
class Perturbation:
    """What an encoder says of changed cells.

    Attributes
    ----------
    shifts
        One row per group: ``group``, ``n_genes`` (changed in it), ``n_cells`` (drawn),
        ``n_changed`` (of them with other counts than before); then for each of ``cosine`` (mean of
        1 - cosine of a cell's embedding after and before, in [0, 2]), ``euclid`` (mean Euclidean
        distance), ``flipped`` and ``state_flipped`` (share of cells whose code, and state, is
        another): the value, and with the name before it ``_null_mean``, ``_null_sd``, ``_z`` (NaN
        where the null does not vary), ``_p`` and ``_q`` (Benjamini-Hochberg over groups); at last
        ``n_null``. Where nothing can be changed, values are 0 and statistics missing.
    transitions
        :func:`~scypher.interpret.perturbation.state_transitions.transitions` of the drawn cells.
    genes
        :func:`~scypher.interpret.perturbation.predicted_change.predicted_change` of every group.
    """

    shifts: pd.DataFrame
    transitions: pd.DataFrame
    genes: pd.DataFrame


def perturb(
    model: Responds,
    counts: sp.csr_matrix,
    genes: Ints,
    *,
    groups: Ints,
    state_of_code: Ints,
    rng: np.random.Generator,
    raised: Ints | None = None,
    readable: NDArray[np.bool_] | None = None,
    n_null: int = 49,
    max_cells: int = 50,
) -> Perturbation:
    """Remove genes from cells, and raise others, encode again, and tell what is different.

    All genes are changed at once. The counts of a removed gene become 0; a raised one gets the 0.9
    quantile of its share of counts over the cells that express it. All other counts and the depth
    of the cell stay, so that no other value changes.

    Null: genes alike, changed in the same way, change as much. Each of ``n_null`` sets holds one
    gene for each that is changed, of nearly the same mean and detection (in the group for a removed
    gene, in all cells for a raised one); ``p = (b + 1) / (n_null + 1)``.

    Parameters
    ----------
    model
        The fitted encoder, such as :class:`~scypher.encoders.cellvq.recode.FittedCellVQ`.
    counts
        (n_cells, n_genes) raw counts.
    genes
        Positions of the genes to remove.
    groups
        (n_cells,) group of each cell, -1 for none.
    state_of_code
        (n_codes,) state of each code (see :func:`.counterfactual.states_of_codes`).
    rng
        Draws cells and matched sets.
    raised
        Positions of the genes to raise.
    readable
        (n_genes,) genes that the encoder reads; all when not given.
    n_null
        Matched sets; the smallest p is ``1 / (n_null + 1)``.
    max_cells
        Cells drawn of each group, the same for the genes and their null.

    Raises
    ------
    InputError
        If shapes do not fit, a gene does not exist, is not read, or no cell expresses it, or there
        are too few genes to compare with.
    """
    cells = checked(
        sp.csr_matrix(counts), (genes, raised), groups, readable, n_null=n_null, max_cells=max_cells
    )
    shifts, moves, tables = [], [], []
    for group in np.unique(groups[groups >= 0]).tolist():
        inside = np.flatnonzero(groups == group)
        rows = np.sort(rng.choice(inside, min(max_cells, len(inside)), replace=False))
        changes, n_changed_genes = changes_of(cells, inside, n_null, rng)
        some, depth = sp.csr_matrix(cells.counts[rows]), cells.totals[rows]
        before = model.respond(some, depth)
        _check_codes(before, state_of_code)
        totals = add_up(model, some, depth, changes, before, state_of_code=state_of_code)
        shifts.append(_shift(totals, group, n_changed_genes, n_null))
        state = state_of_code[before.code]
        null_after = totals.state[1:] if n_changed_genes else None
        number = np.full(len(rows), group)
        moves.append(transitions(state, totals.state[0], number, null_after=null_after))
        if n_changed_genes:
            held = np.abs(changes.cut) + np.abs(changes.level) > 0
            tables.append(predicted_change(totals, held, cells.usable).assign(group=group))
    table = pd.concat(shifts, ignore_index=True)
    for name in MEASURES:
        known = table[f"{name}_p"].notna()
        q = np.full(len(table), np.nan)
        q[known] = adjust(table.loc[known, f"{name}_p"].to_numpy())
        table.insert(int(list(table.columns).index(f"{name}_p")) + 1, f"{name}_q", q)
    return Perturbation(
        tidy({str(name): table[name].to_numpy() for name in table}),
        pd.concat(moves, ignore_index=True),
        _with_q(tables),
    )


def _check_codes(before: Response, state_of_code: Ints) -> None:
    if before.code.max() >= len(state_of_code):
        refuse(
            f"states of {len(state_of_code)} codes were given with code {before.code.max()}",
            "a state for every code of the codebook",
            "make them from the codebook of the same encoder",
        )


def _shift(totals: Totals, group: int, n_genes: int, n_null: int) -> pd.DataFrame:
    columns: dict[str, object] = {
        "group": [group],
        "n_genes": [n_genes],
        "n_cells": [totals.n_cells],
        "n_changed": [int(totals.n_changed[0])],
    }
    for name, mean in zip(MEASURES, totals.mean.T, strict=True):
        beside = beside_null(mean[:1], mean[None, 1:], f"{name}_")
        if not n_genes:
            beside = {column: np.full(1, np.nan) for column in beside}
        columns |= {name: mean[:1]} | beside
    return pd.DataFrame(columns | {"n_null": [n_null]})


def _with_q(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Join the genes of groups, with q over all of them."""
    if not tables:
        tables = [pd.DataFrame({name: np.zeros(0) for name in (*CHANGE_COLUMNS, "group")})]
    table = pd.concat(tables, ignore_index=True)
    columns = ["group", *[name for name in table if name != "group"]]
    for name in ("attention", "expression"):
        known = table[f"{name}_p"].notna()
        table[f"{name}_q"] = np.nan
        table.loc[known, f"{name}_q"] = adjust(table.loc[known, f"{name}_p"].to_numpy())
        columns.insert(columns.index(f"{name}_p") + 1, f"{name}_q")
    return tidy({str(name): table[name].to_numpy() for name in columns})
