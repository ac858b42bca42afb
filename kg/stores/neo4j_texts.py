"""Cypher that the Neo4j store writes with; every name in it comes from the schema."""

from ..graph import EdgeKey
from ..schema import NODES, Property, edge_tables, edge_type, node_type

LEDGER = "MATCH (l:ScypherLedger) RETURN l.json AS json, l.pending AS pending, l.stamp AS stamp"
STAMP = "MATCH (l:ScypherLedger) RETURN l.stamp AS stamp"
"""A graph is at rest while its stamp is even; each write makes it odd, and even at its end."""

LOCK = "MERGE (l:ScypherLock {name: 'writer'}) SET l.holder = $holder"
FIND_LOCK = "SHOW TRANSACTIONS YIELD transactionId, metaData WHERE metaData.holder = $holder"
TERMINATE = "TERMINATE TRANSACTIONS $found"

MAKE_LEDGER = (
    "MERGE (l:ScypherLedger) ON CREATE SET l.stamp = $first, l.json = $json RETURN l.stamp AS stamp"
)
ANNOUNCE = (
    "MATCH (l:ScypherLedger) WHERE l.stamp = $stamp "
    "SET l.pending = $pending, l.stamp = $stamp + 1 RETURN l.stamp AS stamp"
)
SETTLE = (
    "MATCH (l:ScypherLedger) WHERE l.stamp = $stamp "
    "SET l.json = $json, l.pending = NULL, l.stamp = $stamp + $step RETURN l.stamp AS stamp"
)

STORE_BLOBS = (
    "UNWIND $rows AS row MERGE (b:ScypherBlob {piece: row.piece, table: row.table, part: row.part})"
    " SET b.bytes = row.bytes, b.parts = row.parts, b.total = row.total"
)
READ_BLOBS = (
    "MATCH (b:ScypherBlob {piece: $piece}) WHERE $names IS NULL OR b.table IN $names "
    "RETURN b.table AS table, b.part AS part, b.parts AS parts, b.bytes AS bytes "
    "ORDER BY table, part"
)
COUNT_BLOBS = "MATCH (b:ScypherBlob {piece: $piece}) RETURN count(b) AS n, max(b.total) AS total"
DROP_BLOBS = (
    "MATCH (b:ScypherBlob) WHERE NOT b.piece IN $kept "
    "CALL (b) { DELETE b } IN TRANSACTIONS OF 20 ROWS"
)

INDEXES = "SHOW INDEXES YIELD name RETURN name"
AWAIT_INDEXES = "CALL db.awaitIndexes(300)"
ACCESS = "SHOW DATABASES YIELD name, access WHERE name = $database RETURN access"

DATASETS = (
    "MATCH (d:Dataset) WHERE d.key IS NOT NULL RETURN d.key AS key, "
    "d.content_hash AS content_hash, d.parameters AS parameters, d.code_version AS code_version"
)


def schema_statements() -> dict[str, str]:
    """Return the statements that make keys unique and data sets quick to find, by their names."""
    unique = {
        f"scypher_{node.label}_key": f"CREATE CONSTRAINT scypher_{node.label}_key IF NOT EXISTS "
        f"FOR (n:{node.label}) REQUIRE n.key IS UNIQUE"
        for node in NODES
    }
    owned = {
        f"scypher_{node.label}_dataset": f"CREATE INDEX scypher_{node.label}_dataset "
        f"IF NOT EXISTS FOR (n:{node.label}) ON (n.dataset)"
        for node in NODES
        if node.owned
    }
    claims = {
        f"scypher_{type_}_dataset": f"CREATE INDEX scypher_{type_}_dataset IF NOT EXISTS "
        f"FOR ()-[r:{type_}]-() ON (r.dataset)"
        for type_ in _claim_types()
    }
    others = {
        "scypher_Gene_symbol": "CREATE INDEX scypher_Gene_symbol IF NOT EXISTS "
        "FOR (n:Gene) ON (n.symbol)",
        "scypher_Cell_barcode": "CREATE INDEX scypher_Cell_barcode IF NOT EXISTS "
        "FOR (n:Cell) ON (n.barcode)",
        "scypher_blob_piece": "CREATE INDEX scypher_blob_piece IF NOT EXISTS "
        "FOR (n:ScypherBlob) ON (n.piece)",
        # Two first writers at the same moment must meet at one node.
        "scypher_lock_name": "CREATE CONSTRAINT scypher_lock_name IF NOT EXISTS "
        "FOR (n:ScypherLock) REQUIRE n.name IS UNIQUE",
    }
    return others | unique | owned | claims


def date_datasets() -> str:
    """Return what says of data sets when they were written."""
    return "UNWIND $rows AS row MATCH (d:Dataset {key: row.key}) SET d.time = row.time"


def clear() -> list[str]:
    """Return what deletes all that one data set has, shared nodes excepted, in order.

    Edges go before their nodes: a state has thousands, and a batch must fit into a small heap.
    """
    claims = [
        f"MATCH ()-[r:{type_} {{dataset: $dataset}}]->() {_batched('r', 'DELETE')}"
        for type_ in _claim_types()
    ]
    measures = f"MATCH (:Dataset {{key: $dataset}})-[r]->() {_batched('r', 'DELETE')}"
    owned = [
        text
        for node in NODES
        if node.owned
        for text in (
            f"MATCH (:{node.label} {{dataset: $dataset}})-[r]->() {_batched('r', 'DELETE')}",
            f"MATCH (n:{node.label} {{dataset: $dataset}}) {_batched('n', 'DETACH DELETE')}",
        )
    ]
    dataset = "MATCH (n:Dataset {key: $dataset}) DETACH DELETE n"
    return [*claims, measures, *owned, dataset]


