"""Remove or add genes of an AnnData object, in one call."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...encoders.cells import Cells, prepare
from ...encoders.errors import InputError
from ...encoders.registry import get_encoder
from ...encoders.response import Responds
from ..gene_names import gene_positions
from ..inputs import groups_of
from ..networks.regulons import Regulons, regulons_of
from ..statistics import Ints
from .changes import Perturbation, perturb
from .counterfactual import states_of_codes

if TYPE_CHECKING:
    from anndata import AnnData


def perturb_genes(
    adata: "AnnData",
    genes: str | Sequence[str],
    *,
    add: bool = False,
    regulons: Regulons | str | Path | None = None,
    groupby: str | None = None,
    encoder: str = "cellvq",
    layer: str | None = None,
    adapt: bool = True,
    n_null: int = 49,
    max_cells: int = 50,
    seed: int = 0,
    key_added: str | None = None,
) -> Perturbation:
    """Remove genes from cells, or add them, and tell what the encoder says is different.

    The cells are encoded first, since an encoding found in slots cannot be asked again. See
    :func:`~scypher.interpret.perturbation.changes.perturb` for the changes and the null.

    It states what a model draws on, and is a weak prediction of what a cell would do. On knock-outs
    of the interferon pathway in THP-1 cells (``tests/benchmarks/perturbation.py``) decoded change
    finds the genes that fall for STAT1, no better than chance for IFNGR2 and JAK2, where
    co-expression in control cells does better; mean expression alone ranks them about as well as
    the best, or better.

    Parameters
    ----------
    adata
        The cells, with counts.
    genes
        A gene or several, by name or symbol, changed all at once.
    add
        Raise the genes to a high level in all cells, in place of removing them.
    regulons
        A file, or of :func:`~scypher.interpret.networks.regulons.read_regulons`. Targets of the
        genes are changed too: those activated as the gene is, those repressed the other way. This
        is assumed of the targets, not predicted. Targets that cannot be changed, or of unknown
        sign, are left out.
    groupby
        Column of ``obs`` with the groups; the coarse states of the cells when not given.
    encoder
        Name of an encoder that can be asked again, or a folder with CellVQ weights.
    layer
        Layer with raw counts, ``raw``, or ``X`` when not given.
    adapt
        Fit the encoder briefly to these cells, without labels.
    n_null
        Matched sets; the smallest p is ``1 / (n_null + 1)``.
    max_cells
        Cells drawn of each group.
    seed
        Of every random choice.
    key_added
        Key of ``uns`` to which the three frames are written as a dict.

    Returns
    -------
    Perturbation
        Frames ``shifts``, ``transitions`` and ``genes``, with names of groups, states (``S1`` …)
        and genes.

    Raises
    ------
    InputError
        A gene is not measured, not expressed or not read; the encoder cannot be asked again; the
        data cannot be encoded; or there are too few genes to compare with.
    """
    from ...kg.neighbours import neighbour_graph
    from ...kg.states import find_states

    asked = [genes] if isinstance(genes, str) else list(genes)
    gene_positions(asked, list(adata.var_names), symbols=_symbols(adata))
    cells = prepare(adata, layer=layer)
    positions = _expressed(cells, asked)
    targets = None if regulons is None else _targets(cells, positions, regulons_of(regulons))
    labels, groups = (None, None) if groupby is None else groups_of(cells.adata, groupby)
    chosen = get_encoder(encoder, adapt=adapt)
    encoding = chosen.encode(cells, seed=seed)
    if not isinstance(chosen.fitted, Responds):
        message = (
            f"the encoder {encoder!r} was given; expected one that can be asked again about "
            "changed cells; take 'cellvq'."
        )
        raise InputError(message)
    readable = np.abs(encoding.gene_embedding).sum(axis=1) > 0
    names = cells.genes["name"].to_numpy(dtype=object)
    if not readable[positions].all():
        message = (
            f"the genes {', '.join(map(str, names[positions[~readable[positions]]]))} were given; "
            f"expected genes that the encoder {encoder!r} reads, {int(readable.sum())} of "
            f"{len(names)}; take other genes or another encoder."
        )
        raise InputError(message)
    cut, raised = _with_targets(cells, positions, targets, readable)
    if add:
        cut, raised = raised, cut
    states = find_states(encoding.code, neighbour_graph(encoding.embedding), seed=seed)
    state_names = states.table["name"].to_numpy(dtype=object)
    if groups is None or labels is None:
        groups, labels = states.cell[:, 0], [str(name) for name in state_names]
    found = perturb(
        chosen.fitted,
        cells.counts,
        cut,
        groups=groups,
        state_of_code=states_of_codes(states, encoding.codebook),
        rng=np.random.default_rng(seed),
        raised=raised,
        readable=readable,
        n_null=n_null,
        max_cells=max_cells,
    )
    found = _named(found, np.array(labels, dtype=object), state_names, names)
    if key_added is not None:
        adata.uns[key_added] = {
            "shifts": found.shifts,
            "transitions": found.transitions,
            "genes": found.genes,
        }
    return found


def _symbols(adata: "AnnData") -> list[str] | None:
    """Return the symbols of all genes, where the data have a column of them."""
    for name in ("symbol", "gene_symbol", "gene_symbols", "feature_name"):
        if name in adata.var:
            return [str(value) for value in adata.var[name]]
    return None


def _expressed(cells: Cells, asked: list[str]) -> Ints:
    """Return positions among the genes that have a count."""
    names = [str(name) for name in cells.genes["name"]]
    symbols = [str(name) for name in cells.genes["symbol"]]
    lost = sorted(set(asked) - set(names) - set(symbols))
    if lost:
        message = (
            f"the gene {lost[0]!r} was given, which is measured but which no cell expresses; "
            "expected genes with a count in some cell; there is nothing to remove, and no level "
            "to raise it to: take another gene."
        )
        raise InputError(message)
    return gene_positions(asked, names, symbols=symbols)


def _targets(cells: Cells, genes: Ints, regulons: Regulons) -> "pd.Series[float]":
    """Return the summed sign of the regulation of each target by the genes."""
    table = regulons.table
    symbols = cells.genes["symbol"].astype(str).to_numpy()[genes]
    mine = table[table["source"].isin(symbols)]
    if mine.empty:
        message = (
            f"the genes {', '.join(symbols)} were given with regulons of "
            f"{table['source'].nunique()} factors; expected a factor among them; ask without "
            "regulons, or take one of their factors."
        )
        raise InputError(message)
    return mine.groupby("target")["sign"].sum()


def _with_targets(
    cells: Cells, genes: Ints, targets: "pd.Series[float] | None", readable: np.ndarray
) -> tuple[Ints, Ints]:
    """Return the genes to change as asked, and those to change the other way."""
    if targets is None:
        return genes, np.zeros(0, dtype=np.int64)
    symbols = pd.Index(cells.genes["symbol"].astype(str))
    at = pd.Series(np.arange(len(symbols)), index=symbols)[~symbols.duplicated()]
    place = at.reindex(targets.index).fillna(-1).to_numpy(dtype=np.int64)
    usable = (place >= 0) & readable[place] & ~np.isin(place, genes)
    with_it = place[usable & (targets.to_numpy() > 0)]
    against = place[usable & (targets.to_numpy() < 0)]
    return np.concatenate([genes, with_it]).astype(np.int64), against.astype(np.int64)


def _named(
    found: Perturbation, labels: np.ndarray, states: np.ndarray, genes: np.ndarray
) -> Perturbation:
    shifts, moves, table = found.shifts.copy(), found.transitions.copy(), found.genes.copy()
    for frame in (shifts, moves, table):
        frame["group"] = labels[frame["group"].to_numpy(dtype=np.int64)]
    for end in ("from", "to"):
        moves[end] = states[moves[end].to_numpy()]
    table["gene"] = genes[table["gene"].to_numpy(dtype=np.int64)]
    return replace(found, shifts=shifts, transitions=moves, genes=table)
