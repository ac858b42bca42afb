import re
from collections import Counter

import pytest

from scypher.kg.schema import (
    EDGES,
    EVIDENCE,
    METADATA,
    METADATA_EDGES,
    NODES,
    EdgeType,
    NodeType,
    edge_tables,
    edge_type,
    node_type,
)

EVIDENCE_NAMES = [
    "effect",
    "n_cells",
    "n_donors",
    "p",
    "q",
    "null",
    "method",
    "dataset",
    "dataset_hash",
    "encoder_hash",
    "code_version",
    "stale",
]
CLAIMS = {
    *("MARKED_BY", "CO_REGULATED_WITH", "ENRICHED_IN", "ATTENDS_TO", "SHIFTS", "DIFFERS_IN"),
    *("FLIPS_WITHOUT", "INTERMEDIATE_BETWEEN", "MONOTONE_ALONG", "COMMUNICATES_WITH", "REGULATES"),
}


def name(declared: NodeType | EdgeType) -> str:
    return declared.label if isinstance(declared, NodeType) else declared.type


def test_labels_and_edge_tables_are_declared_once() -> None:
    labels = [node.label for node in NODES]
    assert Counter(labels) == Counter(set(labels))
    assert Counter(edge_tables()) == Counter(set(edge_tables()))
    assert len(edge_tables()) == sum(len(edge.pairs) for edge in EDGES)


def test_edge_tables_join_declared_labels() -> None:
    labels = {node.label for node in NODES}
    for source, _, target in edge_tables():
        assert {source, target} <= labels


@pytest.mark.parametrize("declared", [*NODES, *EDGES], ids=name)
def test_properties_have_unique_plain_names_and_a_meaning(declared: NodeType | EdgeType) -> None:
    names = [item.name for item in declared.properties]
    assert len(names) == len(set(names))
    # A name that needs no backticks in Cypher.
    assert all(re.fullmatch("[a-z][a-z0-9_]*", text) for text in names)
    assert all(item.doc for item in declared.properties)
    assert declared.doc


def test_nodes_start_with_their_key_and_only_owned_ones_name_their_data_set() -> None:
    for node in NODES:
        names = [item.name for item in node.properties]
        assert names[0] == "key"
        assert node.properties[0].kind == "string"
        assert ("dataset" in names) == node.owned
    assert {node.label for node in NODES if node.owned} == {"Cell", "State", "Module"}


def test_every_metadata_field_has_a_node_and_its_two_edges() -> None:
    assert len(set(METADATA.values())) == len(METADATA)
    assert set(METADATA_EDGES) == set(METADATA.values())
    assert len(set(METADATA_EDGES.values())) == len(METADATA_EDGES)
    for label in METADATA.values():
        assert [item.name for item in node_type(label).properties] == [
            "key",
            "label",
            "ontology_id",
        ]
        assert edge_type("Cell", METADATA_EDGES[label], label).properties == ()
        assert edge_type("State", "ATTENDS_TO", label).properties[0].name == "weight"


def test_claims_end_with_the_evidence() -> None:
    assert [item.name for item in EVIDENCE] == EVIDENCE_NAMES
    assert {edge.type for edge in EDGES if edge.claim} == CLAIMS
    for edge in EDGES:
        names = [item.name for item in edge.properties]
        if edge.claim:
            assert names[-len(EVIDENCE_NAMES) :] == EVIDENCE_NAMES
        else:
            assert not {"p", "q", "null"} & set(names)


def test_no_property_of_an_edge_takes_the_name_of_an_end() -> None:
    for edge in EDGES:
        assert not {"source", "target"} & {item.name for item in edge.properties}


def test_identity_is_made_of_declared_properties() -> None:
    for edge in EDGES:
        assert set(edge.identity) <= {item.name for item in edge.properties}


def test_edges_between_shared_nodes_keep_data_sets_apart() -> None:
    """Both ends outlive a data set, so that only the edge itself can say whose it is."""
    shared = {node.label for node in NODES if not node.owned and node.label != "Dataset"}
    between = [key for key in edge_tables() if {key[0], key[2]} <= shared]
    assert ("Gene", "CO_REGULATED_WITH", "Gene") in between
    for key in between:
        assert "dataset" in edge_type(*key).identity


def test_lookups_return_the_declaration() -> None:
    assert all(node_type(node.label) is node for node in NODES)
    for edge in EDGES:
        for source, target in edge.pairs:
            assert edge_type(source, edge.type, target) is edge


def test_one_type_has_other_properties_between_other_labels() -> None:
    of_cell = edge_type("Cell", "EXPRESSES", "Gene").properties
    of_state = edge_type("State", "EXPRESSES", "Gene").properties
    assert [item.name for item in of_cell] == ["value", "rank"]
    assert [item.name for item in of_state] == ["mean", "detected", "n", "stale"]


def test_unknown_node_label_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="Protein"):
        node_type("Protein")


@pytest.mark.parametrize(
    "key",
    [
        ("Cell", "LIKES", "Gene"),
        ("Gene", "EXPRESSES", "Cell"),
        ("Cell", "EXPRESSES", "Protein"),
    ],
)
def test_unknown_edge_table_is_a_key_error(key: tuple[str, str, str]) -> None:
    with pytest.raises(KeyError, match=key[2]):
        edge_type(*key)
