"""Claims of two versions side by side: gained, lost, or with another answer."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from ..schema import edge_tables, edge_type
from .view import Change, View, text

LIMIT = 0.05
"""q below which a claim is significant."""

NAMES = {
    "MARKED_BY": "marker",
    "CO_REGULATED_WITH": "co_regulation",
    "REGULATES": "regulation",
    "ENRICHED_IN": "enrichment",
    "ATTENDS_TO": "metadata_attention",
    "SHIFTS": "shift",
    "DIFFERS_IN": "abundance",
    "COMMUNICATES_WITH": "communication",
    "FLIPS_WITHOUT": "counterfactual",
    "INTERMEDIATE_BETWEEN": "intermediate",
    "MONOTONE_ALONG": "path_gene",
}
"""Type of a claim -> what its changes are called after."""

_NAMES_A_STATE = ("context", "first", "second", "other")
_VALUES = {"q", "rank", "verdict", "log2_fold_change"}


def claim_changes(view: View) -> Iterator[Change]:
    """Yield ``<claim>_gained``, ``_lost``, ``_crossed``, ``_verdict``, ``_rank``, ``_turned``.

    Told of groups and modules that both versions have; what is said of a state that only one of
    them has came or went with the state.
    """
    for key in edge_tables():
        if edge_type(*key).claim and not view.same(key):
            yield from _of_table(view, key)


def _of_table(view: View, key: EdgeKey) -> Iterator[Change]:
    name = NAMES[key[1]]
    named = [column for column in edge_type(*key).identity if column != "dataset"]
    identity = ["source", "target", *named]
    values = sorted(_VALUES & {item.name for item in edge_type(*key).properties})
    old = _claims(view.old, key, [*identity, *values], view.ended)
    for column in _ends(old):
        old[column] = old[column].map(view.renamed).fillna(old[column])
    new = _claims(view.new, key, [*identity, *values], view.begun)
    if "second" in named:
        old, new = _lower_first(old), _lower_first(new)
    both = old.merge(new, on=identity, how="outer", suffixes=("_old", "_new"), indicator="side")
    lost, gained = both[both["side"] == "left_only"], both[both["side"] == "right_only"]
    yield from _told(view, lost, f"{name}_lost", "q", named, after=False)
    yield from _told(view, gained, f"{name}_gained", "q", named, before=False)
    stayed = both[both["side"] == "both"]
    if not len(stayed):
        return
    crossed = (stayed["q_old"] < LIMIT) != (stayed["q_new"] < LIMIT)
    yield from _told(view, stayed[crossed], f"{name}_crossed", "q", named)
    if "verdict" in values:
        other = stayed["verdict_old"] != stayed["verdict_new"]
        yield from _told(view, stayed[other], f"{name}_verdict", "verdict", named)
    if "rank" in values:
        far = (stayed["rank_old"] - stayed["rank_new"]).abs() > view.ranks
        yield from _told(view, stayed[far], f"{name}_rank", "rank", named)
    if name == "shift":
        turned = stayed["log2_fold_change_old"] * stayed["log2_fold_change_new"] < 0
        yield from _told(view, stayed[turned], f"{name}_turned", "log2_fold_change", named)


def _claims(graph: Graph, key: EdgeKey, columns: list[str], left_out: set[str]) -> pd.DataFrame:
    """Return the claims of a table by key, without those of states that one version has alone."""
    if key not in graph.edges:
        numbers = {"q", "rank", "log2_fold_change"} & set(columns)
        empty = pd.DataFrame({column: pd.Series(dtype=object) for column in columns})
        return empty.astype(dict.fromkeys(numbers, np.float64))
    frame = graph.with_keys(key)[columns]
    return frame[~frame[_ends(frame)].isin(left_out).any(axis=1)].copy()


def _lower_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Return claims about a path between two states with its lower end first, as they are built."""
    ends = frame["first"].to_numpy(str), frame["second"].to_numpy(str)
    lower = ends[0] < ends[1]
    first, second = np.where(lower, *ends), np.where(lower, *ends[::-1])
    return frame.assign(first=first.astype(object), second=second.astype(object))


def _ends(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold keys of nodes."""
    return [name for name in ("source", "target", *_NAMES_A_STATE) if name in frame]


def _told(
    view: View,
    rows: pd.DataFrame,
    kind: str,
    value: str,
    named: list[str],
    *,
    before: bool = True,
    after: bool = True,
) -> Iterator[Change]:
    for row in rows.to_dict("records"):
        more = [f"{name} {view.shown(row[name])}" for name in named if row[name]]
        yield Change(
            kind,
            view.shown(row["source"]),
            view.shown(row["target"]),
            text(row[f"{value}_old"]) if before else "",
            text(row[f"{value}_new"]) if after else "",
            ", ".join([value.replace("_", " "), *more]),
        )
