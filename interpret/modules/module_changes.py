"""Modules of an AnnData object between two conditions, in one call."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..inputs import groups_of, log_expression
from ..statistics import Ints
from .context_frames import ALL
from .contexts import ContextModules
from .contrast import COLUMNS, contrast_modules

if TYPE_CHECKING:
    from anndata import AnnData


def module_changes(
    adata: "AnnData",
    modules: ContextModules,
    condition: str,
    *,
    reference: str,
    case: str,
    donor: str,
    batch: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Compare the modules of each context between two conditions, with the donor as the unit.

    Parameters
    ----------
    adata
        The cells that the modules were found in.
    modules
        Of :func:`~scypher.interpret.gene_modules`.
    condition
        Column of ``obs`` with the conditions.
    reference, case
        Two of its values: differences are of the case less the reference.
    donor, batch
        Columns of ``obs`` with the donor and the batch.
    groupby
        Column of ``obs`` whose groups are the contexts, as given to ``gene_modules``; without it
        the modules of all cells alone.
    layer, totals
        As in :func:`~scypher.interpret.inputs.log_expression`.
    seed
        Of the arrangements of donors.
    key_added
        Key of ``uns`` to which the frame is written.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`~scypher.interpret.modules.contrast.contrast_modules` with
        ``context`` and ``name`` in front; q is over the modules of each context. Where the donors
        of a context allow no comparison its modules have no values, and ``note`` says why.

    Raises
    ------
    InputError
        There is no such column, value or layer, or no context can be compared; the message says
        why.
    """
    values = _conditions(adata, condition, (reference, case))
    groups = {ALL: np.arange(adata.n_obs)}
    if groupby is not None:
        labels, member = groups_of(adata, groupby)
        groups |= {label: np.flatnonzero(member == place) for place, label in enumerate(labels)}
    expression = log_expression(adata, layer=layer, totals=totals)
    donors = groups_of(adata, donor)[1]
    batches = None if batch is None else groups_of(adata, batch)[1]
    rng = np.random.default_rng(seed)
    tables, reasons = [], {}
    for name, members in modules.membership.groupby("context", sort=False):
        context = str(name)
        if context not in groups:
            continue
        cells = groups[context]
        try:
            table = contrast_modules(
                expression[cells],
                members.assign(gene=members["position"]),
                condition=values[cells],
                donors=donors[cells],
                batches=None if batches is None else batches[cells],
                rng=rng,
            )
        except InputError as error:
            reasons[context] = str(error)
            table = _not_compared(members, str(error))
        called = members.drop_duplicates("module").set_index("module")["name"]
        table.insert(0, "context", context)
        table.insert(1, "name", called.loc[table["module"]].to_numpy())
        tables.append(table)
    if len(reasons) == len(tables):
        told = [f"{context}: {reason}" for context, reason in reasons.items()]
        why = " ".join(told) or "the contexts asked for have no module."
        message = f"no module could be compared between {reference} and {case}: {why}"
        raise InputError(message)
    found = pd.concat(tables, ignore_index=True)
    if key_added is not None:
        adata.uns[key_added] = found
    return found


def _not_compared(members: pd.DataFrame, reason: str) -> pd.DataFrame:
    """Return the modules of a context as rows without values."""
    sizes = members.groupby("module").size()
    unknown = {name: 0 if kind is np.int64 else np.nan for name, kind in COLUMNS.items()}
    told = unknown | {"module": sizes.index, "size": sizes.to_numpy(), "note": reason}
    return pd.DataFrame(told).astype(COLUMNS)


def _conditions(adata: "AnnData", column: str, asked: tuple[str, str]) -> Ints:
    """Return 0 for cells of the reference, 1 for the case and -1 for others."""
    labels, place = groups_of(adata, column)
    unknown = [value for value in asked if value not in labels]
    if unknown or asked[0] == asked[1]:
        message = (
            f"{asked[0]!r} and {asked[1]!r} were given for {column!r}; two different values of it "
            f"were expected: {', '.join(labels)}; name two of them."
        )
        raise InputError(message)
    values = np.full(len(place), -1, dtype=np.int64)
    for number, value in enumerate(asked):
        values[place == labels.index(value)] = number
    return values