def merge_nodes(label: str) -> str:
    """Return what writes nodes; the properties become exactly those of the row."""
    return f"CYPHER replan=skip UNWIND $rows AS row MERGE (n:{label} {{key: row.key}}) SET n = row"


def delete_nodes(label: str) -> str:
    """Return what deletes nodes by key, with whatever else leads to them."""
    return f"UNWIND $keys AS key MATCH (n:{label} {{key: key}}) DETACH DELETE n"


def create_edges(key: EdgeKey) -> str:
    """Return what writes edges from columns, and how many; none at all if an end is missing.

    ``$sources`` and ``$targets`` are the keys of the nodes of the batch, which an index is asked
    for once per node and not once per edge. The edges of source ``s`` are those from
    ``$starts[s]`` to ``$starts[s + 1]``: ``$ends`` holds the places of their targets,
    ``$columns`` the values of their properties in declared order.
    """
    declared = edge_type(*key).properties
    values = ", ".join(f"{item.name}: {_value(item, i)}" for i, item in enumerate(declared))
    return (
        f"{_ends(key)} CREATE (a)-[:{key[1]}{f' {{{values}}}' if values else ''}]->(b) "
        "RETURN count(*) AS n"
    )


def delete_edges(key: EdgeKey) -> str:
    """Return what deletes edges by ends and identity, as :func:`create_edges` takes them."""
    return f"{_found(key)} DELETE r RETURN count(*) AS n"


def set_edges(key: EdgeKey, name: str) -> str:
    """Return what sets one property of edges, given as :func:`create_edges` takes them."""
    place = [item.name for item in edge_type(*key).properties].index(name)
    return f"{_found(key)} SET r.{name} = $columns[{place}][i] RETURN count(*) AS n"


def set_nodes(label: str, name: str) -> str:
    """Return what sets one property of nodes."""
    return f"UNWIND $rows AS row MATCH (n:{label} {{key: row.key}}) SET n.{name} = row.value"


def of_dataset() -> dict[str, str]:
    """Return what counts the rows of a data set, by table; shared nodes are not among them."""
    texts = {"Dataset": "MATCH (n:Dataset {key: $dataset}) RETURN count(n) AS n"}
    for node in NODES:
        if node.owned:
            texts[node.label] = f"MATCH (n:{node.label} {{dataset: $dataset}}) RETURN count(n) AS n"
    for key in edge_tables():
        source, type_, target = key
        start, edge, end = f"a:{source}", f"r:{type_}", f"b:{target}"
        if edge_type(*key).claim:
            edge += " {dataset: $dataset}"
        elif source == "Dataset":
            start += " {key: $dataset}"
        elif node_type(source).owned:
            start += " {dataset: $dataset}"
        else:
            end += " {dataset: $dataset}"
        texts["-".join(key)] = f"MATCH ({start})-[{edge}]->({end}) RETURN count(r) AS n"
    return texts


def count_keys(label: str) -> str:
    """Return what counts the nodes of given keys."""
    return f"UNWIND $keys AS key MATCH (n:{label} {{key: key}}) RETURN count(n) AS n"


def counts() -> dict[str, str]:
    """Return what counts the rows of every table; a node without a key is nobody of ours."""
    nodes = {
        node.label: f"MATCH (n:{node.label}) WHERE n.key IS NOT NULL RETURN count(n) AS n"
        for node in NODES
    }
    edges = {
        f"{source}-{type_}-{target}": f"MATCH (:{source})-[r:{type_}]->(:{target}) "
        "RETURN count(r) AS n"
        for source, type_, target in edge_tables()
    }
    return nodes | edges


def totals() -> dict[str, tuple[str, list[str]]]:
    """Return what counts from the counters of the server, and the tables each one adds up."""
    found: dict[str, tuple[str, list[str]]] = {
        f"({node.label})": (f"MATCH (n:{node.label}) RETURN count(n) AS n", [node.label])
        for node in NODES
    }
    for source, type_, target in edge_tables():
        text = f"MATCH (:{source})-[r:{type_}]->() RETURN count(r) AS n"
        tables = found.setdefault(f"({source})-[{type_}]", (text, []))[1]
        tables.append(f"{source}-{type_}-{target}")
    return found


def _ends(key: EdgeKey) -> str:
    # A node that is not there would shift the places of the others.
    return (
        f"CYPHER replan=skip UNWIND $sources AS key MATCH (n:{key[0]} {{key: key}}) "
        "WITH collect(n) AS sources WHERE size(sources) = size($sources) "
        f"UNWIND $targets AS key MATCH (n:{key[2]} {{key: key}}) "
        "WITH sources, collect(n) AS targets WHERE size(targets) = size($targets) "
        "UNWIND range(0, size(sources) - 1) AS s WITH targets, s, sources[s] AS a "
        "UNWIND range($starts[s], $starts[s + 1] - 1) AS i WITH a, i, targets[$ends[i]] AS b"
    )


def _found(key: EdgeKey) -> str:
    identity = ", ".join(
        f"{item.name}: {_value(item, i)}"
        for i, item in enumerate(edge_type(*key).properties)
        if item.name in edge_type(*key).identity
    )
    return f"{_ends(key)} MATCH (a)-[r:{key[1]}{f' {{{identity}}}' if identity else ''}]->(b)"


def _value(item: Property, place: int) -> str:
    column = f"$columns[{place}]"
    return f"{column}[0][{column}[1][i]]" if item.kind == "string" else f"{column}[i]"


def _claim_types() -> list[str]:
    return list(dict.fromkeys(key[1] for key in edge_tables() if edge_type(*key).claim))


def _batched(name: str, verb: str) -> str:
    return f"CALL ({name}) {{ {verb} {name} }} IN TRANSACTIONS OF 5000 ROWS"
