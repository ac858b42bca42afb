"""What changed, in the words of the field: known edits are found, and nothing else."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_graph
from versions.edits import randomly_edited, shuffled, with_table, without_nodes

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import edge_tables, edge_type
from scypher.kg.versions.changes import COLUMNS, KINDS, changes
from scypher.kg.versions.claims import NAMES
from scypher.kg.versions.donors import without_donor
from scypher.kg.versions.matching import match_modules, match_states

ALPHA, BETA = toy_graph("alpha", n_cells=24), toy_graph("beta", seed=2, n_cells=8)
IN_STATE: EdgeKey = ("Cell", "IN_STATE", "State")
MARKED: EdgeKey = ("State", "MARKED_BY", "Gene")
MEMBER: EdgeKey = ("Gene", "MEMBER_OF", "Module")
Found = set[tuple[str, ...]]


def found(old: Graph, new: Graph) -> Found:
    """Return the changes without their details."""
    frame = changes(old, new)
    assert list(frame) == COLUMNS
    assert frame.map(lambda value: isinstance(value, str)).all(axis=None)
    assert set(frame["kind"]) <= set(KINDS)
    assert not frame.duplicated().any()
    return {tuple(row) for row in frame[["kind", *COLUMNS[2:6]]].to_numpy().tolist()}


def with_column(graph: Graph, name: str | EdgeKey, column: str, **at: Any) -> Graph:
    """Return the graph with values of a column of a table set by row, ``r0=value``."""
    frame = (graph.nodes[name] if isinstance(name, str) else graph.edges[name]).copy()
    values = frame[column].tolist()
    for row, value in at.items():
        values[int(row[1:])] = value
    frame[column] = pd.Series(values, index=frame.index, dtype=frame[column].dtype)
    return with_table(graph, name, frame)


def with_states(graph: Graph, moves: dict[int, int]) -> Graph:
    """Return the graph with cells in other coarse states, by position, sizes counted again.

    State 4 is a coarse one that has no node yet and gets the key ``alpha:S3``.
    """
    states = graph.nodes["State"]
    if 4 in moves.values():
        new = states.iloc[[1]].assign(key="alpha:S3", name="S3")
        states = pd.concat([states, new], ignore_index=True)
    member = graph.edges[IN_STATE].copy()
    coarse = member["target"].isin([0, 1])
    target = member["target"].mask(coarse, member["source"].map(moves).fillna(member["target"]))
    member["target"] = target.astype(int)
    size = np.bincount(member["target"], minlength=len(states))
    graph = with_table(graph, "State", states.assign(size=size))
    return with_table(graph, IN_STATE, member)


def renamed(graph: Graph, names: dict[str, str]) -> Graph:
    """Return the graph with other keys of states or modules, everywhere."""
    nodes = {
        label: frame.assign(
            **{
                column: frame[column].map(lambda key: names.get(key, key))
                for column in ("key", "context")
                if column in frame
            }
        )
        for label, frame in graph.nodes.items()
    }
    named = ("context", "first", "goes_to", "other", "second")
    edges = {
        key: frame.assign(
            **{
                column: frame[column].map(lambda key: names.get(key, key))
                for column in named
                if column in frame
            }
        )
        for key, frame in graph.edges.items()
    }
    return Graph(nodes, edges)


def dataset_row(**columns: Any) -> Graph:
    return with_table(ALPHA, "Dataset", ALPHA.nodes["Dataset"].assign(**columns))


SPLIT = with_states(ALPHA, dict.fromkeys(range(5), 4))
MIXED = with_states(ALPHA, dict.fromkeys([0, 1, 2, 12, 13, 14], 4))
FEWER_GENES = with_table(ALPHA, MEMBER, ALPHA.edges[MEMBER].iloc[1:])
NO_M2 = without_nodes(ALPHA, "Module", np.array([False, True]))
CASES: dict[str, tuple[Graph, Graph, Found]] = {
    "nothing": (ALPHA, shuffled(ALPHA, np.random.default_rng(0)), set()),
    "a data set came": (ALPHA, ALPHA.merge(BETA), {("dataset_added", "beta", "", "", "8")}),
    "a data set went": (ALPHA.merge(BETA), ALPHA, {("dataset_removed", "beta", "", "8", "")}),
    "other data": (
        ALPHA,
        dataset_row(content_hash="new"),
        {("data_changed", "alpha", "", "alpha-content", "new")},
    ),
    "another encoder": (
        ALPHA,
        dataset_row(encoder="pca", code_version="0.2.0"),
        {
            ("encoder_changed", "alpha", "", "toy", "pca"),
            ("code_version_changed", "alpha", "", "0.1.0", "0.2.0"),
        },
    ),
    "other parameters": (
        ALPHA,
        dataset_row(parameters=json.dumps({"seed": 1, "layer": "raw"})),
        {
            ("parameters_changed", "alpha", "seed", "0", "1"),
            ("parameters_changed", "alpha", "layer", "", "raw"),
        },
    ),
    "more genes measured": (
        ALPHA,
        dataset_row(n_genes=12),
        {("genes_measured", "alpha", "", "10", "12")},
    ),
    "a gene is renamed": (
        ALPHA,
        with_column(ALPHA, "Gene", "symbol", r0="CD79B"),
        {("gene_renamed", "ENSG00000000000", "", "CD79A", "CD79B")},
    ),
    "names of states are swapped": (
        ALPHA,
        renamed(ALPHA, {"alpha:S1": "alpha:S2", "alpha:S2": "alpha:S1"}),
        {
            ("state_renamed", "alpha:S2", "", "alpha:S1", "alpha:S2"),
            ("state_renamed", "alpha:S1", "", "alpha:S2", "alpha:S1"),
        },
    ),
    "a state splits": (
        ALPHA,
        SPLIT,
        {
            ("state_split", "alpha:S1", "", "alpha:S1", "alpha:S1;alpha:S3"),
            ("state_shrank", "alpha:S1", "", "12", "7"),
            ("cells_changed_state", "alpha", "level 1", "24", "5"),
        },
    ),
    "states merge": (
        SPLIT,
        ALPHA,
        {
            ("state_merged", "alpha:S1", "", "alpha:S1;alpha:S3", "alpha:S1"),
            ("state_grew", "alpha:S1", "", "7", "12"),
            ("cells_changed_state", "alpha", "level 1", "24", "5"),
        },
    ),
    "a state appears": (
        ALPHA,
        MIXED,
        {
            ("state_appeared", "alpha:S3", "", "", "6"),
            ("state_shrank", "alpha:S1", "", "12", "9"),
            ("state_shrank", "alpha:S2", "", "12", "9"),
            ("cells_changed_state", "alpha", "level 1", "24", "6"),
        },
    ),
    "a state vanishes": (
        MIXED,
        ALPHA,
        {
            ("state_vanished", "alpha:S3", "", "6", ""),
            ("state_grew", "alpha:S1", "", "9", "12"),
            ("state_grew", "alpha:S2", "", "9", "12"),
            ("cells_changed_state", "alpha", "level 1", "24", "6"),
        },
    ),
    "a label changes": (
        ALPHA,
        with_column(
            with_column(ALPHA, "State", "label", r0="NK"), "State", "label_outcome", r0="abstain"
        ),
        {
            ("state_label", "alpha:S1", "", "B cells", "NK"),
            ("state_outcome", "alpha:S1", "", "label", "abstain"),
        },
    ),
    "a code moves": (
        ALPHA,
        with_column(ALPHA, ("Code", "IN_STATE", "State"), "target", r0=1),
        {("code_moved", "eeeeeeeeeeee:0", "", "alpha:S1", "alpha:S2")},
    ),
    "cells have other codes": (
        ALPHA,
        with_column(ALPHA, ("Cell", "HAS_CODE", "Code"), "target", r0=1, r1=2),
        {("cells_changed_code", "alpha", "", "24", "2")},
    ),
    "a module loses a gene": (
        ALPHA,
        FEWER_GENES,
        {("module_members", "alpha:M1", "", "5", "4")},
    ),
    "a module is lost with what is said of it": (
        ALPHA,
        NO_M2,
        {("module_lost", "alpha:M2", "", "4", "")},
    ),
    "a module is gained": (NO_M2, ALPHA, {("module_gained", "alpha:M2", "", "", "4")}),
    "a module is renamed": (
        ALPHA,
        renamed(ALPHA, {"alpha:M1": "alpha:M7"}),
        {("module_renamed", "alpha:M7", "", "alpha:M1", "alpha:M7")},
    ),
    "a rank moves": (
        ALPHA,
        with_column(ALPHA, MARKED, "rank", r0=12, r1=12),
        {("marker_rank", "alpha:S1", "CD79A", "1", "12")},
    ),
    "a verdict changes": (
        ALPHA,
        with_column(ALPHA, MARKED, "verdict", r0="unsupported"),
        {("marker_verdict", "alpha:S1", "CD79A", "supported", "unsupported")},
    ),
    "a shift turns": (
        ALPHA,
        with_column(ALPHA, ("State", "SHIFTS", "Gene"), "log2_fold_change", r0=-3.0),
        {("shift_turned", "alpha:S1", "CD79A", "3", "-3")},
    ),
    "a condition vanishes": (
        ALPHA,
        without_nodes(ALPHA, "Condition", np.array([False, True])),
        {("annotation_vanished", "condition 1", "", "Condition", "")},
    ),
    "a cell type appears": (
        without_nodes(ALPHA, "CellType", np.array([False, True, False])),
        ALPHA,
        {("annotation_appeared", "T cells", "", "", "CellType")},
    ),
    "cells go": (
        ALPHA,
        without_nodes(ALPHA, "Cell", np.arange(24) < 2),
        {("cells_removed", "alpha", "", "24", "22")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_known_edits_are_found_and_nothing_else(case: str) -> None:
    old, new, expected = CASES[case]
    assert found(old, new) == expected


CLAIMS = [key for key in edge_tables() if edge_type(*key).claim]


@pytest.mark.parametrize("key", CLAIMS, ids="-".join)
def test_claims_come_and_go_and_cross_the_limit(key: EdgeKey) -> None:
    name = NAMES[key[1]]
    frame = ALPHA.edges[key]
    ends = ALPHA.with_keys(key).iloc[0]
    shown = {
        row.key: getattr(row, "label", None) if label not in ("State",) else row.key
        for label in (key[0], key[2])
        for row in ALPHA.nodes[label].itertuples()
        if label not in ("Module", "GeneSet", "Gene")
    } | dict(ALPHA.nodes["Gene"][["key", "symbol"]].to_numpy().tolist())
    subject, obj = (shown.get(ends[column], ends[column]) for column in ("source", "target"))
    fewer = with_table(ALPHA, key, frame.iloc[1:])
    assert found(ALPHA, fewer) == {(f"{name}_lost", subject, obj, "0.01", "")}
    assert found(fewer, ALPHA) == {(f"{name}_gained", subject, obj, "", "0.01")}
    weak = with_column(ALPHA, key, "q", r0=0.2)
    assert found(ALPHA, weak) == {(f"{name}_crossed", subject, obj, "0.01", "0.2")}
    assert found(weak, ALPHA) == {(f"{name}_crossed", subject, obj, "0.2", "0.01")}


def test_claims_follow_a_state_to_its_new_name() -> None:
    weak = with_column(ALPHA, MARKED, "q", r0=0.2)
    swapped = renamed(weak, {"alpha:S1": "alpha:S2", "alpha:S2": "alpha:S1"})
    told = {row for row in found(ALPHA, swapped) if row[0] != "state_renamed"}
    assert told == {("marker_crossed", "alpha:S2", "CD79A", "0.01", "0.2")}


def test_a_donor_removed_and_the_data_set_built_again() -> None:
    less = without_donor(ALPHA, "donor 0")
    kinds = Counter(changes(ALPHA, less)["kind"])
    assert kinds["became_stale"] == kinds["exclusion_changed"] == kinds["cells_removed"] == 1
    assert not {kind for kind in kinds if kind.endswith(("_crossed", "_rank", "_verdict"))}
    back = changes(less, ALPHA)
    assert back["kind"].eq("refreshed").sum() == 1
    assert "became_stale" not in set(back["kind"])


def test_ranks_that_matter_are_chosen() -> None:
    moved = with_column(ALPHA, MARKED, "rank", r0=4)
    assert changes(ALPHA, moved).empty
    assert changes(ALPHA, moved, ranks=2)["kind"].tolist() == ["marker_rank"]


def test_every_kind_is_documented_and_every_document_can_occur() -> None:
    planted = {row[0] for _, _, expected in CASES.values() for row in expected}
    planted |= {f"{NAMES[key[1]]}_{end}" for key in CLAIMS for end in ("lost", "gained", "crossed")}
    planted |= {"became_stale", "refreshed", "exclusion_changed"}
    # The same code as for cells removed, shifts and markers.
    same_code = {"cells_added", "shift_rank", "intermediate_verdict", "communication_verdict"}
    assert set(KINDS) - planted == same_code


def _loop(old: Graph, new: Graph, level: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return which state most cells come from, and go to, by a loop over cells."""
    at: list[dict[str, str]] = []
    for graph in (old, new):
        levels = graph.nodes["State"].set_index("key")["level"]
        member = graph.with_keys(IN_STATE)[["source", "target"]].to_numpy().tolist()
        at.append({cell: state for cell, state in member if levels[state] == level})
    pairs = [(at[0][cell], at[1][cell]) for cell in at[0] if cell in at[1]]
    answers: list[dict[str, str]] = []
    pick: tuple[Callable[[Any], str], Callable[[Any], str]]
    for pick in ((lambda pair: pair[1], lambda pair: pair[0]), (lambda p: p[0], lambda p: p[1])):
        answer = {}
        for state in {pick[0](pair) for pair in pairs}:
            others = Counter(pick[1](pair) for pair in pairs if pick[0](pair) == state)
            best, n = others.most_common(1)[0]
            if 2 * n > sum(others.values()):
                answer[state] = best
        answers.append(answer)
    return answers[0], answers[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_states_are_matched_as_a_loop_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    new = with_states(ALPHA, dict(enumerate(rng.choice([0, 1, 4], 24).tolist())) | {0: 4})
    new = without_nodes(new, "Cell", rng.random(24) < 0.2)
    match = match_states(ALPHA, new)
    coming, going = {}, {}
    for level in (1, 2):
        more = _loop(ALPHA, new, level)
        coming |= more[0]
        going |= more[1]
    assert match.comes_from == coming
    assert match.goes_to == going
    assert match.heir == {old: now for old, now in going.items() if coming.get(now) == old}
    n = len(set(new.nodes["Cell"]["key"]))
    assert match.stayed[1] + match.moved[1] == n


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_modules_are_matched_as_a_loop_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(gene, module) for gene in range(10) for module in range(2) if rng.random() < 0.5]
    frame = pd.DataFrame(rows or [(0, 0)], columns=["source", "target"])
    new = with_table(ALPHA, MEMBER, frame.assign(strength=0.5, stale=""))
    sets = [
        {key: set(part["source"]) for key, part in graph.with_keys(MEMBER).groupby("target")}
        for graph in (ALPHA, new)
    ]
    score = {
        (a, b): len(first & second) / len(first | second)
        for a, first in sets[0].items()
        for b, second in sets[1].items()
    }
    expected = {
        a: b
        for (a, b), value in score.items()
        if value >= 1 / 3
        and (a, b) == min((p for p in score if p[0] == a), key=lambda p: (-score[p], p))
        and (a, b) == min((p for p in score if p[1] == b), key=lambda p: (-score[p], p))
    }
    assert match_modules(ALPHA, new) == expected


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_two_valid_graphs_can_be_compared(seed: int) -> None:
    rng = np.random.default_rng(seed)
    both = ALPHA.merge(BETA)
    found(randomly_edited(both, rng), randomly_edited(both, rng))
    assert changes(Graph(), ALPHA)["kind"].tolist() == ["dataset_added"]
