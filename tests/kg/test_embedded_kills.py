"""Kills and a full disk in the middle of a write: the old graph or the new one, never a half."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from contents import contents
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.stores import Store, open_store

ROUNDS = {0.1: 20, 9.0: 6}
"""Kills by share of rows up to which a database is changed: none, hence loaded; all."""


def started(path: Path, *, share: float = 0.1, before: str = "") -> "subprocess.Popen[str]":
    """Start a process that is ready to write beta into the graph, once it reads a line."""
    code = f"""
        import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from toy import toy_graph
        from scypher.kg.stores import databases, embedded, jvm, open_store
        databases.LARGEST_CHANGE = {share}
        jvm.start()
        graph = toy_graph("beta")
        store = open_store({str(path)!r}, mode="w")
        print("ready", flush=True)
        sys.stdin.readline()
    """
    code = textwrap.dedent(code) + textwrap.dedent(before)
    code += "\nstart = time.monotonic()\nstore.write(graph)\nprint(time.monotonic() - start)\n"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready(process: "subprocess.Popen[str]") -> None:
    """Wait until the process has loaded everything, and let it write."""
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()


@cache
def toys(*names: str) -> tuple[dict[str, int], str]:
    """Return counts and hash of the toys together."""
    graph = toy_graph(names[0])
    for name in names[1:]:
        graph = graph.merge(toy_graph(name))
    return graph.counts(), graph.content_hash()


def holds(store: Store, *graphs: str) -> None:
    """Assert that the database, the tables and the ledger hold these toys, exactly."""
    counts, hash_ = toys(*graphs)
    found = contents(store)
    assert found.counts() == counts
    assert found.content_hash() == store.graph().content_hash() == hash_
    assert store.versions()["datasets"].tolist()[-1] == sorted(graphs)


@pytest.mark.parametrize("share", ROUNDS, ids=["load", "change"])
def test_kills_at_random_moments(alpha: Path, tmp_path: Path, share: float) -> None:
    shutil.copytree(alpha, tmp_path / "whole.kg")
    with started(tmp_path / "whole.kg", share=share) as process:
        ready(process)
        duration = float(process.communicate()[0])
    rounds = ROUNDS[share]
    moments = np.random.default_rng(20).uniform(0, duration, rounds)
    paths = [Path(shutil.copytree(alpha, tmp_path / f"{i}.kg")) for i in range(rounds)]
    following = started(paths[0], share=share)
    killed = 0
    for i, moment in enumerate(moments):
        with following as process:
            ready(process)
            time.sleep(moment)
            process.kill()
            process.wait()
        killed += process.returncode == -signal.SIGKILL
        if i + 1 < rounds:
            following = started(paths[i + 1], share=share)
        with open_store(paths[i]) as store:
            cells = store.query("MATCH (c:Cell) RETURN count(c) AS n")["n"][0]
            done = len(store.versions()) == 2
            assert cells == (48 if done else 24)
        with open_store(paths[i], mode="w") as store:
            assert store.write(toy_graph("beta")).changed == (not done)
            holds(store, "alpha", "beta")
        names = sorted(item.name for item in paths[i].iterdir())
        assert len(names) == 4
        assert len(list((paths[i] / "pieces").iterdir())) == 2
    # Were most of them over before the kill, nothing would be shown.
    assert killed >= rounds // 2


@pytest.mark.parametrize("moment", ["databases.sync_folder", "embedded.write_manifest"])
def test_a_kill_at_the_switch(alpha: Path, tmp_path: Path, moment: str) -> None:
    path = Path(shutil.copytree(alpha, tmp_path / "a.kg"))
    kill = f"import os\n{moment} = lambda *_: os.kill(os.getpid(), 9)"
    with started(path, before=kill) as process:
        ready(process)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    # The new database is whole, and still not the graph.
    assert len([item for item in path.glob("db-*") if item.suffix != ".building"]) == 2
    with open_store(path) as store:
        holds(store, "alpha")
    with open_store(path, mode="w") as store:
        assert store.write(toy_graph("beta")).changed
        holds(store, "alpha", "beta")
    assert len(list(path.glob("db-*"))) == 1


def test_a_kill_of_the_first_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.kg"
    kill = "import os\nembedded.write_manifest = lambda *_: os.kill(os.getpid(), 9)"
    with started(path, before=kill) as process:
        ready(process)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not path.exists()
    with pytest.raises(InputError, match="no graph"):
        open_store(path)
    with open_store(path, mode="w") as store:
        assert store.write(toy_graph("gamma")).changed
        holds(store, "gamma")
    assert [item.name for item in tmp_path.iterdir()] == ["a.kg"]


@pytest.mark.parametrize(("share", "limit"), [(0.1, 300_000), (9.0, 200_000), (0.1, 20_000)])
def test_a_full_disk_leaves_the_old_graph(
    alpha: Path, tmp_path: Path, share: float, limit: int
) -> None:
    path = Path(shutil.copytree(alpha, tmp_path / "a.kg"))
    before = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        from scypher.encoders.errors import StoreError
        try:
            store.write(graph)
        except StoreError as error:
            print(error)
            print(len(store.query("MATCH (c:Cell) RETURN c.key AS key")))
            sys.exit()
    """
    with started(path, share=share, before=before) as process:
        ready(process)
        message, errors = process.communicate()
    assert errors == ""
    assert process.returncode == 0
    assert "could not be written" in message
    assert "The old graph stands" in message
    assert message.endswith("\n24\n")
    assert len(list(path.iterdir())) == 4
    with open_store(path, mode="w") as store:
        holds(store, "alpha")
        assert store.write(toy_graph("beta")).changed
        holds(store, "alpha", "beta")


def test_a_disk_full_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scypher.kg.stores.databases.sync_tree", full)
    with (
        open_store(tmp_path / "a.kg", mode="w") as store,
        pytest.raises(StoreError, match=r"No space left.*Nothing was written"),
    ):
        store.write(toy_graph())
    assert list(tmp_path.iterdir()) == []
