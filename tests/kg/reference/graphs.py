"""Random valid graphs that are hard on a query: odd names, ties, gaps, genes in several data sets.

Every table is made from its declaration in the schema, so that a new one is covered at once; what
a property means beyond its kind (a verdict, the other end of an intermediate state) is in
:func:`_values`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import NODES, NodeType, Property, edge_tables, edge_type

ODD = (
    "",
    "S1",
    "B cells",
    'a"b',
    "it's",
    "back\\slash",
    "line\nbreak",
    "é\u2013β",
    "`tick`",
    "$group",
)
"""Texts that are always in play; the first only where a text may be empty."""

_TIES = np.array([-1.0, 0.0, 0.125, 0.25, 0.25, 0.5, 1.0, np.nan])
_CHANCES = np.array([1e-300, 0.01, 0.01, 0.05, 1.0])
_LOW_TO_HIGH = ("CO_REGULATED_WITH", "CONNECTED_TO")
_SHARED_ROWS, _OWNED_ROWS, _EDGES = 5, 4, 14


@dataclass(frozen=True)
class Plan:
    """What a random graph is made from: seed, texts, and keys of its data sets."""

    seed: int
    texts: tuple[str, ...]
    datasets: tuple[str, ...]


# Engines compare text by UTF-16 units or by code points; below the surrogates both agree.
_TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0xD7FF), max_size=6)
_KEY = _TEXT.filter(lambda text: text != "")

plans = st.builds(
    Plan,
    seed=st.integers(0, 2**32 - 1),
    texts=st.lists(_TEXT.filter(lambda text: text not in ODD), max_size=4, unique=True).map(
        lambda more: (*ODD, *more)
    ),
    datasets=st.lists(_KEY, min_size=1, max_size=3, unique=True).map(tuple),
)


def random_graph(plan: Plan) -> Graph:
    """Return the graph of a plan; equal plans give equal graphs."""
    rng = np.random.default_rng(plan.seed)
    parts = [_part(plan, dataset, rng) for dataset in plan.datasets]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    # A shared node that nothing leads to is in no data set, and no store keeps it.
    return whole.without("")


def _part(plan: Plan, dataset: str, rng: np.random.Generator) -> Graph:
    nodes = {node.label: _nodes(node, plan, dataset, rng) for node in NODES}
    edges = {key: _edges(key, nodes, dataset, rng, plan.texts) for key in edge_tables()}
    return Graph(nodes, {key: frame for key, frame in edges.items() if rng.random() < 0.95})


def _nodes(node: NodeType, plan: Plan, dataset: str, rng: np.random.Generator) -> pd.DataFrame:
    if node.label == "Dataset":
        keys = [dataset]
    elif node.owned:
        picked = rng.permutation(len(plan.texts))[:_OWNED_ROWS]
        keys = [f"{dataset}:{plan.texts[index]}" for index in picked]
    else:
        # Few keys to choose from, so that data sets share them.
        picked = np.sort(rng.permutation(_SHARED_ROWS + 2)[:_SHARED_ROWS])
        keys = [f"{node.label}:{plan.texts[index + 1]}" for index in picked]
    columns = {
        item.name: _values(item, (len(keys), dataset), rng, plan.texts) for item in node.properties
    }
    return pd.DataFrame(columns | {"key": keys})


def _edges(
    key: EdgeKey,
    nodes: dict[str, pd.DataFrame],
    dataset: str,
    rng: np.random.Generator,
    texts: tuple[str, ...],
) -> pd.DataFrame:
    declared = edge_type(*key)
    ends = [nodes[label]["key"].to_numpy() for label in (key[0], key[2])]
    source, target = (rng.integers(0, len(keys), _EDGES) for keys in ends)
    frame = pd.DataFrame({"source": source, "target": target})
    if key[1] in _LOW_TO_HIGH:
        frame = frame[ends[0][source] < ends[1][target]]
    elif key[1] == "HAS_CODE":
        frame = frame.drop_duplicates("source")
    elif key[0] == key[2]:
        frame = frame[frame["source"] != frame["target"]]
    frame = frame.reset_index(drop=True)
    columns = {
        item.name: _values(item, (len(frame), dataset), rng, texts) for item in declared.properties
    }
    if key[1] == "INTERMEDIATE_BETWEEN":
        columns["other"] = rng.choice(ends[1], len(frame)).astype(object)
    frame = frame.assign(**columns)
    return frame.drop_duplicates(["source", "target", *declared.identity])


def _values(
    item: Property,
    table: tuple[int, str],
    rng: np.random.Generator,
    texts: tuple[str, ...],
) -> Any:
    """Return values of a property, for a table of so many rows of a data set."""
    size, dataset = table
    if item.name == "dataset":
        return [dataset] * size
    if item.name == "of":
        return rng.choice(np.array(["markers", "members", *texts[1:3]], dtype=object), size)
    if item.kind == "string":
        # Few to choose from for these: ties, and names that several rows share.
        few = item.name in ("condition", "reference", "first", "second", "name", "label")
        return rng.choice(np.array(texts[:4] if few else texts[1:], dtype=object), size)
    if item.kind == "integer":
        # A size divides, a level is 1 or 2, ranks start at 1.
        return rng.integers(1, 3 if item.name == "level" else 4, size)
    if item.kind == "boolean":
        return rng.random(size) < 0.5
    if item.kind == "float":
        if item.name in ("p", "q", "effect"):
            return rng.choice(_CHANCES, size)
        return rng.choice(np.append(_TIES, np.inf) if item.name == "odds_ratio" else _TIES, size)
    if item.kind == "strings":
        lists = [list(rng.choice(texts[1:], rng.integers(0, 3))) for _ in range(size)]
        return pd.Series([sorted(map(str, one)) for one in lists], dtype=object)
    vectors = rng.choice(np.round(np.linspace(-1, 1, 9), 5), (size, 3)).tolist()
    known = rng.random(size) < 0.8
    return pd.Series(
        [vector if is_known else None for vector, is_known in zip(vectors, known, strict=True)],
        dtype=object,
    )
