"""Modules of genes in each context, all cells or one group of them, with their evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...encoders.errors import InputError
from ..statistics import Floats, Ints, refuse
from ..variable_genes import select_genes
from .associations import Measure
from .communities import Modules
from .context import Context
from .context_frames import ALL, MIN_CELLS, Found, context_frames
from .evidence import donor_stability, eigengenes, matched_module_null

if TYPE_CHECKING:
    pass

_PAIRS = 20_000
_CONTEXT: dict[str, type] = {
    "context": object,
    "n_cells": np.int64,
    "n_genes": np.int64,
    "n_modules": np.int64,
    "halves_agree": np.float64,
    "reason": object,
}


@dataclass(frozen=True)
class ContextModules:
    """Modules of every context.

    Attributes
    ----------
    modules
        One row per module, by context and module: ``context``, ``module`` (from 0, by size),
        ``name`` (of the context, a colon, and M1, M2, …; M1 alone in ``all``), ``size``,
        ``stability`` (over seeds, mean best-match Jaccard, [0, 1]), ``donor_stability`` (in halves
        of the donors, [0, 1], NaN with fewer than 4 donors), ``mean_weight`` (mean Pearson
        correlation among its genes), ``null_weight``, ``null_z``, ``null_p`` (against random genes
        of like expression), ``null_q`` (Benjamini-Hochberg over the modules of all contexts),
        ``hubs`` (five genes of most strength, separated by commas), ``n_cells``, ``n_donors``
        (0 where unknown).
    membership
        One row per gene of a module, by context, module and hub rank: ``context``, ``module``,
        ``name``, ``gene``, ``position`` (of the gene), ``strength`` (mean correlation with the
        other genes of the module), ``hub_rank`` (from 1).
    pairs
        Pairs of genes that co-vary, by context: the columns of
        :func:`~scypher.interpret.modules.gene_pairs.co_regulation` and ``context``.
    contexts
        One row per context asked for: ``context``, ``n_cells``, ``n_genes`` (tested),
        ``n_modules``, ``halves_agree`` (mean best-match Jaccard between the modules of two halves
        of the donors, NaN with fewer than 4 or without modules), ``reason`` (why it was left out,
        empty if it was not).
    eigengenes
        Cells by modules of context ``all``, columns by name: mean 0, deviation 1.
    """

    modules: pd.DataFrame
    membership: pd.DataFrame
    pairs: pd.DataFrame
    contexts: pd.DataFrame
    eigengenes: pd.DataFrame


def context_modules(
    expression: sp.csr_matrix,
    *,
    measure: Measure = "correlation",
    attention: sp.csr_matrix | None = None,
    gene_vectors: Floats | None = None,
    groups: Ints | None = None,
    labels: list[str] | None = None,
    donors: Ints | None = None,
    totals: NDArray[Any] | None = None,
    genes: list[str] | None = None,
    rng: np.random.Generator,
    n_genes: int = 1500,
    n_group_genes: int | None = None,
    halve_groups: bool = True,
    min_cells: int = MIN_CELLS,
    n_permutations: int = 10,
) -> ContextModules:
    """Find the modules of all cells and of each group with enough cells, with their evidence.

    In each context its most variable genes are tested for co-variation within strata of depth and
    donor (:func:`~scypher.interpret.modules.gene_pairs.co_regulation`), and modules are communities
    of the network of closest pairs (:func:`~scypher.interpret.modules.communities.find_modules`).
    Pairs may be measured otherwise (:func:`~scypher.interpret.modules.associations.associate`); the
    evidence of a module is its correlation of expression all the same. Without a resource of
    transcription factors they say which genes co-vary, not what regulates them.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    measure
        How pairs are measured; of others than ``correlation`` the weight of a pair (cosine, or the
        correlation of attention or of metacells) stands in its column ``correlation``.
    attention
        Attention of cells to genes, same shape: by ``correlation`` tested beside the expression
        over all cells; ``attention`` and ``context`` need it.
    gene_vectors
        Static embedding of each gene, which ``context`` needs.
    groups
        Group of each cell from 0, -1 for none; ``None`` for the context ``all`` alone.
    labels
        Names of the groups; their numbers without.
    donors
        Donor of each cell, -1 where unknown.
    totals
        Depth of each cell; without it the number of genes detected.
    genes
        Names of the genes; their positions without.
    rng
        Source of permutations, seeds, draws and splits.
    n_genes
        Most variable genes to test in each context.
    n_group_genes
        Of a group; ``n_genes`` without.
    halve_groups
        Whether modules of groups, too, are looked for in halves of the donors.
    min_cells
        Cells that a group needs.
    n_permutations
        Permutations of the data per context.

    Raises
    ------
    InputError
        Groups, donors, totals or names do not fit the expression, a group is named ``all``, or the
        measure lacks attention or vectors, or is ``embedding``, which has no null to join pairs by.
    """
    n_cells = expression.shape[0]
    names = genes or [str(place) for place in range(expression.shape[1])]
    depth = np.diff(expression.indptr) if totals is None else np.asarray(totals)
    _check(expression, groups, labels, donors, depth, names)
    if measure == "embedding":
        refuse(
            "the measure 'embedding' was given, which only orders pairs",
            "one whose null says which pairs are more than chance",
            "use context, the cosine of embeddings that are attended to together",
        )
    by_attention = measure in ("attention", "context")
    found, pairs, contexts = [], [], []
    for context, cells in _contexts(n_cells, groups, labels):
        if context != ALL and len(cells) < min_cells:
            reason = f"fewer than {min_cells} cells"
            contexts.append((context, len(cells), 0, 0, float("nan"), reason))
            continue
        whole = context == ALL
        values = expression if whole else expression[cells]
        tested = select_genes(values, n_genes if whole else n_group_genes or n_genes)
        one = Context(
            values,
            depth[cells],
            None if donors is None else donors[cells],
            tested,
            max(_PAIRS if whole else 0, 10 * len(tested)),
            _part(attention, cells, whole=whole, needed=by_attention),
            measure=measure,
            gene_vectors=gene_vectors,
        )
        halve = whole or halve_groups
        near, modules, halves = _found(one, rng, n_permutations, halve=halve)
        found.append(Found(context, modules, len(cells), one.n_donors))
        pairs.append(near.assign(context=context))
        counts = (len(one.genes), len(modules.modules))
        contexts.append((context, len(cells), *counts, halves, ""))
    table, membership = context_frames(found, np.array(names, dtype=object))
    told = pd.DataFrame(contexts, columns=list(_CONTEXT)).astype(_CONTEXT)
    return ContextModules(
        table,
        membership,
        pd.concat(pairs, ignore_index=True),
        told,
        _of_all_cells(expression, membership),
    )


def _part(
    attention: sp.csr_matrix | None, cells: Ints, *, whole: bool, needed: bool
) -> sp.csr_matrix | None:
    """Return the attention of a context; of a group only where its modules are made of it."""
    if attention is None or whole:
        return attention
    return attention[cells] if needed else None


def _found(
    one: Context, rng: np.random.Generator, n_permutations: int, *, halve: bool
) -> tuple[pd.DataFrame, Modules, float]:
    """Return the pairs and modules of a context, with evidence, and the agreement of halves."""
    pairs, found = one.modules(rng, n_permutations)
    null = matched_module_null(one.expression, one.genes, found.membership, rng=rng)
    stability, halves = donor_stability(
        found.membership,
        one.donors if halve else None,
        lambda cells: one.part(cells).modules(rng, n_permutations)[1],
        rng=rng,
    )
    table = found.modules.drop(columns="mean_weight").merge(null, on="module", how="left")
    return pairs, Modules(found.membership, table.merge(stability, on="module")), halves


def _contexts(
    n_cells: int, groups: Ints | None, labels: list[str] | None
) -> Iterator[tuple[str, Ints]]:
    yield ALL, np.arange(n_cells)
    if groups is not None:
        for group in range(int(groups.max(initial=-1)) + 1):
            name = labels[group] if labels is not None else str(group)
            yield name, np.flatnonzero(groups == group)


def _of_all_cells(expression: sp.csr_matrix, membership: pd.DataFrame) -> pd.DataFrame:
    """Return the eigengenes of the context of all cells."""
    own = membership[membership["context"] == ALL]
    score: Floats = eigengenes(expression, own.assign(gene=own["position"]))
    return pd.DataFrame(score, columns=pd.unique(own["name"]).tolist())


def _check(
    expression: sp.csr_matrix,
    groups: Ints | None,
    labels: list[str] | None,
    donors: Ints | None,
    depth: NDArray[Any],
    names: list[str],
) -> None:
    n_cells, n_genes = expression.shape
    given = {"groups": groups, "donors": donors, "totals": depth}
    wrong = [
        f"{len(values)} {name}"
        for name, values in given.items()
        if values is not None and len(values) != n_cells
    ]
    n_groups = 0 if groups is None else int(groups.max(initial=-1)) + 1
    if len(names) != n_genes:
        wrong.append(f"{len(names)} names of genes")
    if labels is not None and (len(labels) < n_groups or ALL in labels):
        wrong.append(f"labels {labels[:5]} for {n_groups} groups")
    if wrong:
        message = (
            f"{', '.join(wrong)} were given for {n_cells} cells and {n_genes} genes; expected one "
            f"value per cell, one name per gene, and a label per group, none of them {ALL!r}; "
            "align them with the expression, or rename the group."
        )
        raise InputError(message)
