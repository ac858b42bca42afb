"""What changed between two versions of a graph, in the words of the field."""

import pandas as pd

from ..graph import Graph
from .claims import LIMIT, NAMES
from .families import FAMILIES
from .pieces import split
from .view import Change, View

COLUMNS = ["kind", "dataset", "subject", "object", "before", "after", "detail"]
"""Columns of :func:`changes`, all text."""

KINDS = {
    "dataset_added": "a data set came; after: number of its cells",
    "dataset_removed": "a data set went; before: number of its cells",
    "data_changed": "it was built from other data; both content hashes",
    "parameters_changed": "object: the parameter; both values",
    "encoder_changed": "another encoder, or other weights; both names or hashes",
    "code_version_changed": "built by another version of Scypher",
    "cells_removed": "cells that only the old version has; cells in all, before and after",
    "cells_added": "cells that only the new version has; cells in all, before and after",
    "exclusion_changed": "numbers of donors that are left out",
    "became_stale": "cells were removed, what was computed from them stays; after: why",
    "refreshed": "nothing stale is left; before: why it was",
    "annotation_appeared": "subject: label of a new metadata value; after: of which kind",
    "annotation_vanished": "subject: label of a metadata value; before: of which kind",
    "gene_renamed": "subject: key of the gene; both symbols",
    "genes_measured": "numbers of measured genes",
    "state_appeared": "a state that came from no one state; after: size",
    "state_vanished": "a state that goes to no one state; before: size",
    "state_split": "two or more states each have most of their cells from it; after: which",
    "state_merged": "two or more states have most of their cells in it; before: which",
    "state_renamed": "the same cells for the most part, another name; both keys",
    "state_grew": "numbers of cells",
    "state_shrank": "numbers of cells",
    "state_label": "most frequent labels",
    "state_outcome": "what conformal prediction says of the label",
    "code_moved": "subject: a code that belongs to another state; both states",
    "cells_changed_state": "object: level; before: cells of both versions; after: of them moved",
    "cells_changed_code": "before: cells of both versions; after: of them with another code",
    "module_gained": "a module without match; after: genes",
    "module_lost": "a module without match; before: genes",
    "module_renamed": "the same genes for the most part, another name; both keys",
    "module_members": "numbers of genes; detail: which came and went",
} | {
    f"{claim}_{change}": doc
    for claim, more in {
        name: {
            "marker": ("verdict", "rank"),
            "shift": ("rank", "turned"),
            "communication": ("verdict",),
            "intermediate": ("verdict",),
        }.get(name, ())
        for name in NAMES.values()
    }.items()
    for change, doc in {
        "gained": "a claim that only the new version makes; after: q",
        "lost": "a claim that only the old version makes; before: q",
        "crossed": f"significant (q < {LIMIT}) in one version alone; both q",
        "verdict": "both verdicts",
        "rank": "both ranks, where they are further apart than asked for",
        "turned": "both log2 fold changes, of unlike sign",
    }.items()
    if change in ("gained", "lost", "crossed", *more)
}
"""Kind of change -> what it means and what its columns hold, in the order of the rows."""


def changes(old: Graph, new: Graph, *, ranks: int = 10) -> pd.DataFrame:
    """Return what changed between two graphs, one row per change.

    States are matched by the cells that both versions have, modules by their genes; claims are
    compared under the new names. Of a data set that came or went there is one row.

    Parameters
    ----------
    old, new
        Two versions of a graph.
    ranks
        A rank that moved by more places than this is told.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (one of :data:`KINDS`), ``dataset``, ``subject`` (key of a state, module or code,
        label of a metadata value, symbol or key of a gene), ``object``, ``before``, ``after`` and
        ``detail``, all text; by data set, kind, subject and object.
    """
    pieces = [split(graph) if graph.datasets() else {} for graph in (old, new)]
    rows: list[tuple[str, ...]] = []
    for dataset in sorted(pieces[0].keys() | pieces[1].keys()):
        for change in _of_dataset(dataset, pieces[0].get(dataset), pieces[1].get(dataset), ranks):
            rows.append(
                (
                    *(change.kind, dataset, change.subject, change.object),
                    *(change.before, change.after, change.detail),
                )
            )
    order = {kind: place for place, kind in enumerate(KINDS)}
    rows.sort(key=lambda row: (row[1], order[row[0]], *row[2:]))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _of_dataset(dataset: str, old: Graph | None, new: Graph | None, ranks: int) -> list[Change]:
    if old is None or new is None:
        kind = "dataset_added" if old is None else "dataset_removed"
        before, after = (
            "" if graph is None else str(len(graph.nodes.get("Cell", ()))) for graph in (old, new)
        )
        return [Change(kind, dataset, "", before, after, "cells")]
    view = View(dataset, old, new, ranks)
    return [change for family in FAMILIES for change in family(view)]
