"""Taking one donor out of a data set.

What the graph still holds is counted again: cells, codes and states without cells go, and sizes,
donors, labels and shares of the states and the usage of the codes are those of the cells that are
left. What was computed from all cells and cannot be counted again stays, marked ``stale``.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..graph import EdgeKey, Graph
from ..schema import METADATA, METADATA_EDGES, STALE, edge_type, node_type

REMOVED = "cells of a donor were removed after this was computed"
"""Why something is stale; who it was is nowhere said."""

_NAMES_A_STATE = ("context", "first", "goes_to", "other", "second")
"""Properties that hold the key of a state."""


def donor_token(dataset: str, label: str) -> str:
    """Return what the graph remembers an excluded donor by: SHA-256 of ``<dataset>:<label>``.

    Who knows the label can tell whether it was excluded; nobody can read it from there.
    """
    return hashlib.sha256(f"{dataset}:{label}".encode()).hexdigest()


def excluded_donors(piece: Graph) -> list[str]:
    """Return the tokens of the donors that are left out of a data set, sorted."""
    return sorted(piece.nodes["Dataset"]["excluded_donors"].iloc[0] or [])


def is_excluded(piece: Graph, donor: str) -> bool:
    """Return whether a donor, by label or key, was removed from a data set before."""
    dataset = piece.datasets()[0]
    label = donor.removeprefix(f"donor:{dataset}:")
    tokens = {donor_token(dataset, name) for name in (donor, label)}
    return not tokens.isdisjoint(excluded_donors(piece))


def without_donor(piece: Graph, donor: str) -> Graph:
    """Return the piece of a data set without the cells of a donor.

    Cells go with all their edges, and with them the donor and every code, state, module of a state
    and metadata value that no cell is left of. Counted again: ``Dataset.n_cells``, ``Code.usage``
    and ``State.size``, ``n_donors``, ``label`` and ``label_share``. Everything else that was
    computed from all cells has ``stale`` set: claims, expression of states, membership,
    neighbourhood, and the nodes of states, modules and the data set. The data set remembers the
    donor by :func:`donor_token`; sentences of its notes and quality that name the donor are
    dropped.

    Parameters
    ----------
    piece
        A graph of one data set.
    donor
        Label or key of a ``Donor`` node.

    Raises
    ------
    InputError
        There is no such donor, or no other one.
    """
    dataset = piece.datasets()[0]
    position = _find(piece, dataset, donor)
    label = str(piece.nodes["Donor"]["label"].iloc[position])
    gone = np.zeros(len(piece.nodes["Cell"]), bool)
    from_donor = piece.edges[("Cell", METADATA_EDGES["Donor"], "Donor")]
    gone[from_donor["source"][from_donor["target"] == position]] = True
    if gone.all():
        _refuse(f"All cells of {dataset} that are left come from the donor {donor!r}", dataset)
    kept = {name: np.ones(len(frame), bool) for name, frame in piece.nodes.items()}
    kept["Cell"] = ~gone
    for name in ("Code", "State", *METADATA.values()):
        if name in kept:
            kept[name] = ~_lost(piece, name, gone)
    kept["Donor"][position] = False
    states = piece.nodes["State"]["key"][~kept["State"]] if "State" in kept else pd.Series([])
    if "Module" in kept:
        kept["Module"] = ~piece.nodes["Module"]["context"].isin(states).to_numpy()
    if "GeneSet" in kept:
        kept["GeneSet"] = _still_used(piece, kept)
    left = _restrict(piece, kept, states)
    return _marked(_counted(left), dataset, label)


def _find(piece: Graph, dataset: str, donor: str) -> int:
    """Return the row of a donor."""
    donors = piece.nodes.get("Donor", pd.DataFrame({"key": [], "label": []}))
    found = np.flatnonzero((donors["key"] == donor) | (donors["label"] == donor))
    if not len(donors):
        _refuse(f"The data set {dataset} was built without donors", dataset)
    if not len(found):
        message = (
            f"The data set {dataset} has no donor {donor!r}; one of "
            f"{', '.join(sorted(donors['label']))} was expected. Correct it."
        )
        raise InputError(message)
    if len(donors) == 1:
        _refuse(f"{donor!r} is the last donor of {dataset}", dataset)
    return int(found[0])


def _refuse(given: str, dataset: str) -> None:
    message = (
        f"{given}; a donor beside others was expected. "
        f"Remove the data set as a whole: scypher remove {dataset}"
    )
    raise InputError(message)


def _lost(piece: Graph, label: str, gone: np.ndarray) -> np.ndarray:
    """Return which nodes had cells and have none without those that are ``gone``."""
    size = len(piece.nodes[label])
    before, after = np.zeros(size, bool), np.zeros(size, bool)
    for key, frame in piece.edges.items():
        if key[0] == "Cell" and key[2] == label:
            source, target = frame["source"].to_numpy(), frame["target"].to_numpy()
            before[target] = True
            after[target[~gone[source]]] = True
    return before & ~after


def _still_used(piece: Graph, kept: dict[str, np.ndarray]) -> np.ndarray:
    """Return which gene sets some edge leads to, or none did before."""
    before, after = (np.zeros(len(kept["GeneSet"]), bool) for _ in range(2))
    for key, frame in piece.edges.items():
        if key[2] == "GeneSet":
            before[frame["target"]] = True
            after[frame["target"][kept[key[0]][frame["source"]]]] = True
    return after | ~before


def _restrict(piece: Graph, kept: dict[str, np.ndarray], states: "pd.Series[Any]") -> Graph:
    """Return the kept nodes with the edges between them that name no state that is gone."""
    place = {label: np.cumsum(mask) - 1 for label, mask in kept.items()}
    edges: dict[EdgeKey, pd.DataFrame] = {}
    for key, frame in piece.edges.items():
        source, target = frame["source"].to_numpy(), frame["target"].to_numpy()
        mask = kept[key[0]][source] & kept[key[2]][target]
        for column in [name for name in _NAMES_A_STATE if name in frame]:
            mask &= ~frame[column].isin(states).to_numpy()
        if mask.any():
            edges[key] = frame[mask].assign(
                source=place[key[0]][source[mask]], target=place[key[2]][target[mask]]
            )
    nodes = {label: frame[kept[label]] for label, frame in piece.nodes.items()}
    return Graph({label: frame for label, frame in nodes.items() if len(frame)}, edges)


def _counted(graph: Graph) -> Graph:
    """Return the graph with everything counted again that its cells can be counted for."""
    n_cells = len(graph.nodes["Cell"])
    nodes = dict(graph.nodes)
    nodes["Dataset"] = nodes["Dataset"].assign(n_cells=n_cells)
    codes = graph.edges.get(("Cell", "HAS_CODE", "Code"))
    if codes is not None:
        usage = np.bincount(codes["target"], minlength=len(nodes["Code"])) / n_cells
        nodes["Code"] = nodes["Code"].assign(usage=usage)
    member = graph.edges.get(("Cell", "IN_STATE", "State"))
    if member is not None:
        nodes["State"] = nodes["State"].assign(**_state_counts(graph, member))
    return Graph(nodes, graph.edges)


def _state_counts(graph: Graph, member: pd.DataFrame) -> dict[str, Any]:
    """Return size, donors, most frequent label and its share of every state."""
    n_states = len(graph.nodes["State"])
    size = np.bincount(member["target"], minlength=n_states)
    columns: dict[str, Any] = {"size": size}
    columns["n_donors"] = (_cross(graph, member, "Donor") > 0).sum(axis=1)
    if "CellType" in graph.nodes:
        # Of labels that are equally frequent the first by name, as when the graph was built.
        order = np.argsort(graph.nodes["CellType"]["label"].to_numpy())
        labels = graph.nodes["CellType"]["label"].to_numpy()[order]
        counts = _cross(graph, member, "CellType")[:, order]
        most = counts.max(axis=1)
        columns["label"] = np.where(most > 0, labels[counts.argmax(axis=1)], "")
        columns["label_share"] = most / np.maximum(size, 1)
    return columns


def _cross(graph: Graph, member: pd.DataFrame, label: str) -> np.ndarray:
    """Return (n_states, n_values) numbers of cells."""
    values = np.full(len(graph.nodes["Cell"]), -1)
    edges = graph.edges.get(("Cell", METADATA_EDGES[label], label))
    if edges is not None:
        values[edges["source"]] = edges["target"]
    value = values[member["source"]]
    n_states, n_values = len(graph.nodes["State"]), len(graph.nodes.get(label, ()))
    at = member["target"].to_numpy()[value >= 0] * n_values + value[value >= 0]
    return np.bincount(at, minlength=n_states * n_values).reshape(n_states, n_values)


def _marked(graph: Graph, dataset: str, label: str) -> Graph:
    """Return the graph with all that no longer holds marked, and the donor remembered."""
    nodes = {
        name: frame.assign(stale=REMOVED) if STALE in node_type(name).properties else frame
        for name, frame in graph.nodes.items()
    }
    edges = {
        key: frame.assign(stale=REMOVED) if STALE in edge_type(*key).properties else frame
        for key, frame in graph.edges.items()
    }
    row = nodes["Dataset"].iloc[0]
    tokens = sorted({*(row["excluded_donors"] or []), donor_token(dataset, label)})
    quality = _from_json(row["quality"])
    if isinstance(quality, dict):
        quality = {
            name: _silent_on(label, value) if isinstance(value, list) else value
            for name, value in quality.items()
        }
    notes = _silent_on(label, _from_json(row["notes"]) or [])
    nodes["Dataset"] = nodes["Dataset"].assign(
        excluded_donors=pd.Series([tokens], dtype=object),
        quality=_to_json(quality) if quality is not None else row["quality"],
        notes=_to_json(notes),
    )
    return Graph(nodes, edges)


def _silent_on(label: str, sentences: Iterable[Any]) -> list[Any]:
    """Return the sentences that do not name a donor."""
    named = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)")
    return [item for item in sentences if not (isinstance(item, str) and named.search(item))]


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
