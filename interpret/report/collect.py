"""Everything the report shows, read from the graph through the query files alone."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...encoders.errors import InputError
from ...kg.queries import run_query
from ...kg.stores.base import Store
from .formats import from_json

ALL = 1_000_000
"""A limit that no group reaches."""

BASELINE_RANKS = 10
"""Ranks of each ranking that are set side by side."""

_BEST_SETS = 3
_STATE_MARKERS = 5
_SHIFTED_GENES = 10
_PATH_GENES = 8
_SIGNALS = 20


@dataclass(frozen=True)
class Group:
    """A cell type or a coarse state with what marks it.

    Attributes
    ----------
    kind
        ``CellType`` or ``State``.
    key, name, label, size
        What queries know it by, name, most frequent label (empty for a cell type), number of
        cells.
    markers, baselines, enrichment
        Rows of the queries of nearly the same name, best first; all kept markers.
    """

    kind: str
    key: str
    name: str
    label: str
    size: int
    markers: pd.DataFrame
    baselines: pd.DataFrame
    enrichment: pd.DataFrame


@dataclass(frozen=True)
class Module:
    """A module with its genes, strongest first, and its best sets."""

    name: str
    context: str
    size: int
    stability: float
    donor_stability: float
    mean_weight: float
    null_q: float
    genes: list[str]
    enrichment: pd.DataFrame


@dataclass(frozen=True)
class Shift:
    """Genes that change in a group between two conditions, best first, and sets of those rising."""

    name: str
    condition: str
    reference: str
    note: str
    rows: list[dict[str, Any]]
    sets: list[dict[str, Any]]


@dataclass(frozen=True)
class Content:
    """What is known of one data set.

    Attributes
    ----------
    dataset
        Row of the query ``datasets``, with ``parameters``, ``quality`` and ``notes`` as values.
    cells, states, composition, tables
        Rows of ``cell_map``, ``states``, ``state_composition`` (coarse states) and ``summary``.
    top_markers
        Key of a state -> its best markers by consensus.
    labels, coarse
        Cell types and coarse states, largest first.
    modules
        Modules, largest first.
    signals, regulators
        Best rows of ``pair_communication`` and ``regulators``.
    shifts, abundance, paths, flips
        What changes between conditions per group; rows of ``state_abundance``; rows of
        ``intermediate_states`` with their best genes; rows of ``counterfactuals``.
    left_out
        Kind (``cell types``, ``states``, ``modules``) -> how many were beyond the limit.
    """

    dataset: dict[str, Any]
    cells: pd.DataFrame
    states: pd.DataFrame
    composition: pd.DataFrame
    tables: pd.DataFrame
    top_markers: dict[str, list[str]]
    labels: list[Group]
    coarse: list[Group]
    modules: list[Module]
    signals: list[dict[str, Any]]
    regulators: list[dict[str, Any]]
    shifts: list[Shift]
    abundance: pd.DataFrame
    paths: list[tuple[dict[str, Any], list[dict[str, Any]]]]
    flips: list[dict[str, Any]]
    left_out: dict[str, int]

    @property
    def card(self) -> dict[str, Any]:
        """Verdict and rows of the tests of what attention explains."""
        found: dict[str, Any] = self.dataset["faithfulness"]
        return {"verdict": "associated", "rows": []} | found

    @property
    def groups(self) -> list[Group]:
        """Cell types, then coarse states."""
        return self.labels + self.coarse

    @property
    def main_groups(self) -> list[Group]:
        """Cell types, or the coarse states of data without labels."""
        return self.labels or self.coarse

    @property
    def n_donors(self) -> int:
        """Donors with cells in the graph, 0 when unknown."""
        donors = self.composition.loc[self.composition["kind"] == "Donor", "label"]
        return int(donors.nunique())


def collect(store: Store, dataset: str | None, *, limit: int) -> Content:
    """Read what a report on one data set shows.

    Parameters
    ----------
    store
        An open store.
    dataset
        Key of the data set; may be left out when there is but one.
    limit
        Most cell types, coarse states and modules to read, each, at least 1.

    Raises
    ------
    InputError
        There is no such data set, it must be named, or its last write broke off.
    """
    row = _dataset(store, dataset)
    key = str(row["dataset"])
    cells = run_query(store, "cell_map", dataset=key)
    states = run_query(store, "states", dataset=key)
    coarse = states[states["level"] == 1]
    sizes = cells.loc[cells["label"] != "", "label"].value_counts()
    sizes = sizes.sort_index().sort_values(ascending=False, kind="stable")
    modules = run_query(store, "modules", dataset=key)
    shown = pd.concat([coarse.head(limit), states[states["level"] > 1]])
    composition = [
        run_query(store, "state_composition", state=state, dataset=key) for state in coarse["state"]
    ]
    return Content(
        dataset=row,
        cells=cells,
        states=states,
        composition=_stack(composition, ["state", "kind", "label", "n_cells", "share"]),
        tables=run_query(store, "summary"),
        top_markers={state: _top(store, state, key) for state in shown["state"]},
        labels=[
            _group(store, "CellType", key, group=str(label), name=str(label), size=int(size))
            for label, size in sizes.head(limit).items()
        ],
        coarse=[
            _group(
                store,
                "State",
                key,
                group=state["state"],
                name=state["name"],
                label=state["label"],
                size=int(state["size"]),
            )
            for state in records(coarse.head(limit))
        ],
        modules=[_module(store, module, key) for module in records(modules.head(limit))],
        signals=records(run_query(store, "pair_communication", limit=_SIGNALS, dataset=key)),
        regulators=records(run_query(store, "regulators", limit=_SIGNALS, dataset=key)),
        shifts=[
            shift
            for group in [*sizes.head(limit).index.astype(str), *coarse.head(limit)["state"]]
            for shift in _shifts(store, group, key)
        ],
        abundance=run_query(store, "state_abundance", dataset=key),
        paths=[
            (row, _along(store, row, key))
            for row in records(run_query(store, "intermediate_states", dataset=key))
        ],
        flips=[
            row
            for state in coarse.head(limit)["state"]
            for row in records(run_query(store, "counterfactuals", state=state, dataset=key))
        ],
        left_out={
            "cell types": max(len(sizes) - limit, 0),
            "states": max(len(coarse) - limit, 0),
            "modules": max(len(modules) - limit, 0),
        },
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dicts."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _dataset(store: Store, dataset: str | None) -> dict[str, Any]:
    found = run_query(store, "datasets")
    keys = ", ".join(found["dataset"]) or "none"
    if dataset is None and len(found) != 1:
        message = (
            f"The graph holds {len(found)} data sets ({keys}) and none was named; a report is on "
            "one data set. Name one of them, or build a graph first."
        )
        raise InputError(message)
    row = found if dataset is None else found[found["dataset"] == dataset]
    if not len(row):
        message = (
            f"The data set {dataset!r} was asked for; the graph holds: {keys}. "
            "Name one that it holds."
        )
        raise InputError(message)
    values = records(row)[0]
    if not values["complete"]:
        message = (
            f"The last write of the data set {values['dataset']!r} broke off, so the graph holds "
            "but a part of it; a complete one was expected. Build it again."
        )
        raise InputError(message)
    kinds = {"parameters": dict, "quality": dict, "faithfulness": dict, "notes": list}
    return values | {item: from_json(values[item] or "", kind) for item, kind in kinds.items()}


def _group(
    store: Store, kind: str, dataset: str, *, group: str, name: str, size: int, label: str = ""
) -> Group:
    # A label may be spelled like a state, so that the kind must be looked at too.
    markers = run_query(store, "markers", group=group, limit=ALL, dataset=dataset)
    beside = run_query(
        store, "marker_baselines", group=group, limit=BASELINE_RANKS, dataset=dataset
    )
    sets = run_query(store, "state_enrichment", group=group, limit=ALL, dataset=dataset)
    return Group(
        kind,
        group,
        name,
        label,
        size,
        markers[(markers["group_kind"] == kind) & (markers["group"] == group)],
        beside[beside["group"] == group],
        sets[(sets["group_kind"] == kind) & (sets["group"] == group)].head(_BEST_SETS),
    )


def _top(store: Store, state: str, dataset: str) -> list[str]:
    rows = run_query(store, "markers", group=state, limit=_STATE_MARKERS, dataset=dataset)
    return list(rows.loc[rows["group_kind"] == "State", "symbol"])


def _module(store: Store, row: dict[str, Any], dataset: str) -> Module:
    genes = run_query(store, "genes_of_module", module=row["module"], dataset=dataset)
    sets = run_query(
        store, "module_enrichment", module=row["module"], limit=_BEST_SETS, dataset=dataset
    )
    context = str(row["context"]).removeprefix(f"{dataset}:")
    return Module(
        name=row["name"],
        context="all cells" if context == "all" else context,
        size=int(row["size"]),
        stability=row["stability"],
        donor_stability=row["donor_stability"],
        mean_weight=row["mean_weight"],
        null_q=row["null_q"],
        genes=list(genes["symbol"]),
        enrichment=sets,
    )


def _shifts(store: Store, group: str, dataset: str) -> list[Shift]:
    rows = run_query(store, "shifted_genes", group=group, limit=_SHIFTED_GENES, dataset=dataset)
    rows = rows[rows["group"] == group]
    if not len(rows):
        return []
    sets = run_query(store, "shift_enrichment", group=group, limit=ALL, dataset=dataset)
    sets = sets[sets["group"] == group].sort_values("odds_ratio", ascending=False, kind="stable")
    found = []
    for (condition, reference), part in rows.groupby(["condition", "reference"]):
        risen = sets[sets["of"] == f"genes that rise from {reference} to {condition}"]
        found.append(
            Shift(
                name=group.removeprefix(f"{dataset}:"),
                condition=str(condition),
                reference=str(reference),
                note=str(part["null"].iloc[0]),
                rows=records(part),
                sets=records(risen.head(_BEST_SETS)),
            )
        )
    return found


def _along(store: Store, row: dict[str, Any], dataset: str) -> list[dict[str, Any]]:
    genes = run_query(store, "path_genes", state=row["state"], limit=_PATH_GENES, dataset=dataset)
    same = (genes["first"] == row["first"]) & (genes["second"] == row["second"])
    return records(genes[same])


def _stack(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame({column: [] for column in columns})
    return pd.concat(filled, ignore_index=True)
