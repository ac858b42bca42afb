"""Which state or module of one version is which of another: by what is in them, not by name."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph

SAME_MODULE = 1 / 3
"""Least Jaccard index of two modules that are the same one; modules of equal size that share half
of their genes have it."""

IN_STATE: EdgeKey = ("Cell", "IN_STATE", "State")
MEMBER_OF: EdgeKey = ("Gene", "MEMBER_OF", "Module")


@dataclass(frozen=True)
class StateMatch:
    """How the states of two versions of a data set go over into each other, level by level.

    A new state *comes from* the old one that most of its cells were in, an old state *goes to* the
    new one that most of its cells are in; of cells that both versions have, and more than half.

    Attributes
    ----------
    heir
        Key of an old state -> key of the new one that comes from it and that it goes to.
    comes_from, goes_to
        Key of a new state -> key of an old one; key of an old state -> key of a new one.
    shared
        (old key, new key) -> cells that were in one and are in the other.
    stayed, moved
        Level -> cells that both versions have and that are in the heir of their state, or not.
    """

    heir: dict[str, str]
    comes_from: dict[str, str]
    goes_to: dict[str, str]
    shared: dict[tuple[str, str], int]
    stayed: dict[int, int]
    moved: dict[int, int]

    def now(self, key: str) -> str:
        """Return the key that an old state has in the new version, its own where it has none."""
        return self.heir.get(key, key)


def match_states(old: Graph, new: Graph) -> StateMatch:
    """Match the states of two versions of a data set by the cells that they share."""
    first, second = (_memberships(graph) for graph in (old, new))
    pairs = first.merge(second, on=["cell", "level"], suffixes=("_old", "_new"))
    table = pairs.groupby(["level", "state_old", "state_new"], as_index=False).size()
    comes_from = _majority(table, "state_new", "state_old")
    goes_to = _majority(table, "state_old", "state_new")
    heir = {state: then for state, then in goes_to.items() if comes_from.get(then) == state}
    stays = table["state_old"].map(heir) == table["state_new"]
    levels = table.groupby("level")["size"].sum()
    stayed = table[stays].groupby("level")["size"].sum().reindex(levels.index, fill_value=0)
    keys = zip(table["state_old"], table["state_new"], strict=True)
    return StateMatch(
        heir,
        comes_from,
        goes_to,
        dict(zip(keys, table["size"].tolist(), strict=True)),
        {int(level): int(n) for level, n in stayed.items()},  # type: ignore[call-overload]
        {int(level): int(n) for level, n in (levels - stayed).items()},  # type: ignore[call-overload]
    )


def match_modules(old: Graph, new: Graph) -> dict[str, str]:
    """Return key of an old module -> key of the new one, by the genes that both share.

    Each is the other's best by the Jaccard index, which is at least :data:`SAME_MODULE`; of
    equally good ones the first by key.
    """
    first, second = members(old), members(new)
    pairs = first.merge(second, on="gene", suffixes=("_old", "_new"))
    table = pairs.groupby(["module_old", "module_new"], as_index=False).size()
    sizes = [frame["module"].value_counts() for frame in (first, second)]
    either = table["module_old"].map(sizes[0]) + table["module_new"].map(sizes[1]) - table["size"]
    table = table.assign(jaccard=table["size"] / either)
    table = table[table["jaccard"] >= SAME_MODULE]
    table = table.sort_values(
        ["jaccard", "module_old", "module_new"], ascending=[False, True, True]
    )
    best = table.drop_duplicates("module_old"), table.drop_duplicates("module_new")
    both = best[0].merge(best[1], on=["module_old", "module_new"])
    return dict(zip(both["module_old"], both["module_new"], strict=True))


def members(graph: Graph) -> pd.DataFrame:
    """Return the genes of the modules: ``gene, module``, both keys."""
    if MEMBER_OF not in graph.edges:
        return pd.DataFrame({"gene": [], "module": []}, dtype=object)
    frame = graph.with_keys(MEMBER_OF)
    return frame.rename(columns={"source": "gene", "target": "module"})[["gene", "module"]]


def _memberships(graph: Graph) -> pd.DataFrame:
    """Return ``cell, level, state`` of all cells; cells and states by key."""
    if IN_STATE not in graph.edges:
        empty = pd.DataFrame({"cell": [], "level": [], "state": []}, dtype=object)
        return empty.astype({"level": np.int64})
    level = graph.nodes["State"]["level"].to_numpy()[graph.edges[IN_STATE]["target"]]
    frame = graph.with_keys(IN_STATE).assign(level=level)
    return frame.rename(columns={"source": "cell", "target": "state"})[["cell", "level", "state"]]


def _majority(table: pd.DataFrame, of: str, among: str) -> dict[str, str]:
    """Return for each state the one that more than half of its shared cells are in."""
    total = table.groupby(of)["size"].transform("sum")
    most = table[2 * table["size"] > total]
    return dict(zip(most[of], most[among], strict=True))
