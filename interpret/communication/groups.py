"""Which groups of cells talk to which by ligand-receptor pairs, and what stands behind it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..inputs import groups_of, log_expression
from ..statistics import Ints, adjust, check_cells, refuse, tidy
from .decoys import decoy_p, matched_bins, q_by_pair
from .donors import donor_evidence
from .label_null import label_p
from .ligand_receptor import PairGenes, Pairs, locate_pairs, pairs_of
from .names import symbols_of, with_names
from .scores import group_profiles, known_partners, score_columns, smallest_of

if TYPE_CHECKING:
    from anndata import AnnData

SIGNIFICANT = 0.05
"""Largest q of a pair that is called."""


def communicate(
    values: sp.csr_matrix,
    groups: Ints,
    n_groups: int,
    pairs: PairGenes,
    *,
    donors: Ints | None = None,
    known: PairGenes | None = None,
    rng: np.random.Generator,
    n_permutations: int = 1000,
    min_cells: int = 10,
    min_detected: float = 0.1,
) -> pd.DataFrame:
    """Return a score of every ligand-receptor pair and two groups, with two nulls and the donors.

    The score is the geometric mean of the group means of the ligand in the source and of the
    receptor in the target (of a complex: the smallest group mean of its subunits, as CellPhoneDB
    takes it). Two questions are asked of it, and each p means no more than its null:

    - ``p``: is the score higher than if the labels of the cells were exchanged? Labels are
      permuted within donors where they are known. It says that ligand and receptor are expressed
      by these groups more than by others, which is true of any two genes that mark them.
    - ``decoy_p``: is the pair more specific to these groups than matched decoys are to any two,
      decoys being pairs of genes with like mean and detection (each group counting alike) that are
      no known partners? It says that partners are concentrated as few such genes are, not that
      proteins meet: expression alone cannot tell. In a panel of nothing but ligands and receptors
      the decoys are as specific as the partners, and few pairs or none can pass.

    Cells of one donor are no replicates: ``p`` counts cells and ``decoy_p`` genes, neither people;
    ``donors_agreeing`` and ``donor_p`` count people.

    Parameters
    ----------
    values
        Log1p of counts per 10,000, shape (n_cells, n_genes).
    groups
        (n_cells,) group from 0, -1 for none. Cells of groups below ``min_cells`` take no part.
    n_groups
        Number of groups.
    pairs
        Pairs by position; tested are those of which every gene is detected in ``min_detected``
        of the cells of some group. Decoys are of such genes too.
    donors
        (n_cells,) donor, -1 unknown; cells of unknown donors are exchanged with each other.
    known
        Known partners, which are never decoys; ``pairs`` always are.
    n_permutations
        Permutations of the labels.
    min_cells
        Cells a group must have, and must have of a donor for the donor to be counted.
    min_detected
        Share of cells, [0, 1], that must express a gene in some group.

    Returns
    -------
    pandas.DataFrame
        One row per tested pair and ordered two groups, a group with itself among them, best first
        (``q``, then ``score``):

        - ``source``, ``target``: groups; ``pair``: position in ``pairs``;
        - ``score``: at least 0; ``specificity``: over its mean over all ordered two groups, 1 where
          it is no higher than elsewhere;
        - ``ligand_mean``, ``receptor_mean``, ``ligand_detected``, ``receptor_detected``: group
          mean, and share of cells with a count, [0, 1], of the lowest subunit;
        - ``p``, ``q``: labels permuted, in (0, 1], q by Benjamini and Hochberg over all rows;
        - ``decoy_p``, ``decoy_q``, ``n_decoys``: among matched decoys, p adjusted for the two
          groups of a pair, q over all pairs; how many decoys there were;
        - ``donors_agreeing`` of ``n_donors``: donors with ``min_cells`` cells of both groups, and
          those in which the score exceeds its mean over the ordered two groups of that donor;
          ``donor_p``, ``donor_q``: one-sided sign-flip p of that excess over donors, missing below
          5 donors;
        - ``n_cells_source``, ``n_cells_target``;
        - ``verdict``: ``supported`` (q and decoy_q below 0.05), ``specific_only`` (q alone),
          ``unsupported``.

    Raises
    ------
    InputError
        Labels do not fit the cells, values are no log expression, fewer than two groups have
        ``min_cells`` cells, or pairs point to genes that there are not.
    """
    check_cells(values, groups, n_groups)
    _check(values, pairs, donors, n_permutations)
    size = np.bincount(groups[groups >= 0], minlength=n_groups)
    kept = np.flatnonzero(size >= max(min_cells, 1))
    if len(kept) < 2:
        refuse(
            f"{len(kept)} of {n_groups} groups have {min_cells} cells",
            "at least two groups, to be compared",
            "name a coarser grouping or a smaller min_cells",
        )
    place = np.full(n_groups + 1, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    inside = place[groups] >= 0
    cells, label = sp.csr_matrix(values[inside]), place[groups][inside]
    owner = np.zeros(len(label), dtype=np.int64) if donors is None else donors[inside]
    means, detected = group_profiles(cells, label, len(kept))
    # A property of each gene alone, so that decoys can be held to it too.
    present = (detected.max(axis=0) >= min_detected) & (detected.max(axis=0) > 0)
    tested = np.flatnonzero(
        smallest_of(present.astype(np.float64), pairs.ligand).astype(bool)
        & smallest_of(present.astype(np.float64), pairs.receptor).astype(bool)
        & smallest_of(means, pairs.ligand).any(axis=0)
        & smallest_of(means, pairs.receptor).any(axis=0)
    )
    ligand, receptor = pairs.ligand[tested], pairs.receptor[tested]
    p = label_p(
        cells, label, ligand, receptor, strata=owner, rng=rng, n_permutations=n_permutations
    )
    beside, n_decoys = decoy_p(
        means,
        matched_bins(means.mean(axis=0), detected.mean(axis=0), among=present),
        ligand,
        receptor,
        known=known_partners(values.shape[1], pairs, *([] if known is None else [known])),
        rng=rng,
    )
    columns = score_columns(means, detected, ligand, receptor)
    columns |= {"p": p, "q": adjust(p), "decoy_p": beside, "decoy_q": q_by_pair(beside)}
    columns["n_decoys"] = np.broadcast_to(n_decoys[:, None, None], p.shape)
    columns |= donor_evidence(
        cells,
        label,
        None if donors is None else owner,
        ligand,
        receptor,
        min_cells=min_cells,
        rng=rng,
    )
    pair, source, target = (axis.ravel() for axis in np.indices(p.shape))
    table = tidy(
        {
            "source": kept[source],
            "target": kept[target],
            "pair": tested[pair],
            **{name: np.asarray(column).ravel() for name, column in columns.items()},
            "n_cells_source": size[kept][source],
            "n_cells_target": size[kept][target],
        }
    )
    both = [table[name] < SIGNIFICANT for name in ("q", "decoy_q")]
    table["verdict"] = np.select(
        [both[0] & both[1], both[0]], ["supported", "specific_only"], "unsupported"
    )
    order = np.lexsort([table["pair"], -table["score"], table["q"]])
    return table.iloc[order].reset_index(drop=True)


def cell_communication(
    adata: "AnnData",
    groupby: str,
    pairs: Pairs | str | Path,
    *,
    donor: str | None = None,
    layer: str | None = None,
    totals: str | None = None,
    gene_symbols: str | None = None,
    n_permutations: int = 1000,
    min_cells: int = 10,
    min_detected: float = 0.1,
    seed: int = 0,
    key_added: str | None = None,
) -> pd.DataFrame:
    """Return which groups of cells talk to which by which ligand and receptor.

    Parameters
    ----------
    adata
        The cells, counts or log1p of scaled counts.
    groupby
        Column of ``obs`` with the groups.
    pairs
        A file, or of :func:`~scypher.interpret.communication.ligand_receptor.read_pairs`.
    donor
        Column of ``obs`` with the donors.
    layer, totals
        Where the values are; see :func:`~scypher.interpret.inputs.log_expression`. A panel of
        genes needs ``totals``.
    gene_symbols
        Column of ``var`` with the symbols, the names of the genes when not given.
    n_permutations, min_cells, min_detected
        See :func:`communicate`.
    seed
        Of the permutations.
    key_added
        Where in ``uns`` the table is also written; nothing is written when not given.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`communicate` with names of groups, and ``ligand``, ``receptor``
        (symbols, subunits joined by ``_``) and ``pathway`` in place of ``pair``. What could not be
        tested is counted in ``attrs["notes"]``.

    Raises
    ------
    InputError
        As :func:`communicate` does, or a column is missing, or no pair is measured.
    """
    labels, groups = groups_of(adata, groupby)
    donors = None if donor is None else groups_of(adata, donor)[1]
    resource = pairs_of(pairs)
    found = locate_pairs(resource, symbols_of(adata, gene_symbols))
    table = communicate(
        log_expression(adata, layer=layer, totals=totals),
        groups,
        len(labels),
        found,
        donors=donors,
        rng=np.random.default_rng(seed),
        n_permutations=n_permutations,
        min_cells=min_cells,
        min_detected=min_detected,
    )
    named = with_names(table, labels, resource, found)
    if key_added is not None:
        adata.uns[key_added] = named
    return named


def _check(
    values: sp.csr_matrix, pairs: PairGenes, donors: Ints | None, n_permutations: int
) -> None:
    n_cells, n_genes = values.shape
    genes = np.concatenate([pairs.ligand.ravel(), pairs.receptor.ravel()])
    if not len(pairs) or genes.max() >= n_genes or (pairs.ligand[:, 0] < 0).any():
        refuse(
            f"{len(pairs)} pairs were given for {n_genes} genes",
            "at least one pair, with positions of genes from 0, subunits first, filled up with -1",
            "locate the pairs among the genes of these cells",
        )
    if donors is not None and donors.shape != (n_cells,):
        refuse(
            f"{len(donors)} donors were given for {n_cells} cells",
            "one donor, or -1, per cell",
            "pass an integer array of that length",
        )
    if n_permutations < 1:
        refuse(f"{n_permutations} permutations were given", "at least 1", "give 1,000")
