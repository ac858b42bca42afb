"""One donor taken out: what is counted again, what goes, what is marked."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from toy import CELL_TYPES, toy_graph
from versions.edits import shuffled, with_table, without_nodes

from scypher.encoders.errors import InputError
from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import STALE, edge_type, node_type
from scypher.kg.versions.donors import (
    REMOVED,
    donor_token,
    excluded_donors,
    is_excluded,
    without_donor,
)

FROM_DONOR: EdgeKey = ("Cell", "FROM_DONOR", "Donor")
IN_STATE: EdgeKey = ("Cell", "IN_STATE", "State")
ALPHA = toy_graph("alpha", n_cells=24)


def three_donors() -> Graph:
    """Return a toy in which one donor alone has a state, a code, a batch and a condition.

    Cells 0 to 7 are of donor a, 8 to 15 of donor b, 16 to 21 of donor c; nobody knows of 22, 23.
    """
    graph = ALPHA
    names = ["a", "b", "c"]
    graph = with_table(graph, ("State", "ATTENDS_TO", "Donor"), None)
    graph = with_table(graph, FROM_DONOR, None)
    donors = pd.DataFrame(
        {"key": [f"donor:alpha:{name}" for name in names], "label": names, "ontology_id": ""}
    )
    graph = with_table(graph, "Donor", donors)
    cells = np.arange(22)
    graph = with_table(
        graph, FROM_DONOR, pd.DataFrame({"source": cells, "target": np.minimum(cells // 8, 2)})
    )
    only_c = ((np.arange(24) >= 16) & (np.arange(24) < 22)).astype(int)
    cells = np.arange(24)
    for key in (("Cell", "FROM_BATCH", "Batch"), ("Cell", "UNDER_CONDITION", "Condition")):
        graph = with_table(graph, key, pd.DataFrame({"source": cells, "target": only_c}))
    codes = graph.edges[("Cell", "HAS_CODE", "Code")]
    graph = with_table(
        graph, ("Cell", "HAS_CODE", "Code"), codes.assign(target=np.where(only_c, 3, cells % 3))
    )
    state = np.where(only_c == 1, 1, 0)
    inside = np.flatnonzero(only_c == 0)
    member = pd.DataFrame(
        {
            "source": np.concatenate([cells, inside]),
            "target": np.concatenate([state, 2 + inside % 2]),
        }
    )
    graph = with_table(graph, IN_STATE, member)
    row = graph.nodes["Dataset"].assign(
        notes=json.dumps(["codes: donor c stands out", "another note"]),
        quality=json.dumps({"nmi": 0.5, "code_alarms": ["c alone has 3 codes", "all well"]}),
    )
    return with_table(graph, "Dataset", row)


GIVEN = three_donors()
LEFT = without_donor(GIVEN, "c")


def test_cells_go_with_everything_that_only_they_had() -> None:
    gone = {f"alpha:c{number}" for number in range(16, 22)}
    assert set(GIVEN.nodes["Cell"]["key"]) - set(LEFT.nodes["Cell"]["key"]) == gone
    for key in LEFT.edges:
        if key[0] == "Cell":
            before = GIVEN.with_keys(key).set_index("source")
            after = LEFT.with_keys(key).set_index("source")
            kept = before[~before.index.isin(gone)]
            pd.testing.assert_frame_equal(after, kept, check_like=True)
    lost = {
        label: sorted(set(frame["key"]) - set(LEFT.nodes[label]["key"]))
        for label, frame in GIVEN.nodes.items()
        if len(frame) != len(LEFT.nodes.get(label, ())) and label != "Cell"
    }
    assert lost == {
        "Batch": ["batch:alpha:batch 1"],
        "Code": ["eeeeeeeeeeee:3"],
        "Condition": ["condition:condition 1"],
        "Donor": ["donor:alpha:c"],
        "State": ["alpha:S2"],
    }
    named = LEFT.edges.get(("State", "FLIPS_WITHOUT", "Gene"))
    assert named is None or not named["goes_to"].eq("alpha:S2").any()
    between = LEFT.edges.get(("State", "INTERMEDIATE_BETWEEN", "State"))
    assert between is None or not between["other"].eq("alpha:S2").any()


def test_counts_are_those_of_a_loop() -> None:
    cells = LEFT.nodes["Cell"]["key"].tolist()
    state = LEFT.with_keys(IN_STATE)
    donor = dict(LEFT.with_keys(FROM_DONOR)[["source", "target"]].to_numpy().tolist())
    typed = LEFT.with_keys(("Cell", "ANNOTATED_AS", "CellType"))
    label = dict(typed[["source", "target"]].to_numpy().tolist())
    for row in LEFT.nodes["State"].itertuples():
        inside = state.loc[state["target"] == row.key, "source"]
        assert row.size == len(inside)
        assert row.n_donors == len({donor[cell] for cell in inside if cell in donor})
        counts = inside.map(label).str.removeprefix("cell_type:").value_counts().sort_index()
        assert row.label == counts.idxmax()
        assert row.label_share == counts.max() / len(inside)
    code = LEFT.with_keys(("Cell", "HAS_CODE", "Code"))["target"].value_counts() / len(cells)
    usage = LEFT.nodes["Code"].set_index("key")["usage"]
    assert usage.to_dict() == code.to_dict()
    assert LEFT.nodes["Dataset"]["n_cells"].tolist() == [18]
    assert LEFT.nodes["State"]["label"].isin(CELL_TYPES).all()


def test_all_that_cannot_be_counted_is_marked_and_nothing_else() -> None:
    for label, frame in LEFT.nodes.items():
        if STALE in node_type(label).properties:
            assert frame["stale"].eq(REMOVED).all()
    marked = {key for key in LEFT.edges if STALE in edge_type(*key).properties}
    assert {key for key in LEFT.edges if edge_type(*key).claim} < marked
    assert {key[1] for key in marked} >= {"EXPRESSES", "MEMBER_OF", "MARKED_BY"}
    assert not [key for key in marked if key[0] == "Cell"]
    for key in marked:
        assert LEFT.edges[key]["stale"].eq(REMOVED).all()
        assert GIVEN.edges[key]["stale"].eq("").all()
        # The claim itself stays as it was.
        kept = LEFT.with_keys(key).drop(columns="stale")
        before = GIVEN.with_keys(key).drop(columns="stale")
        both = kept.merge(before.assign(seen=True), how="left", on=_hashable(kept))
        assert both["seen"].all()


def _hashable(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if name != "genes"]


def test_the_donor_is_remembered_but_not_named() -> None:
    row = LEFT.nodes["Dataset"].iloc[0]
    token = hashlib.sha256(b"alpha:c").hexdigest()
    assert row["excluded_donors"] == [token] == excluded_donors(LEFT)
    assert donor_token("alpha", "c") == token
    assert is_excluded(LEFT, "c")
    assert is_excluded(LEFT, "donor:alpha:c")
    assert not is_excluded(LEFT, "b")
    assert json.loads(row["notes"]) == ["another note"]
    assert json.loads(row["quality"]) == {"nmi": 0.5, "code_alarms": ["all well"]}
    again = without_donor(LEFT, "donor:alpha:b")
    assert excluded_donors(again) == sorted([token, donor_token("alpha", "b")])
    assert len(again.nodes["Cell"]) == 10


def test_who_cannot_be_removed() -> None:
    with pytest.raises(InputError, match="no donor 'd'; one of a, b, c"):
        without_donor(GIVEN, "d")
    only_a = without_donor(LEFT, "b")
    with pytest.raises(InputError, match=r"last donor.*scypher remove alpha"):
        without_donor(only_a, "a")
    none = without_nodes(GIVEN, "Donor", np.ones(3, bool))
    with pytest.raises(InputError, match="without donors"):
        without_donor(none, "a")
    named = GIVEN.edges[FROM_DONOR]
    all_a = with_table(GIVEN, FROM_DONOR, named.assign(target=0))
    rest = pd.DataFrame({"source": [22, 23], "target": 0})
    all_a = with_table(all_a, FROM_DONOR, pd.concat([all_a.edges[FROM_DONOR], rest]))
    with pytest.raises(InputError, match="All cells"):
        without_donor(all_a, "a")


def test_removal_does_not_depend_on_the_order_of_rows() -> None:
    mixed = shuffled(GIVEN, np.random.default_rng(1))
    assert without_donor(mixed, "c").content_hash() == LEFT.content_hash()
