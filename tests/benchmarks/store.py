"""The stores: loads, incremental loads and canned queries on a generated graph of 7 M edges.

Embedded: the whole write (hash, archive, load, proof) against the engine's own bulk path from
Arrow tables that are ready. Neo4j over Bolt: a tenth of that graph against UNWIND of maps with
MERGE in batches of 10,000, and against one statement an edge, each on a server that has loaded
another graph before; as import files for ``neo4j-admin`` against the rate of the former. Queries:
the 95th percentile of 20 warm runs beside Neo4j, which holds the same graph. Every load runs in a
process of its own.

    python tests/benchmarks/store.py [--data DIR] [--quick] [--json] [--parts embedded,bolt,import]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rows import Row, less, row, show
from stores.generated import generate

from scypher.kg.graph import Graph
from scypher.kg.queries import run_query
from scypher.kg.stores import Store, open_store

sys.path.insert(0, str(Path(__file__).parents[1]))  # for neo4j_server

N_GENES = 20_000
MARKER = "the first marker of S0"
HOPS: dict[str, dict[str, Any]] = {
    "markers": {"group": "made:S0"},
    "marker_evidence": {"group": "made:S0", "gene": MARKER},
    "states_marked_by": {"gene": MARKER},
    "genes_of_module": {"module": "made:M1"},
    "modules_of_gene": {"gene": "G1"},
    "state_neighbours": {"state": "made:S1"},
    "state_enrichment": {"group": "made:S0"},
    "states": {"dataset": "made"},
    "cell": {"cell": "made:c5"},
}
AGGREGATES: dict[str, dict[str, Any]] = {"state_composition": {"state": "made:S0"}}
UNWIND = "UNWIND of maps, MERGE, 10,000 a batch"
HOP_GOAL, AGGREGATE_GOAL, MEMORY_GOAL = 100.0, 500.0, 3.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The stores: loads and queries.")
    parser.add_argument("--data", type=Path, help="not needed: the graph is generated")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the cells")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    parser.add_argument("--parts", default="embedded,bolt,import", help="which to run")
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        how, n_cells, folder = arguments.load
        sys.stdout.write(json.dumps(load_once(how, int(n_cells), Path(folder))))
        return
    n_cells = 5_000 if arguments.quick else 100_000
    wanted = arguments.parts.split(",")
    rows: list[Row] = []
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if "embedded" in wanted:
            rows += embedded_rows(place, n_cells, found)
        if {"bolt", "import"} & set(wanted):
            small = generate(max(n_cells // 10, 1000), N_GENES)
            usual = usual_rates(place, small)
            if "bolt" in wanted:
                rows += bolt_rows(place, small, usual)
            if "import" in wanted:
                rows += import_rows(place, n_cells, usual["edges"], found)
    show(rows, as_json=arguments.json)


def load_once(how: str, n_cells: int, folder: Path) -> dict[str, float]:
    """Generate a graph and load it; return seconds and the peak memory of the process."""
    graph = generate(n_cells, N_GENES)
    edges = _edges(graph)
    if how == "engine":
        from stores.engines import arrow_tables, load_by_engine

        nodes, tables = arrow_tables(graph)
        del graph
        seconds = load_by_engine(folder / "engine", nodes, tables)
        return {"seconds": seconds, "edges": edges, "peak": _peak()}
    with open_store(folder / "made.kg", mode="w") as store:
        seconds = store.write(graph).seconds
        del graph
        added = generate(max(n_cells // 30, 100), N_GENES, seed=1, name="more")
        more = store.write(added).seconds
        removed = _seconds(lambda: store.remove("more"))
    return {
        **{"seconds": seconds, "edges": edges, "peak": _peak()},
        **{"more": more, "removed": removed},
    }


def embedded_rows(place: Path, n_cells: int, found: dict[str, float]) -> list[Row]:
    """Compare the write of the embedded store with its engine, and time the canned queries.

    The time of every query is left in ``found``.
    """
    peer, ours = (_child(how, n_cells, place) for how in ("engine", "ours"))
    case = f"embedded, {n_cells:,} cells, {int(ours['edges']):,} edges"
    engine = "graph batch of ArcadeDB from Arrow"
    rows = [
        less(
            *(case, "first load"),
            unit="s",
            ours=ours["seconds"],
            peer=peer["seconds"],
            peer_name=engine,
        ),
        *(
            less(case, "peak memory", unit="GB", ours=ours["peak"], peer=other, peer_name=name)
            for other, name in ((peer["peak"], engine), (MEMORY_GOAL, "goal"))
        ),
        less(
            *(case, "a thirtieth of the cells added"),
            unit="s",
            ours=ours["more"],
            peer=ours["seconds"],
            peer_name="first load",
        ),
        less(
            *(case, "the same removed"),
            unit="s",
            ours=ours["removed"],
            peer=ours["seconds"],
            peer_name="first load",
        ),
    ]
    with open_store(place / "made.kg") as store:
        for name, parameters in (HOPS | AGGREGATES).items():
            found[name] = percentile(store, name, parameters)
    goals = dict.fromkeys(HOPS, HOP_GOAL) | dict.fromkeys(AGGREGATES, AGGREGATE_GOAL)
    return rows + [
        less(
            *(case, f"query {name}, p95"),
            unit="ms",
            ours=milliseconds,
            peer=goals[name],
            peer_name="goal",
        )
        for name, milliseconds in found.items()
    ]


def percentile(store: Store, name: str, parameters: dict[str, Any], runs: int = 20) -> float:
    """Return the 95th percentile of warm runs in milliseconds."""
    if parameters.get("gene") == MARKER:
        first = run_query(store, "markers", group="made:S0", limit=1)["symbol"].iloc[0]
        parameters = parameters | {"gene": first}
    for _ in range(runs):
        found = run_query(store, name, **parameters)
    if not len(found):
        message = f"the query {name} found nothing; the benchmark asks for what there is"
        raise RuntimeError(message)
    times = [_seconds(lambda: run_query(store, name, **parameters)) for _ in range(runs)]
    return float(np.percentile(times, 95)) * 1e3


def usual_rates(place: Path, graph: Graph) -> dict[str, float]:
    """Return the edges per second of the usual loaders, on a server that is warm."""
    import neo4j
    from neo4j_server.server import running_server
    from stores.engines import load_by_maps, load_by_statements

    n = 1000
    with running_server(place / "usual") as server:
        login = (server.user, server.password)
        with neo4j.GraphDatabase.driver(server.address, auth=login) as driver:
            load_by_maps(driver, _warming())
            whole, edges = load_by_maps(driver, graph)
            one = load_by_statements(driver, graph, ("Cell", "EXPRESSES", "Gene"), n=n)
    return {"whole": _edges(graph) / whole, "edges": _edges(graph) / edges, "one": n / one}


def bolt_rows(place: Path, graph: Graph, usual: dict[str, float]) -> list[Row]:
    """Compare the edges per second of our write over Bolt with the usual loaders."""
    from neo4j_server.server import running_server

    case = f"Neo4j over Bolt, {len(graph.nodes['Cell']):,} cells, {_edges(graph):,} edges"
    with (
        running_server(place / "ours") as server,
        open_store(server.address, mode="w", user=server.user, password=server.password) as store,
        _time_of_edges() as spent,
    ):
        store.write(_warming())
        spent.clear()
        whole = _edges(graph) / store.write(graph).seconds
        edges = _edges(graph) / sum(spent)
        added = generate(max(len(graph.nodes["Cell"]) // 30, 100), N_GENES, seed=1, name="more")
        more = store.write(added).seconds
        again = store.write(added).seconds
    return [
        *(
            row(
                *(case, "edges alone"), unit="edges/s", ours=edges, peer=usual[peer], peer_name=name
            )
            for peer, name in (("edges", f"{UNWIND}, edges alone"), ("one", "a statement an edge"))
        ),
        row(
            *(case, "whole write"),
            unit="edges/s",
            ours=whole,
            peer=usual["whole"],
            peer_name=f"{UNWIND}, with nodes",
        ),
        row(
            *(case, f"{_edges(added):,} edges added, whole write"),
            unit="edges/s",
            ours=_edges(added) / more,
            peer=usual["whole"],
            peer_name=f"{UNWIND}, with nodes",
        ),
        less(
            *(case, "the same written again"),
            unit="s",
            ours=again,
            peer=more,
            peer_name="adding them",
        ),
    ]


def _warming() -> Graph:
    """Return a graph that a server loads first: its compiler is then done with either loader."""
    return generate(2_000, N_GENES, seed=2, name="warming")


@contextmanager
def _time_of_edges() -> Iterator[list[float]]:
    """Collect the seconds in which a store of Neo4j sends edges."""
    from scypher.kg.stores.neo4j_apply import Writer

    send, spent = Writer.send_edges, list[float]()

    def timed(*arguments: Any) -> None:
        spent.append(_seconds(lambda: send(*arguments)))

    with patch.object(Writer, "send_edges", timed):
        yield spent


def import_rows(place: Path, n_cells: int, usual: float, found: dict[str, float]) -> list[Row]:
    """Time the bulk import into Neo4j, and its canned queries beside the embedded ones."""
    from neo4j_server.server import new_home

    from scypher.kg.stores.neo4j import Neo4jStore
    from scypher.kg.stores.neo4j_import import run_import, write_import_files

    graph = generate(n_cells, N_GENES)
    case = f"Neo4j by import files, {n_cells:,} cells, {_edges(graph):,} edges"
    home = new_home(place / "import")
    started = time.perf_counter()
    files = write_import_files(graph, place / "files")
    written = time.perf_counter() - started
    run_import(files, home.path, overwrite=True)
    seconds = time.perf_counter() - started
    rows = [
        row(
            *(case, "written and imported"),
            unit="edges/s",
            ours=_edges(graph) / seconds,
            peer=usual,
            peer_name=f"{UNWIND}, edges alone",
        ),
        less(case, "files", unit="s", ours=written, peer=seconds, peer_name="files and import"),
    ]
    with (
        home.started(heap="2g") as server,
        open_store(server.address, mode="w", user=server.user, password=server.password) as store,
    ):
        assert isinstance(store, Neo4jStore)
        adopted = _seconds(lambda: store.adopt(graph))
        rows.append(
            less(
                *(case, "adopted: indexes, archive, proof"),
                unit="s",
                ours=adopted,
                peer=seconds,
                peer_name="files and import",
            )
        )
        for name, milliseconds in found.items():
            rows.append(
                less(
                    *(case, f"query {name}, p95, embedded"),
                    unit="ms",
                    ours=milliseconds,
                    peer=percentile(store, name, (HOPS | AGGREGATES)[name]),
                    peer_name="Neo4j",
                )
            )
    return rows


def _edges(graph: Graph) -> int:
    return sum(len(frame) for frame in graph.edges.values())


def _child(how: str, n_cells: int, place: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--load", how, str(n_cells), str(place)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _peak() -> float:
    """Return the peak memory of this process in GB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
