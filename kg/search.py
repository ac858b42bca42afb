"""Search indexes of a graph, declared once as data, and what creates them in each engine.

The shipped queries (``similar_genes``, ``find_gene_sets``, ...) compute exact answers and need no
index. The indexes are for people's own Cypher, with the same two procedures in both engines::

    CALL db.index.vector.queryNodes('gene_embedding', 10, $vector) YIELD node, score
    CALL db.index.fulltext.queryNodes('gene_set_text', 'interferon') YIELD node, score

Names of labels, properties and indexes come from here alone, never from a user.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Read = Callable[[str], Iterable[dict[str, Any]]]
"""Runs one reading statement of Cypher and returns its rows."""

Run = Callable[[str], object]
"""Runs one statement that changes the schema: SQL of ArcadeDB, Cypher of Neo4j."""


@dataclass(frozen=True)
class VectorIndex:
    """An approximate index of one vector property by cosine; scores are (1 + cosine) / 2."""

    name: str
    label: str
    property: str


@dataclass(frozen=True)
class TextIndex:
    """A full-text index of text properties in Lucene's syntax and scores."""

    name: str
    label: str
    properties: tuple[str, ...]


VECTOR_INDEXES = (
    VectorIndex("gene_embedding", "Gene", "embedding"),
    VectorIndex("code_vector", "Code", "vector"),
    VectorIndex("state_embedding", "State", "embedding"),
)

# Two properties each: ArcadeDB allows one index a set of properties, and a symbol has one already.
TEXT_INDEXES = (
    TextIndex("gene_text", "Gene", ("symbol", "ensembl_id")),
    TextIndex("gene_set_text", "GeneSet", ("name", "source")),
)

INDEX_NAMES = tuple(index.name for index in (*VECTOR_INDEXES, *TEXT_INDEXES))
"""Names of all search indexes."""


def index_embedded(read: Read, run: Run, *, most_vectors: int | None = None) -> list[str]:
    """Create the indexes in a database of ArcadeDB that holds its data already.

    Parameters
    ----------
    read
        Runs Cypher.
    run
        Runs SQL, on a database open for writing.
    most_vectors
        Vector indexes of more vectors than this are left out, for building them takes long;
        ``None`` builds all.

    Returns
    -------
    list of str
        What was left out, one sentence each.
    """
    notes: list[str] = []
    for index in VECTOR_INDEXES:
        size, found = _dimension(read, index, notes)
        if size is None:
            continue
        if most_vectors is not None and found > most_vectors:
            notes.append(
                f"The index {index.name} was left out: {found} vectors, over {most_vectors}."
            )
            continue
        # Narrower than the default: sooner built, at some recall. Ask for more than you need.
        run(
            f"CREATE INDEX {index.name} IF NOT EXISTS ON {index.label} ({index.property}) "
            f"LSM_VECTOR METADATA {{dimensions: {size}, similarity: 'COSINE', "
            "quantization: 'INT8', maxConnections: 16, beamWidth: 40}"
        )
    for text in TEXT_INDEXES:
        run(
            f"CREATE INDEX {text.name} IF NOT EXISTS ON {text.label} "
            f"({', '.join(text.properties)}) FULL_TEXT"
        )
    return notes


def index_neo4j(read: Read, run: Run) -> list[str]:
    """Create the indexes in a database of Neo4j after a load; the server fills them by itself.

    A vector index of another size than most stored vectors now have is made anew. Wait with
    ``CALL db.awaitIndexes`` where the next query must see them filled.

    Parameters
    ----------
    read, run
        Run one statement of Cypher, the second with leave to change the schema.

    Returns
    -------
    list of str
        What was left out, one sentence each.
    """
    notes: list[str] = []
    sizes = {
        row["name"]: row["options"]["indexConfig"].get("vector.dimensions")
        for row in read("SHOW VECTOR INDEXES YIELD name, options")
    }
    for index in VECTOR_INDEXES:
        size, _ = _dimension(read, index, notes)
        if size is None:
            continue
        if sizes.get(index.name, size) != size:
            run(f"DROP INDEX {index.name} IF EXISTS")
        run(
            f"CREATE VECTOR INDEX {index.name} IF NOT EXISTS "
            f"FOR (n:{index.label}) ON (n.{index.property}) OPTIONS {{indexConfig: "
            f"{{`vector.dimensions`: {size}, `vector.similarity_function`: 'cosine', "
            # Its short numbers swap neighbours and give a vector less than 1 with itself.
            "`vector.quantization.enabled`: false}}"
        )
    for text in TEXT_INDEXES:
        properties = ", ".join(f"n.{name}" for name in text.properties)
        run(
            f"CREATE FULLTEXT INDEX {text.name} IF NOT EXISTS "
            f"FOR (n:{text.label}) ON EACH [{properties}]"
        )
    return notes


def _dimension(read: Read, index: VectorIndex, notes: list[str]) -> tuple[int | None, int]:
    """Return the size that most vectors have, the smaller of two, and how many vectors there are.

    Other sizes are said in ``notes``: an index holds vectors of one size.
    """
    rows = list(
        read(
            f"MATCH (n:{index.label}) WHERE n.{index.property} IS NOT NULL "
            f"RETURN size(n.{index.property}) AS size, count(*) AS n ORDER BY n DESC, size"
        )
    )
    if not rows:
        return None, 0
    if len(rows) > 1:
        others = ", ".join(f"{row['n']} of size {row['size']}" for row in rows[1:])
        notes.append(
            f"The index {index.name} holds vectors of size {rows[0]['size']}; {others} are "
            "not in it: they come from another encoder."
        )
    return int(rows[0]["size"]), sum(int(row["n"]) for row in rows)
