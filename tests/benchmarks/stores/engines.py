"""What the stores are measured against: the engines' own bulk path, and the usual loaders."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.stores import jvm

CHUNK = 100_000


def arrow_tables(graph: Graph) -> tuple[dict[str, pa.Table], dict[EdgeKey, pa.Table]]:
    """Return a graph as Arrow tables: what the engine's bulk path starts from."""
    nodes = {
        label: pa.Table.from_pandas(frame, preserve_index=False)
        for label, frame in graph.nodes.items()
    }
    edges = {
        key: pa.Table.from_pandas(frame, preserve_index=False) for key, frame in graph.edges.items()
    }
    return nodes, edges


def load_by_engine(
    folder: Path, nodes: dict[str, pa.Table], edges: dict[EdgeKey, pa.Table]
) -> float:
    """Load tables by the graph batch of ArcadeDB and nothing else; return the seconds it took."""
    from arcadedb_embedded.results import _bridge_class

    started = time.perf_counter()
    database = jvm.create_database(folder)
    engine = database.engine
    script = [f"CREATE VERTEX TYPE `{label}`" for label in nodes]
    script += [f"CREATE PROPERTY `{label}`.`key` STRING" for label in nodes]
    script += [f"CREATE INDEX ON `{label}` (`key`) UNIQUE" for label in nodes]
    script += [f"CREATE EDGE TYPE `{type_}`" for type_ in dict.fromkeys(key[1] for key in edges)]
    engine.command("sqlscript", ";\n".join([*script, ""]))
    bridge = _bridge_class("EdgeBatcher")
    with engine.graph_batch(
        batch_size=200_000,
        max_deferred_incoming_edges=2_000_000,
        use_wal=False,
        parallel_flush=True,
    ) as batch:
        ids: dict[str, pa.Array] = {}
        for label, table in nodes.items():
            made: list[str] = []
            for part in table.to_batches(max_chunksize=CHUNK):
                made += batch.create_vertices(label, part.to_pylist())
            ids[label] = pa.array(made)
        for key, table in edges.items():
            for part in table.to_batches(max_chunksize=CHUNK):
                columns = {"_src": ids[key[0]].take(part["source"])}
                columns |= {"_dst": ids[key[2]].take(part["target"])}
                names = [name for name in part.schema.names if name not in ("source", "target")]
                columns |= {name: part[name] for name in names}
                bridge.newEdgesJson(batch._java_graph_batch, key[1], _json(columns))
    database.close()
    return time.perf_counter() - started


def _json(columns: dict[str, Any]) -> str:
    def large(text: str) -> Any:
        return pa.scalar(text, pa.large_string())

    members = []
    for name, values in columns.items():
        if pa.types.is_null(values.type):
            continue
        # Nothing in these tables needs escaping.
        quote = '"' if pa.types.is_string(values.type) else ""
        text = pc.cast(values, pa.large_string())
        before, after = large(f"{json.dumps(name)}:{quote}"), large(quote)
        members.append(pc.binary_join_element_wise(before, text, after, large("")))
    rows = pc.binary_join_element_wise(*members, large(","))
    return f"[{{{'},{'.join(rows.to_pylist())}}}]"


def load_by_maps(driver: Any, graph: Graph, *, size: int = 10_000) -> tuple[float, float]:
    """Load a graph as careful loaders do: constraints, then MERGE of batches of maps.

    Returns
    -------
    whole, edges
        Seconds taken by all of it, and by the edges.
    """
    begun = time.perf_counter()
    for label, frame in graph.nodes.items():
        driver.execute_query(
            f"CREATE CONSTRAINT peer_{label} IF NOT EXISTS FOR (n:{label}) REQUIRE n.key IS UNIQUE"
        )
        rows = _records(frame)
        text = f"UNWIND $rows AS row MERGE (n:{label} {{key: row.key}}) SET n += row"
        for start in range(0, len(rows), size):
            driver.execute_query(text, rows=rows[start : start + size])
    seconds = 0.0
    for key in graph.edges:
        rows = _records(graph.with_keys(key))
        started = time.perf_counter()
        for start in range(0, len(rows), size):
            driver.execute_query(
                _merge(key, [name for name in rows[0] if name not in ("source", "target")]),
                rows=rows[start : start + size],
            )
        seconds += time.perf_counter() - started
    return time.perf_counter() - begun, seconds


def load_by_statements(driver: Any, graph: Graph, key: EdgeKey, *, n: int) -> float:
    """Write ``n`` edges by one statement each; return the seconds it took."""
    rows = _records(graph.with_keys(key).head(n))
    text = _merge(key, [name for name in rows[0] if name not in ("source", "target")])
    started = time.perf_counter()
    for row in rows:
        driver.execute_query(text, rows=[row])
    return time.perf_counter() - started


def _merge(key: EdgeKey, names: list[str]) -> str:
    source, type_, target = key
    values = ", ".join(f"r.`{name}` = row.`{name}`" for name in names)
    return (
        f"UNWIND $rows AS row MATCH (a:{source} {{key: row.source}}) "
        f"MATCH (b:{target} {{key: row.target}}) MERGE (a)-[r:{type_}]->(b)"
        f"{' SET ' + values if names else ''}"
    )


def _records(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_dict("records")
    return [{name: value for name, value in row.items() if value is not None} for row in rows]
