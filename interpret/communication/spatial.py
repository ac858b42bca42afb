"""Ligand-receptor pairs between neighbouring spots of a tissue, beyond the groups of the spots."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..inputs import groups_of, log_expression
from ..statistics import Floats, Ints, adjust, check_cells, refuse, tidy
from .ligand_receptor import PairGenes, Pairs, locate_pairs, pairs_of
from .names import symbols_of, with_names
from .spatial_null import permuted_edge_sums

if TYPE_CHECKING:
    from anndata import AnnData

MOST_SPOTS = 1 << 16
"""Spots of one group and section that can be permuted."""


def neighbour_edges(
    coordinates: Floats, *, k: int = 6, sections: Ints | None = None
) -> tuple[Ints, Ints]:
    """Return edges between each spot and its ``k`` nearest of the same section, both ways.

    Two spots are joined where either is among the nearest of the other, by Euclidean distance.
    Array positions of a hexagonal grid must be brought to scale first (Visium: row times the root
    of 3), or six nearest spots are not the six around.

    Returns
    -------
    tuple
        Source and target of each edge, sorted by source, then target.
    """
    from scipy.spatial import KDTree

    n = len(coordinates)
    section = np.zeros(n, dtype=np.int64) if sections is None else sections
    if coordinates.ndim != 2 or not np.isfinite(coordinates).all() or section.shape != (n,):
        refuse(
            f"coordinates of shape {coordinates.shape} were given with {len(section)} sections",
            "finite numbers, one row per spot, and one section per spot",
            "leave out spots without a place",
        )
    if k < 1:
        refuse(f"k = {k} was given", "at least 1 neighbour", "give 6")
    found = [np.empty((0, 2), dtype=np.int64)]
    for value in np.unique(section):
        rows = np.flatnonzero(section == value)
        near = min(k + 1, len(rows))
        place = KDTree(coordinates[rows]).query(coordinates[rows], k=near)[1].reshape(-1, near)
        pairs = np.column_stack([np.repeat(rows, near), rows[place].ravel()])
        # Where spots share a place, a spot need not be its own nearest.
        found.append(pairs[pairs[:, 0] != pairs[:, 1]])
    pairs = np.concatenate(found)
    edges = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    return edges[:, 0].copy(), edges[:, 1].copy()


def spatial_communicate(
    values: sp.csr_matrix,
    coordinates: Floats,
    groups: Ints,
    n_groups: int,
    pairs: PairGenes,
    *,
    sections: Ints | None = None,
    k: int = 6,
    edges: tuple[Ints, Ints] | None = None,
    weights: Floats | None = None,
    rng: np.random.Generator,
    n_permutations: int = 1000,
    min_edges: int = 10,
) -> pd.DataFrame:
    """Return a score of each ligand-receptor pair over neighbouring spots, with its null.

    The score is the weighted mean, over edges from a spot of the source to a spot of the target,
    of the geometric mean of the ligand in the one and the receptor in the other (of a complex: the
    smallest of its subunits in the spot). Null: spots stand anywhere among the spots of their
    group and section; whole spots are permuted, so that what a spot holds stays together. A small
    p says that spots rich in the ligand lie beside spots rich in the receptor more than group and
    section explain. Anything that varies smoothly within a group does that, depth and sub-layers
    among it: p speaks of where the pair is, not of a signal.

    Parameters
    ----------
    values
        Log1p of counts per 10,000, shape (n_spots, n_genes).
    coordinates
        Shape (n_spots, 2 or 3).
    groups, n_groups
        (n_spots,) group from 0, -1 for none: such spots take no part.
    pairs
        Pairs by position; those whose score is 0 everywhere have p 1.
    sections
        (n_spots,) section; neighbours and permutations stay within it.
    k
        Neighbours, see :func:`neighbour_edges`.
    edges
        Source and target spots in place of neighbours.
    weights
        Weight of each edge, at least 0, such as attention; 1 when not given.
    n_permutations
        Permutations of the spots.
    min_edges
        Edges that two groups must share.

    Returns
    -------
    pandas.DataFrame
        One row per pair and ordered two groups with enough edges, best first (``q``, ``score``):
        ``source``, ``target``, ``pair`` (positions), ``score`` (at least 0), ``expected`` (its
        mean under the null), ``z`` (0 where the null does not vary), ``p`` = (b + 1) / (B + 1),
        one-sided, ``q`` (Benjamini-Hochberg over all rows), ``n_edges``, ``n_sections``.

    Raises
    ------
    InputError
        Lengths do not fit, weights are negative, or no two groups share enough edges.
    """
    check_cells(values, groups, n_groups)
    section = np.zeros(len(groups), dtype=np.int64) if sections is None else sections
    if len(coordinates) != len(groups):
        refuse(
            f"{len(coordinates)} coordinates were given for {len(groups)} spots",
            "one row per spot",
            "pass obsm['spatial'] of the same spots",
        )
    source, target = neighbour_edges(coordinates, k=k, sections=section) if edges is None else edges
    weight = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != source.shape or not (np.isfinite(weight).all() and (weight >= 0).all()):
        refuse(
            f"{len(weight)} weights were given for {len(source)} edges",
            "one finite weight of at least 0 per edge",
            "take the edges from neighbour_edges and weigh each",
        )
    used = (groups[source] >= 0) & (groups[target] >= 0)
    source, target, weight = source[used], target[used], weight[used]
    slot = groups[source] * n_groups + groups[target]
    n_edges = np.bincount(slot, minlength=n_groups**2)
    total = np.bincount(slot, weight, minlength=n_groups**2)
    kept = np.flatnonzero((n_edges >= max(min_edges, 1)) & (total > 0))
    if not len(kept):
        refuse(
            f"no two of {n_groups} groups share {min_edges} edges with a weight",
            "groups that lie beside each other",
            "name a coarser grouping, more neighbours or fewer edges",
        )
    stratum = np.unique(np.column_stack([groups, section]), axis=0, return_inverse=True)[1].ravel()
    most = int(np.bincount(stratum).max())
    if most >= MOST_SPOTS:
        refuse(
            f"{most} spots of one group and section were given",
            f"fewer than {MOST_SPOTS}",
            "name sections, or finer groups",
        )
    place = np.full(n_groups**2, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    inside = place[slot] >= 0
    of_edge = source[inside], target[inside], weight[inside], place[slot[inside]]
    seen, null_sum, null_square, count = permuted_edge_sums(
        values, pairs, of_edge, stratum, len(kept), rng, n_permutations
    )
    per_edge = total[kept]
    expected = null_sum / n_permutations
    spread = np.sqrt(np.maximum(null_square / n_permutations - expected**2, 0))
    varies = spread > 1e-9 * np.maximum(expected, 1e-300)
    z = np.divide(seen - expected, spread, out=np.zeros_like(seen), where=varies)
    p = (count + 1) / (n_permutations + 1)
    touched = np.unique(np.column_stack([slot, section[source]]), axis=0)[:, 0]
    pair, two = (axis.ravel() for axis in np.indices(p.shape))
    table = tidy(
        {
            "source": kept[two] // n_groups,
            "target": kept[two] % n_groups,
            "pair": pair,
            "score": (seen / per_edge).ravel(),
            "expected": (expected / per_edge).ravel(),
            "z": z.ravel(),
            "p": p.ravel(),
            "q": adjust(p).ravel(),
            "n_edges": n_edges[kept][two],
            "n_sections": np.bincount(touched, minlength=n_groups**2)[kept][two],
        }
    )
    order = np.lexsort([table["pair"], -table["score"], table["q"]])
    return table.iloc[order].reset_index(drop=True)


def spot_communication(
    adata: "AnnData",
    pairs: Pairs | str | Path,
    *,
    groupby: str | None = None,
    section: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    gene_symbols: str | None = None,
    spatial_key: str = "spatial",
    weights_key: str | None = None,
    k: int = 6,
    n_permutations: int = 1000,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Return which ligand-receptor pairs lie beside each other in a tissue.

    Parameters
    ----------
    adata
        Spots with coordinates.
    pairs
        A file, or of :func:`~scypher.interpret.communication.ligand_receptor.read_pairs`.
    groupby, section
        Columns of ``obs`` with groups and sections; all spots are one where not given.
    layer, totals
        See :func:`~scypher.interpret.inputs.log_expression`.
    gene_symbols
        Column of ``var`` with the symbols, the names of the genes when not given.
    spatial_key
        Where in ``obsm`` the coordinates are.
    weights_key
        Where in ``obsp`` weighted edges are, from the spot in the row to that in the column, such
        as attention to neighbours (its rows attend: give its transpose); the ``k`` nearest spots,
        all alike, when not given.
    k, n_permutations
        See :func:`spatial_communicate`.
    seed
        Of the permutations.
    key_added
        Where in ``uns`` the table is also written; nothing is written when not given.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`spatial_communicate` with names of groups, and ``ligand``,
        ``receptor`` and ``pathway`` in place of ``pair``; notes in ``attrs["notes"]``.

    Raises
    ------
    InputError
        As :func:`spatial_communicate` does, or coordinates, a column or all pairs are missing.
    """
    if spatial_key not in adata.obsm:
        known = ", ".join(map(str, adata.obsm)) or "none"
        refuse(
            f"there is no {spatial_key!r} in obsm; it has: {known}",
            "coordinates of the spots",
            "name where they are",
        )
    edges, weights = (None, None) if weights_key is None else _weighted(adata, weights_key)
    n = adata.n_obs
    whole = ["all"], np.zeros(n, dtype=np.int64)
    labels, groups = whole if groupby is None else groups_of(adata, groupby)
    sections = whole[1] if section is None else groups_of(adata, section)[1]
    resource = pairs_of(pairs)
    found = locate_pairs(resource, symbols_of(adata, gene_symbols))
    table = spatial_communicate(
        log_expression(adata, layer=layer, totals=totals),
        np.asarray(adata.obsm[spatial_key], dtype=np.float64),
        groups,
        len(labels),
        found,
        sections=sections,
        k=k,
        edges=edges,
        weights=weights,
        rng=np.random.default_rng(seed),
        n_permutations=n_permutations,
    )
    named = with_names(table, labels, resource, found)
    if key_added is not None:
        adata.uns[key_added] = named
    return named


def _weighted(adata: "AnnData", key: str) -> tuple[tuple[Ints, Ints], Floats]:
    """Return the edges of a slot of ``obsp``, and their weights."""
    if key not in adata.obsp:
        refuse(
            f"there is no {key!r} in obsp; it has: {', '.join(map(str, adata.obsp)) or 'none'}",
            "weights of edges between spots",
            "name where they are, or leave it out",
        )
    found = sp.coo_matrix(adata.obsp[key])
    edges = found.row.astype(np.int64), found.col.astype(np.int64)
    return edges, np.asarray(found.data, dtype=np.float64)
