"""Writers of a Neo4j graph that are killed, cut off, or meet each other."""

import multiprocessing
import random
import threading
import time
from typing import Any

import pytest
from neo4j_child import login, reading, small_graph, write
from neo4j_content import connected, expected, stored
from neo4j_server.server import Server
from opener import opened

from scypher.encoders.errors import StoreBusyError, StoreError, StoreUnavailableError
from scypher.kg.stores.neo4j import Neo4jStore
from scypher.kg.stores.neo4j_session import Connection

KILLS = 20


def test_a_writer_killed_at_any_moment(server: Server) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["neo4j_child"])
    beta = small_graph("beta", n_cells=20)
    rng = random.Random(20)
    with opened(server) as store:
        store.write(beta)
        # The first writes compile their statements.
        for seed in (100, 101, 102):
            started = time.monotonic()
            store.write(small_graph("alpha", seed=seed))
            duration = time.monotonic() - started
    before, broken = small_graph("alpha", seed=102), 0
    for seed in range(3 * KILLS):
        # A busy machine may end writes before their kill, or begin them after it.
        if seed >= KILLS and broken >= KILLS // 4:
            break
        theirs, ours = context.Pipe()
        child = context.Process(target=write, args=(login(server), theirs, seed))
        child.start()
        assert ours.recv() == "writing"
        time.sleep(rng.uniform(0, duration))
        child.kill()
        child.join()
        after = small_graph("alpha", seed=seed)
        with opened(server) as store:
            if store.datasets()["complete"].all():
                # Old or new, all of it.
                assert stored(server) in [expected(g.merge(beta)) for g in (before, after)]
            else:
                broken += 1
                with pytest.raises(StoreBusyError, match="broke off"):
                    store.query("MATCH (n:Cell) RETURN count(n) AS n")
            store.write(after)
            assert store.datasets()["complete"].all()
        assert stored(server) == expected(beta.merge(after))
        before = after
    assert broken >= KILLS // 4, "the kills missed the writes"
    with opened(server) as store:
        assert store.graph().content_hash() == beta.merge(after).content_hash()
        assert store.versions()["version"].tolist() == list(range(1, len(store.versions()) + 1))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_broken_connection(server: Server, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    from neo4j.exceptions import ServiceUnavailable

    sent = Connection.write
    calls, least = 0, 10_000

    def counted(self: Connection, text: str, **parameters: object) -> Any:
        nonlocal calls
        calls += 1
        if calls > least:
            with self.explained():
                message = "the connection is gone"
                raise ServiceUnavailable(message)
        return sent(self, text, **parameters)

    monkeypatch.setattr(Connection, "write", counted)
    beta, graph = small_graph("beta", n_cells=5), small_graph("alpha")
    with opened(server) as store:
        store.write(beta)
        calls = 0
        store.write(small_graph("alpha", seed=1))
        least, calls = int(share * calls), 0
        monkeypatch.setattr(Connection, "write", sent)
        store.remove("alpha")
        monkeypatch.setattr(Connection, "write", counted)
        with pytest.raises(StoreUnavailableError, match="connection"):
            store.write(graph)
        least = 10_000
        assert store.remove("beta")
        store.write(graph)
    assert stored(server) == expected(graph)


def test_a_lock_that_is_lost_ends_the_write(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scypher.kg.stores import neo4j_session

    monkeypatch.setattr(neo4j_session, "_HEARTBEAT_SECONDS", 0.0)
    graph = small_graph("alpha")
    with opened(server) as store, opened(server) as other:
        assert isinstance(store, Neo4jStore)
        with store._writing():
            assert store._now is not None
            store._now.alive()
            with connected(server) as session:
                held = "SHOW TRANSACTIONS YIELD transactionId, metaData WHERE metaData.holder <> ''"
                found = [row["transactionId"] for row in session.run(held)]
                assert len(found) == 1
                session.run("TERMINATE TRANSACTIONS $found", found=found).consume()
            other.write(graph)
            with pytest.raises(StoreError):
                store._now.alive()
    assert stored(server) == expected(graph)


def test_one_writer_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Neo4jStore, "lock_seconds", 0.5)
    graph = small_graph("alpha", n_cells=5)
    with opened(server) as store, opened(server) as other:
        store.write(graph)
        assert isinstance(store, Neo4jStore)
        with store._writing():
            started = time.monotonic()
            with pytest.raises(StoreBusyError, match="one writer at a time"):
                other.write(small_graph("beta", n_cells=5))
            assert 0.4 < time.monotonic() - started < 20
            # Readers are not kept out by a lock.
            assert other.counts() == graph.counts()
        assert other.write(small_graph("beta", n_cells=5)).changed


def test_two_first_writers(server: Server) -> None:
    with connected(server) as session:
        for row in session.run(
            "SHOW CONSTRAINTS YIELD name WHERE name STARTS WITH 'scypher'"
        ).data():
            session.run(f"DROP CONSTRAINT {row['name']}").consume()
    graphs = [small_graph(name, n_cells=5) for name in ("alpha", "beta")]
    failed: list[BaseException] = []

    def writing(number: int) -> None:
        try:
            with opened(server) as store:
                store.write(graphs[number])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=writing, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert stored(server) in [expected(a.merge(b)) for a, b in (graphs, graphs[::-1])]


def test_readers_during_writes(server: Server) -> None:
    """Four threads here and a process beside see whole versions, or that a write is going on."""
    versions = [small_graph("alpha", seed=seed, n_cells=20 + 5 * seed) for seed in range(4)]
    text = (
        "MATCH (c:Cell) WITH count(c) AS cells MATCH (:Cell)-[r:EXPRESSES]->(:Gene) "
        "RETURN cells, count(r) AS edges, sum(r.value) AS total"
    )
    key = ("Cell", "EXPRESSES", "Gene")
    whole = {
        (len(g.nodes["Cell"]), len(g.edges[key]), round(float(g.edges[key]["value"].sum()), 6))
        for g in versions
    }
    seen: list[tuple[int, int, float]] = []
    problems: list[BaseException] = []
    busy = 0
    ended = threading.Event()

    def read() -> None:
        nonlocal busy
        with opened(server, "r") as store:
            while not ended.is_set():
                try:
                    row = store.query(text).iloc[0]
                    seen.append((int(row["cells"]), int(row["edges"]), round(row["total"], 6)))
                except StoreBusyError:
                    busy += 1
                except BaseException as error:
                    problems.append(error)
                    return

    context = multiprocessing.get_context("forkserver")
    with opened(server) as store:
        store.write(versions[0])
        theirs, ours = context.Pipe()
        child = context.Process(target=reading, args=(login(server), theirs, text))
        child.start()
        assert ours.recv() == "reading"
        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for graph in versions[1:]:
            store.write(graph)
            time.sleep(0.2)
        ended.set()
        for reader in readers:
            reader.join()
        ours.send("end")
        beside, met = ours.recv()
        child.join()
    assert not problems
    assert seen
    assert beside
    assert busy + met
    assert set(seen) | {(int(c), int(e), round(t, 6)) for c, e, t in beside} <= whole
    assert len(set(seen)) > 1
