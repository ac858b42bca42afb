"""Directed networks of transcription factors and targets, with what the data say of each link."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from ..gene_sets.library import check_overlap
from ..inputs import groups_of, log_expression
from ..modules.associations import Association, associate
from ..modules.context_frames import ALL, MIN_CELLS
from ..modules.strata import depth_strata
from ..statistics import Ints, adjust
from .regulons import Regulons, regulons_of

if TYPE_CHECKING:
    from anndata import AnnData

_EDGES = {
    "source": object,
    "target": object,
    "sign": np.int64,
    "correlation": np.float64,
    "z": np.float64,
    "p": np.float64,
    "q": np.float64,
    "sign_agrees": object,
    "confidence": object,
    "pmids": object,
    "resource": object,
    "version": object,
    "n_cells": np.int64,
    "context": object,
}


def gene_network(
    association: Association,
    regulons: Regulons,
    genes: list[str],
    *,
    n_cells: int,
    context: str = "all",
) -> pd.DataFrame:
    """Return the links of a resource between tested genes, with what the data say beside each.

    The direction and the sign are those of the resource; the data say whether factor and target
    co-vary in a context, not which acts on which.

    Parameters
    ----------
    association
        Of all pairs of the tested genes.
    regulons
        The resource.
    genes
        Names of all genes, in the order that positions refer to.
    n_cells
        Cells that were compared.
    context
        Name of these cells.

    Returns
    -------
    pandas.DataFrame
        One row per link, by q, source and target: ``source``, ``target`` (names), ``sign``
        (1 activates, -1 represses, 0 not known), ``correlation`` (the weight of the association),
        ``z``, ``p``, ``q`` (Benjamini-Hochberg over the links), ``sign_agrees`` (yes or no where
        the sign is known and q < 0.05, else empty), ``confidence``, ``pmids``, ``resource``,
        ``version``, ``n_cells``, ``context``. Links of a gene with itself, or with one that does
        not vary, are left out.

    Raises
    ------
    InputError
        No factor and target of the resource is among the tested genes.
    """
    table = measured_links(association.genes, regulons, genes)
    row, column = table["row"].to_numpy(), table["column"].to_numpy()
    z = association.z[row, column].astype(np.float64)
    tested = np.isfinite(z)
    table, row, column, z = table[tested], row[tested], column[tested], z[tested]
    weight = association.weight[row, column].astype(np.float64)
    p = association.p[row, column]
    q = adjust(p)
    sign = table["sign"].to_numpy()
    told = (q < 0.05) & (sign != 0)
    found = table.assign(
        correlation=weight,
        z=z,
        p=p,
        q=q,
        sign_agrees=np.where(told, np.where(np.sign(z) == sign, "yes", "no"), ""),
        resource=regulons.name,
        version=regulons.version,
        n_cells=n_cells,
        context=context,
    )
    found = found.sort_values(["q", "source", "target"], ignore_index=True)
    links: pd.DataFrame = found[list(_EDGES)].astype(_EDGES)
    return links


def regulatory_network(
    adata: "AnnData",
    regulons: Regulons | str | Path,
    *,
    donor: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    max_genes: int = 3_000,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Return the links of a resource with what the data say of each, over all cells and by group.

    Tested is Pearson correlation over cells within strata of depth and donor. The columns are
    those of :func:`gene_network`.

    Parameters
    ----------
    adata
        Counts, or log1p of counts per 10,000.
    regulons
        The resource: a file, or of :func:`~scypher.interpret.networks.regulons.read_regulons`.
    donor
        Column of ``obs`` with the donor.
    groupby
        Column of ``obs`` whose groups of at least 100 cells are contexts of their own.
    layer, totals
        As in :func:`~scypher.interpret.inputs.log_expression`.
    max_genes
        Genes of the resource to test, those detected in most cells.
    seed
        Of the permutations.
    key_added
        Where given, ``adata.uns[key_added]`` gets the frame.

    Raises
    ------
    InputError
        There is no such layer or column, or the resource and the data share no link.
    """
    resource = regulons_of(regulons)
    expression = log_expression(adata, layer=layer, totals=totals)
    names = adata.var_names.astype(str).tolist()
    donors = None if donor is None else groups_of(adata, donor)[1]
    contexts = {ALL: np.arange(adata.n_obs)}
    if groupby is not None:
        labels, groups = groups_of(adata, groupby)
        own = {label: np.flatnonzero(groups == place) for place, label in enumerate(labels)}
        contexts |= {label: cells for label, cells in own.items() if len(cells) >= MIN_CELLS}
    rng = np.random.default_rng(seed)
    genes = network_genes(expression, resource, names, most=max_genes)
    tables = []
    for context, cells in contexts.items():
        values = expression[cells]
        strata = depth_strata(np.diff(values.indptr), None if donors is None else donors[cells])
        found = associate("correlation", values, genes=genes, strata=strata, rng=rng)
        tables.append(gene_network(found, resource, names, n_cells=len(cells), context=context))
    table = pd.concat(tables, ignore_index=True)
    if key_added is not None:
        adata.uns[key_added] = table
    return table


def network_genes(
    expression: sp.csr_matrix,
    regulons: Regulons,
    names: list[str],
    *,
    most: int = 3_000,
    min_cells: int = 10,
) -> Ints:
    """Return the positions of the genes of a resource that ``min_cells`` detect, the most detected.

    Raises
    ------
    InputError
        No factor and target of the resource is among them, or the resource is of another species.
    """
    check_overlap(regulons.library(), names, kind="regulons")
    detected = np.bincount(expression.indices[expression.data > 0], minlength=expression.shape[1])
    known = pd.Index(regulons.table["source"]).union(pd.Index(regulons.table["target"]))
    inside = np.flatnonzero(pd.Index(names).isin(known) & (detected >= min_cells))
    chosen = np.sort(inside[np.argsort(-detected[inside], kind="stable")[:most]])
    measured_links(chosen, regulons, names)
    return chosen


def measured_links(genes: Ints, regulons: Regulons, names: list[str]) -> pd.DataFrame:
    """Return the links between genes, with their places among them: ``row`` and ``column``.

    Raises
    ------
    InputError
        There is none.
    """
    place: dict[str, int] = {}
    for number, gene in enumerate(genes.tolist()):
        place.setdefault(names[gene], number)
    table = regulons.table
    row, column = table["source"].map(place), table["target"].map(place)
    inside = row.notna() & column.notna() & (row != column)
    if not inside.any():
        few = ", ".join(table["source"].head(3))
        message = (
            f"regulons {regulons.name} have factors such as {few}, and no link of theirs is among "
            f"the {len(genes)} tested genes, such as {', '.join(list(place)[:3]) or 'none'}; "
            "expected the same kind of names in both; choose a resource of the same species, or "
            "test more genes."
        )
        raise InputError(message)
    found = table[inside].assign(row=row[inside].astype(int), column=column[inside].astype(int))
    return found.reset_index(drop=True)
