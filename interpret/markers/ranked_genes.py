"""Marker genes of an AnnData object, in one call."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..chunks import of_cells
from ..inputs import expression_chunks, groups_of
from .marker_statistics import ADJUSTED, adjust_known, marker_statistics

if TYPE_CHECKING:
    from anndata import AnnData


def marker_genes(
    adata: "AnnData",
    groupby: str,
    *,
    reference: str | None = None,
    within: str | None = None,
    donor: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Rank the genes of every group of cells, by cells and by donors.

    Parameters
    ----------
    adata
        The cells; counts, or log1p of counts per 10,000. Of a file opened with ``backed="r"`` some
        cells are read at a time.
    groupby
        Column of ``obs`` with the groups, or the conditions to compare.
    reference
        Group that the others are compared with; all other cells when not given.
    within
        Column of ``obs``: the comparison is made within each of its values, such as a condition
        within each cell type.
    donor
        Column of ``obs`` with the donors.
    layer
        Layer to read, ``raw`` for ``adata.raw``, ``X`` when not given.
    totals
        Column of ``obs`` with the counts of each cell, where a panel of genes was measured.
    key_added
        Key of ``uns`` to which the result is written as ``scanpy.tl.rank_genes_groups`` writes it,
        so that scanpy's plots and ``scanpy.get.rank_genes_groups_df`` read it.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`~scypher.interpret.markers.marker_statistics.marker_statistics`, with
        names of groups and genes, and ``within`` where asked; q is over all that was compared.

    Raises
    ------
    InputError
        There is no such column, layer or group.
    """
    labels, groups = groups_of(adata, groupby)
    chunks = expression_chunks(adata, layer=layer, totals=totals)
    donors = None if donor is None else groups_of(adata, donor)[1]
    if reference is not None and reference not in labels:
        message = (
            f"the reference {reference!r} was given for {groupby!r}; expected one of its values: "
            f"{', '.join(labels)}; name one of them."
        )
        raise InputError(message)
    if within is not None and key_added is not None:
        message = (
            f"key_added {key_added!r} was given with within {within!r}; scanpy's form holds one "
            "comparison a group; ask for one value of it at a time."
        )
        raise InputError(message)
    place = None if reference is None else labels.index(reference)
    outer, strata = (
        ([""], np.zeros(len(groups), dtype=np.int64))
        if within is None
        else groups_of(adata, within)
    )
    tables = []
    for number, name in enumerate(outer):
        cells = strata == number
        some = None if donors is None else donors[cells]
        if place is None or (groups[cells] == place).any():
            part = chunks if cells.all() else of_cells(chunks, cells)
            table = marker_statistics(
                part, groups[cells], len(labels), reference=place, donors=some
            )
            tables.append(table[table["n_in"] > 0].assign(within=name))
    table = pd.concat(tables, ignore_index=True)
    for p, q in ADJUSTED.items():
        table[q] = adjust_known(table[p].to_numpy())
    table["group"] = np.array(labels, dtype=object)[table["group"]]
    table["gene"] = adata.var_names.to_numpy(dtype=object)[table["gene"]]
    if key_added is not None:
        adata.uns[key_added] = _as_scanpy(table, groupby, reference, layer)
    return table.drop(columns="within") if within is None else table


def _as_scanpy(
    table: pd.DataFrame, groupby: str, reference: str | None, layer: str | None
) -> dict[str, object]:
    """Return the result in the form of ``scanpy.tl.rank_genes_groups``, by descending z."""
    names = {
        "names": "gene",
        "scores": "z",
        "pvals": "p",
        "pvals_adj": "q",
        "logfoldchanges": "log2_fold_change",
    }
    ordered = {
        str(group): rows.sort_values("z", ascending=False, kind="stable")
        for group, rows in table.groupby("group", sort=False)
    }
    found: dict[str, object] = {
        "params": {
            "groupby": groupby,
            "reference": reference or "rest",
            "method": "wilcoxon",
            "use_raw": layer == "raw",
            "layer": None if layer == "raw" else layer,
            "corr_method": "benjamini-hochberg",
        }
    }
    for name, column in names.items():
        kind = object if name == "names" else np.float64
        records = np.empty(
            len(next(iter(ordered.values()))), dtype=[(group, kind) for group in ordered]
        )
        for group, rows in ordered.items():
            records[group] = rows[column]
        found[name] = records
    return found
