"""Cypher that the Neo4j store writes with; every name in it comes from the schema."""

from ..graph import EdgeKey
from ..schema import NODES, edge_tables, edge_type, node_type

DATASET = "MATCH (d:Dataset {key: $key}) RETURN d.key AS key"
DATASETS = (
    "MATCH (d:Dataset) WHERE d.key IS NOT NULL RETURN d.key AS key, d.graph_hash AS graph_hash, "
    "coalesce(d.time, '') AS time, coalesce(d.complete, false) AS complete"
)
INCOMPLETE = "MERGE (d:Dataset {key: $key}) SET d.complete = false"
COMPLETE = "MATCH (d:Dataset) WHERE d.key IN $keys SET d.complete = true"
DROP_DATASET = "MATCH (d:Dataset {key: $key}) DETACH DELETE d"


def constraints() -> list[str]:
    """Return what makes keys unique and data sets quick to find."""
    unique = [
        f"CREATE CONSTRAINT scypher_{node.label}_key IF NOT EXISTS "
        f"FOR (n:{node.label}) REQUIRE n.key IS UNIQUE"
        for node in NODES
    ]
    owned = [
        f"CREATE INDEX scypher_{node.label}_dataset IF NOT EXISTS "
        f"FOR (n:{node.label}) ON (n.dataset)"
        for node in NODES
        if node.owned
    ]
    claims = [
        f"CREATE INDEX scypher_{type_}_dataset IF NOT EXISTS FOR ()-[r:{type_}]-() ON (r.dataset)"
        for type_ in _claim_types()
    ]
    symbol = "CREATE INDEX scypher_Gene_symbol IF NOT EXISTS FOR (n:Gene) ON (n.symbol)"
    return [*unique, *owned, *claims, symbol, "CALL db.awaitIndexes(300)"]


def clear() -> list[str]:
    """Return what deletes all of a data set but its Dataset node, in the order to run it.

    Shared nodes go when nothing leads to them any more; a node without a key is nobody of ours.
    """
    claims = [
        f"MATCH ()-[r:{type_} {{dataset: $dataset}}]->() {_batched('r', 'DELETE')}"
        for type_ in _claim_types()
    ]
    measures = f"MATCH (:Dataset {{key: $dataset}})-[r]->() {_batched('r', 'DELETE')}"
    # Edges before their nodes: a state has thousands, and a batch must fit into a small heap.
    owned = [
        text
        for node in NODES
        if node.owned
        for text in (
            f"MATCH (:{node.label} {{dataset: $dataset}})-[r]->() {_batched('r', 'DELETE')}",
            f"MATCH (n:{node.label} {{dataset: $dataset}}) {_batched('n', 'DETACH DELETE')}",
        )
    ]
    shared = [
        f"MATCH (n:{node.label}) WHERE n.key IS NOT NULL AND NOT EXISTS {{ (n)--() }} "
        f"{_batched('n', 'DELETE')}"
        for node in NODES
        if not node.owned and node.label != "Dataset"
    ]
    return [*claims, measures, *owned, *shared]


def merge_nodes(label: str) -> str:
    """Return what writes nodes; the properties become exactly those of the row."""
    return f"UNWIND $rows AS row MERGE (n:{label} {{key: row.key}}) SET n = row"


def merge_edges(key: EdgeKey) -> str:
    """Return what writes edges, grouped by source; repeating it doubles nothing."""
    source, type_, target = key
    names = edge_type(*key).identity
    identity = ", ".join(f"{name}: edge.properties.{name}" for name in names)
    return (
        f"UNWIND $rows AS row MATCH (a:{source} {{key: row.source}}) "
        f"UNWIND row.targets AS edge MATCH (b:{target} {{key: edge.key}}) "
        f"MERGE (a)-[r:{type_}{f' {{{identity}}}' if identity else ''}]->(b) "
        "SET r = edge.properties"
    )


def count_nodes(label: str) -> str:
    """Return what counts the nodes of given keys."""
    return f"MATCH (n:{label}) WHERE n.key IN $keys RETURN count(n) AS n"


def count_edges(key: EdgeKey) -> str:
    """Return what counts the edges of a table that belong to given data sets."""
    source, type_, target = key
    if edge_type(*key).claim:
        owner = "r.dataset"
    elif source == "Dataset":
        owner = "a.key"
    else:
        owner = "a.dataset" if node_type(source).owned else "b.dataset"
    return (
        f"MATCH (a:{source})-[r:{type_}]->(b:{target}) WHERE {owner} IN $keys RETURN count(r) AS n"
    )


def node_properties(label: str) -> str:
    """Return what reads the nodes of given keys."""
    return f"MATCH (n:{label}) WHERE n.key IN $keys RETURN properties(n) AS n"


def _claim_types() -> list[str]:
    return list(dict.fromkeys(key[1] for key in edge_tables() if edge_type(*key).claim))


def _batched(name: str, verb: str) -> str:
    return f"CALL ({name}) {{ {verb} {name} }} IN TRANSACTIONS OF 5000 ROWS"
