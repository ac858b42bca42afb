"""Families of changes of one data set, one function each: yields what it finds.

A new kind of change is a function here, in :data:`FAMILIES`, and a line in
:data:`scypher.kg.versions.changes.KINDS`.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import METADATA, STALE, edge_type
from .claims import claim_changes
from .matching import members
from .view import Change, View, text

HAS_CODE: EdgeKey = ("Cell", "HAS_CODE", "Code")
CODE_IN_STATE: EdgeKey = ("Code", "IN_STATE", "State")


def dataset_changes(view: View) -> Iterator[Change]:
    """Yield what the data set was made from and how, where that changed."""
    for kind, name in (
        ("data_changed", "content_hash"),
        ("encoder_changed", "encoder"),
        ("encoder_changed", "encoder_hash"),
        ("code_version_changed", "code_version"),
    ):
        before, after = view.property(name)
        if before != after:
            yield Change(kind, view.dataset, "", before, after, name.replace("_", " "))
    old, new = (_parameters(value) for value in view.property("parameters"))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            before, after = (_json(parameters, name) for parameters in (old, new))
            yield Change("parameters_changed", view.dataset, name, before, after, "parameter")
    cells = [pd.Index(graph.nodes["Cell"]["key"]) for graph in (view.old, view.new)]
    for kind, (had, lacks) in (("cells_removed", (0, 1)), ("cells_added", (1, 0))):
        if n := len(cells[had].difference(cells[lacks])):
            before, after = (str(len(keys)) for keys in cells)
            yield Change(kind, view.dataset, "", before, after, f"{n} cells")
    donors = [set(value or []) for value in view.property("excluded_donors")]
    if donors[0] != donors[1]:
        before, after = (str(len(tokens)) for tokens in donors)
        yield Change("exclusion_changed", view.dataset, "", before, after, "donors left out")


def stale_changes(view: View) -> Iterator[Change]:
    """Yield whether computed values stopped to hold, or hold again."""
    before, after = view.property("stale")
    if bool(before) != bool(after):
        kind = "became_stale" if after else "refreshed"
        n = _stale_rows(view.new if after else view.old)
        yield Change(kind, view.dataset, "", before, after, f"{n} claims and other edges")


def annotation_changes(view: View) -> Iterator[Change]:
    """Yield metadata values that appeared or vanished."""
    for label in METADATA.values():
        old, new = (
            dict(zip(frame["key"], frame["label"], strict=True))
            for frame in (
                graph.nodes.get(label, pd.DataFrame({"key": [], "label": []}))
                for graph in (view.old, view.new)
            )
        )
        for key in sorted(old.keys() - new.keys()):
            yield Change("annotation_vanished", old[key], "", label, "", key)
        for key in sorted(new.keys() - old.keys()):
            yield Change("annotation_appeared", new[key], "", "", label, key)


def gene_changes(view: View) -> Iterator[Change]:
    """Yield genes that have another symbol, and how many more or fewer were measured."""
    frames = [_table(graph, "Gene", ["key", "symbol"]) for graph in (view.old, view.new)]
    both = frames[0].merge(frames[1], on="key", suffixes=("_old", "_new"))
    for row in both[both["symbol_old"] != both["symbol_new"]].itertuples():
        yield Change("gene_renamed", str(row.key), "", str(row.symbol_old), str(row.symbol_new))
    before, after = view.property("n_genes")
    if before != after:
        yield Change("genes_measured", view.dataset, "", str(before), str(after), "measured genes")


def state_changes(view: View) -> Iterator[Change]:
    """Yield states that appeared, vanished, split, merged, or have another name, size or label."""
    found = view.states
    old, new = (_states(graph) for graph in (view.old, view.new))
    parts, wholes = defaultdict(list), defaultdict(list)
    for state, origin in sorted(found.comes_from.items()):
        parts[origin].append(state)
    for state, goal in sorted(found.goes_to.items()):
        wholes[goal].append(state)
    split = {origin: states for origin, states in parts.items() if len(states) > 1}
    merged = {goal: states for goal, states in wholes.items() if len(states) > 1}
    for origin, states in sorted(split.items()):
        shares = ", ".join(f"{found.shared[origin, state]} cells to {state}" for state in states)
        yield Change("state_split", origin, "", origin, ";".join(states), shares)
    for goal, states in sorted(merged.items()):
        shares = ", ".join(f"{found.shared[state, goal]} cells of {state}" for state in states)
        yield Change("state_merged", goal, "", ";".join(states), goal, shares)
    told = {state for states in merged.values() for state in states}
    for state in sorted(old.keys() - found.heir.keys() - split.keys() - told):
        then = found.goes_to.get(state)
        detail = f"most of its cells are in {then}" if then else "its cells are in no one state"
        yield Change("state_vanished", state, "", text(old[state]["size"]), "", detail)
    told = {state for states in split.values() for state in states}
    heirs = set(found.heir.values())
    for state in sorted(new.keys() - heirs - merged.keys() - told):
        source = found.comes_from.get(state)
        detail = f"most of its cells were in {source}" if source else "cells of no one state"
        yield Change("state_appeared", state, "", "", text(new[state]["size"]), detail)
    for state, now in sorted(found.heir.items()):
        before, after = old[state], new[now]
        if state != now:
            detail = f"{found.shared[state, now]} cells in both"
            yield Change("state_renamed", now, "", state, now, detail)
        for kind, name in (
            ("state_grew" if after["size"] > before["size"] else "state_shrank", "size"),
            ("state_label", "label"),
            ("state_outcome", "label_outcome"),
        ):
            if before[name] != after[name]:
                pair = text(before[name]), text(after[name])
                yield Change(kind, now, "", *pair, name.replace("_", " "))


def code_changes(view: View) -> Iterator[Change]:
    """Yield codes that belong to another state, and cells that changed their state or code."""
    frames = [_code_states(graph) for graph in (view.old, view.new)]
    both = frames[0].merge(frames[1], on=["code", "level"], suffixes=("_old", "_new"))
    expected = both["state_old"].map(view.states.heir).fillna(both["state_old"])
    for row in both[expected != both["state_new"]].sort_values(["code", "level"]).itertuples():
        states = str(row.state_old), str(row.state_new)
        yield Change("code_moved", str(row.code), "", *states, f"level {row.level}")
    for level, n in sorted(view.states.moved.items()):
        if n:
            total = n + view.states.stayed[level]
            yield Change(
                "cells_changed_state", view.dataset, f"level {level}", str(total), str(n),
                "cells of both versions; of them not in the state that theirs became",
            )  # fmt: skip
    if view.property("encoder_hash")[0] != view.property("encoder_hash")[1]:
        # Codes of other weights are other codes.
        return
    cells = [_ends(graph, HAS_CODE, "cell", "code") for graph in (view.old, view.new)]
    pairs = cells[0].merge(cells[1], on="cell", suffixes=("_old", "_new"))
    if n := int((pairs["code_old"] != pairs["code_new"]).sum()):
        yield Change(
            "cells_changed_code", view.dataset, "", str(len(pairs)), str(n),
            "cells of both versions; of them with another code",
        )  # fmt: skip


def module_changes(view: View) -> Iterator[Change]:
    """Yield modules that were gained, lost, renamed, or have other members."""
    match = view.modules
    old, new = (_members(graph) for graph in (view.old, view.new))
    sizes = {key: str(len(genes)) for key, genes in (old | new).items()}
    for module in sorted(old.keys() - match.keys()):
        yield Change("module_lost", module, "", str(len(old[module])), "", "genes")
    for module in sorted(new.keys() - set(match.values())):
        yield Change("module_gained", module, "", "", sizes[module], "genes")
    for module, now in sorted(match.items()):
        if module != now:
            yield Change("module_renamed", now, "", module, now)
        gained, lost = (
            sorted(map(view.shown, genes))
            for genes in (new[now] - old[module], old[module] - new[now])
        )
        if gained or lost:
            detail = ", ".join([*(f"+{gene}" for gene in gained), *(f"-{gene}" for gene in lost)])
            size = str(len(old[module])), str(len(new[now]))
            yield Change("module_members", now, "", *size, detail)


FAMILIES: tuple[Callable[[View], Iterator[Change]], ...] = (
    dataset_changes,
    stale_changes,
    annotation_changes,
    gene_changes,
    state_changes,
    code_changes,
    module_changes,
    claim_changes,
)
"""Everything that is looked for."""


def _parameters(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"": text}
    return found if isinstance(found, dict) else {"": found}


def _json(parameters: dict[str, Any], name: str) -> str:
    if name not in parameters:
        return ""
    value = parameters[name]
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _stale_rows(graph: Graph) -> int:
    return sum(
        int((frame["stale"] != "").sum())
        for key, frame in graph.edges.items()
        if STALE in edge_type(*key).properties
    )


def _table(graph: Graph, label: str, columns: list[str]) -> pd.DataFrame:
    if label in graph.nodes:
        return graph.nodes[label][columns]
    return pd.DataFrame({column: pd.Series(dtype=object) for column in columns})


def _states(graph: Graph) -> dict[str, dict[str, Any]]:
    frame = _table(graph, "State", ["key", "size", "label", "label_outcome"])
    rows = frame.to_dict("records")
    return {row["key"]: {str(name): value for name, value in row.items()} for row in rows}


def _ends(graph: Graph, key: EdgeKey, source: str, target: str) -> pd.DataFrame:
    if key not in graph.edges:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (source, target)})
    keyed = graph.with_keys(key)
    return keyed.rename(columns={"source": source, "target": target})[[source, target]]


def _code_states(graph: Graph) -> pd.DataFrame:
    frame = _ends(graph, CODE_IN_STATE, "code", "state")
    level = np.zeros(0, np.int64)
    if CODE_IN_STATE in graph.edges:
        place = graph.edges[CODE_IN_STATE]["target"].to_numpy()
        level = graph.nodes["State"]["level"].to_numpy()[place]
    return frame.assign(level=level)


def _members(graph: Graph) -> dict[str, set[str]]:
    frame = members(graph)
    found: dict[str, set[str]] = {key: set() for key in _table(graph, "Module", ["key"])["key"]}
    for module, genes in frame.groupby("module")["gene"]:
        found[str(module)] = set(genes)
    return found
