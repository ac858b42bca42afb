"""What is particular to the embedded store: files, versions in them, readers, other processes."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from contents import contents
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreBusyError, StoreError
from scypher.kg.door import Budget
from scypher.kg.graph import Graph
from scypher.kg.stores import bulk, check_address, databases, jvm, open_store
from scypher.kg.stores.embedded import EmbeddedStore
from scypher.kg.stores.json_rows import json_rows
from scypher.kg.stores.jvm import heap_size
from scypher.kg.stores.past import open_past

CELLS = "MATCH (c:Cell) RETURN count(c) AS n"


@pytest.fixture
def path(alpha: Path, tmp_path: Path) -> Path:
    """A graph of the data set alpha."""
    return Path(shutil.copytree(alpha, tmp_path / "a.kg"))


def child(code: str, **options: object) -> "subprocess.Popen[str]":
    """Start a process that runs ``code``, with the toy graph at hand."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    start += "from toy import toy_graph\nfrom scypher.kg.stores import open_store\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


class TestFiles:
    """A folder on this machine."""

    def test_the_folder_holds_one_database_and_the_pieces(self, path: Path) -> None:
        with open_store(path, mode="w") as store:
            store.write(toy_graph("beta"))
            store.write(toy_graph("alpha", seed=1))
            assert len(list((path / "pieces").iterdir())) == 3
            store.keep(1)
            assert len(list((path / "pieces").iterdir())) == 2
            names = sorted(item.name for item in path.iterdir())
            assert names[0].startswith("db-000003-")
            assert names[1:] == ["lock", "manifest.json", "pieces"]
            with pytest.raises(InputError, match="forgotten"):
                store.graph(2)
        assert [item.name for item in path.parent.iterdir()] == ["a.kg"]

    def test_keeping_leaves_the_database(self, path: Path) -> None:
        with open_store(path, mode="w") as store:
            store.write(toy_graph("beta"))
            database = next(path.glob("db-*"))
            inode = database.stat().st_ino
            store.keep(1)
            assert next(path.glob("db-*")).stat().st_ino == inode
            assert store.versions()["readable"].tolist() == [False, True]

    def test_something_else_at_the_path(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("mine")
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "thesis.txt").write_text("mine")
        for path in (file, folder, file / "below"):
            with pytest.raises(InputError):
                check_address(path)
        for path in (file, folder):
            with pytest.raises(InputError):
                open_store(path)
        assert (folder / "thesis.txt").read_text() == "mine"
        empty = tmp_path / "empty"
        empty.mkdir()
        check_address(empty)
        with pytest.raises(InputError, match="scypher build"):
            open_store(empty)
        with open_store(empty, mode="w") as store:
            store.write(toy_graph())
        assert not list(tmp_path.glob("*.building"))

    def test_what_writes_nothing_makes_nothing(self, tmp_path: Path) -> None:
        check_address(tmp_path / "deep" / "new.kg")
        with open_store(tmp_path / "new.kg", mode="w") as store:
            assert len(store.versions()) == 0
            assert not store.remove("alpha")
            with pytest.raises(InputError, match="no graph"):
                store.query(CELLS)
        assert list(tmp_path.iterdir()) == []

    def test_a_graph_made_anew_at_the_path(self, path: Path) -> None:
        with open_store(path) as old:
            assert old.query(CELLS)["n"].tolist() == [24]
            shutil.rmtree(path)
            with open_store(path, mode="w") as new:
                new.write(toy_graph(n_cells=10))
                assert new.query(CELLS)["n"].tolist() == [10]
            assert old.query(CELLS)["n"].tolist() == [24]

    def test_nothing_is_left_in_the_working_directory(self, tmp_path: Path) -> None:
        code = f"""
            store = open_store("a.kg", mode="w")
            store.write(toy_graph())
            print(store.query({CELLS!r})["n"][0])
        """
        with child(code, cwd=tmp_path) as process:
            assert process.communicate() == ("24\n", "")
        assert process.returncode == 0
        assert [item.name for item in tmp_path.iterdir()] == ["a.kg"]


class TestChanges:
    """The database changed in place of a load must hold the same."""

    def test_a_change_equals_a_load(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(databases, "LARGEST_CHANGE", 9.0)
        monkeypatch.setattr(databases, "_union", None)
        renamed = toy_graph("beta", seed=4, n_cells=9)
        nodes = {label: frame.copy() for label, frame in renamed.nodes.items()}
        nodes["Gene"].loc[0, "symbol"] = "renamed"
        nodes["Gene"].at[1, "embedding"] = None
        nodes["Code"].at[0, "vector"] = [0.5, 0.25]
        edges = {key: frame for key, frame in renamed.edges.items() if key[2] != "GeneSet"}
        del nodes["GeneSet"]
        steps: list[Graph | str] = [
            toy_graph("beta", seed=3, n_cells=10),
            toy_graph("gamma", n_cells=13),
            Graph(nodes, edges),
            "alpha",
            "gamma",
            toy_graph("alpha", n_cells=5),
            "alpha",
        ]
        with open_store(path, mode="w") as store:
            for step in steps:
                done = store.remove(step) if isinstance(step, str) else store.write(step).changed
                assert done
                found, expected = contents(store), store.graph()
                assert found.counts() == expected.counts()
                assert found.content_hash() == expected.content_hash()
                times = store.query("MATCH (d:Dataset) RETURN d.key AS k, d.time AS t ORDER BY k")
                entries = store._ledger().entries
                assert dict(times.to_numpy()) == {e.dataset: e.time for e in entries}
            assert "GeneSet" not in store.counts()

    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM EXPRESSES LIMIT 1",
            "DELETE FROM Module LIMIT 1",
            "CREATE VERTEX Gene SET key = 'more'",
        ],
    )
    def test_the_proof_sees_what_is_missing(self, path: Path, damage: str) -> None:
        folder = next(path.glob("db-*"))
        with jvm.open_writable(folder) as database:
            bulk.verify(database.engine, toy_graph().counts())
            with database.engine.transaction():
                database.engine.command("sql", damage)
        with (
            jvm.open_read_only(folder) as database,
            pytest.raises(StoreError, match="were sent"),
        ):
            bulk.verify(database.engine, toy_graph().counts())

    def test_the_proof_sees_a_load_that_broke_off(self, tmp_path: Path) -> None:
        graph = toy_graph()
        with jvm.create_database(tmp_path / "db") as database:
            bulk.declare(database.engine)
            batch = bulk.batch(database.engine)
            ids = {
                label: bulk.create_nodes(batch, label, frame)
                for label, frame in graph.nodes.items()
            }
            for key, frame in graph.edges.items():
                bulk.create_edges(batch, key, frame, ids)
            batch.flush()
            # The nodes learn of their edges when the batch closes.
            with pytest.raises(StoreError, match="holds 0 where 10 were sent"):
                bulk.verify(database.engine, graph.counts())
            batch.close()
            bulk.verify(database.engine, graph.counts())

    def test_much_or_forgotten_is_loaded(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_: object) -> None:
            raise AssertionError

        with open_store(path, mode="w") as store:
            monkeypatch.setattr(databases, "Change", refused)
            store.write(toy_graph("beta"))
            # What was withdrawn must not stay in free parts of the files.
            monkeypatch.setattr(databases, "LARGEST_CHANGE", 9.0)
            store.remove("alpha", forget=True)
            assert contents(store).content_hash() == store.graph().content_hash()
        for file in path.rglob("*"):
            assert file.is_dir() or b"alpha:c1" not in file.read_bytes()


class TestDamage:
    """What cannot be read is refused, in words."""

    def test_manifest(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        path.mkdir()
        for text in ("{", "[]", '{"format": 1}', '{"format": 2}', '{"format": "x"}'):
            (path / "manifest.json").write_text(text)
            with pytest.raises(StoreError, match="damaged"):
                open_store(path)
        (path / "manifest.json").write_text('{"format": 99}')
        for mode in ("r", "w"):
            with pytest.raises(StoreError, match=r"newer Scypher.*Update"):
                open_store(path, mode=mode)  # type: ignore[arg-type]

    def test_newer_schema(self, path: Path) -> None:
        fields = json.loads((path / "manifest.json").read_text())
        fields["ledger"]["schema"] += 1
        (path / "manifest.json").write_text(json.dumps(fields))
        with pytest.raises(StoreError, match=r"schema .* newer Scypher"):
            open_store(path)

    @pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
    def test_piece(self, path: Path, damage: str) -> None:
        file = next(path.rglob("Cell-EXPRESSES-Gene.parquet"))
        data = bytearray(file.read_bytes())
        if damage == "gone":
            file.unlink()
        elif damage == "cut":
            file.write_bytes(data[: len(data) // 2])
        else:
            data[60] ^= 255
            file.write_bytes(data)
        with open_store(path, mode="w") as store:
            assert store.counts() == toy_graph().counts()
            with pytest.raises(StoreError, match=r"damaged or missing .* build it again"):
                store.graph()
            with pytest.raises(StoreError, match="damaged or missing"):
                store.write(toy_graph("beta"))
            assert store.counts() == toy_graph().counts()

    def test_database(self, path: Path) -> None:
        shutil.rmtree(next(path.glob("db-*")))
        with open_store(path) as store, pytest.raises(StoreError, match="cannot be opened"):
            store.counts()


class TestFormat1:
    """Graphs from before there were versions."""

    @pytest.fixture
    def old(self, path: Path) -> Path:
        """The graph of alpha and beta in format 1."""
        with open_store(path, mode="w") as store:
            store.write(toy_graph("beta"))
        both = toy_graph().merge(toy_graph("beta"))
        both.to_parquet(path / "g000002" / "tables")
        shutil.rmtree(path / "pieces")
        next(path.glob("db-*")).rename(path / "g000002" / "db")
        fields = {
            "format": 1,
            "generation": 2,
            "graph_hash": both.content_hash(),
            "counts": both.counts(),
            "times": {"alpha": "2026-01-01T00:00:00Z", "beta": "2026-01-02T00:00:00Z"},
        }
        (path / "manifest.json").write_text(json.dumps(fields))
        return path

    def test_it_is_read_as_it_is(self, old: Path) -> None:
        with open_store(old) as store:
            both = toy_graph().merge(toy_graph("beta"))
            assert store.counts() == both.counts()
            assert store.graph().content_hash() == both.content_hash()
            versions = store.versions()
            assert versions["datasets"].tolist() == [["alpha", "beta"]]
            assert versions["time"].tolist() == ["2026-01-02T00:00:00Z"]
        assert (old / "g000002").exists()

    def test_the_next_write_migrates_it(self, old: Path) -> None:
        with open_store(old, mode="w") as store:
            assert not store.write(toy_graph("alpha")).changed
            assert (old / "g000002").exists()
            assert store.write(toy_graph("alpha", seed=9)).changed
            assert contents(store).content_hash() == store.graph().content_hash()
            both = toy_graph().merge(toy_graph("beta"))
            assert store.graph(1).content_hash() == both.content_hash()
        assert not (old / "g000002").exists()
        assert json.loads((old / "manifest.json").read_text())["format"] == 2

    def test_keeping_migrates_it_too(self, old: Path) -> None:
        with open_store(old, mode="w") as store:
            store.keep(1)
            assert contents(store).content_hash() == store.graph().content_hash()
        assert not (old / "g000002").exists()

    def test_damaged_tables(self, old: Path) -> None:
        (old / "g000002" / "tables" / "Gene.parquet").write_bytes(b"no table")
        with pytest.raises(StoreError, match="damaged"):
            open_store(old)


class TestAnswers:
    """Limits of a query, and what comes back."""

    def test_rows(self, path: Path) -> None:
        text = "MATCH (c:Cell) RETURN c.key AS key ORDER BY key"
        with open_store(path) as store:
            assert len(store.query(text, budget=Budget(rows=24))) == 24
            with pytest.raises(StoreError, match=r"more than 23 rows.*LIMIT"):
                store.query(text, budget=Budget(rows=23))
            assert len(store.query(text + " LIMIT 23", budget=Budget(rows=23))) == 23

    def test_seconds_belong_to_the_query(self, path: Path) -> None:
        slow = (
            "MATCH (a:Cell), (b:Cell), (c:Cell), (d:Cell), (e:Cell), (f:Cell) "
            "WHERE a.x + b.x + c.x + d.x + e.x + f.x > 1000 RETURN count(*) AS n"
        )
        errors: list[str] = []
        with open_store(path) as store:

            def wait() -> None:
                with pytest.raises(StoreError) as caught:
                    store.query(slow, budget=Budget(seconds=1.5, touched=1e12))
                errors.append(str(caught.value))

            thread = threading.Thread(target=wait)
            thread.start()
            while thread.is_alive():
                assert store.query(CELLS, budget=Budget(seconds=100))["n"].tolist() == [24]
                thread.join(0.05)
        assert errors == [
            "The query took longer than 1.5 s (SCYPHER_QUERY_SECONDS). "
            "Narrow it or raise the limit."
        ]

    def test_matrices_can_be_factorised_beside_it(self, path: Path) -> None:
        code = f"""
import numpy as np
import scipy.linalg
from scypher.kg.stores import open_store

with open_store({str(path)!r}) as store:
    store.counts()
scipy.linalg.lu(np.random.default_rng(0).random((4000, 60)))
print("done")
"""
        # Several threads need much of the stack of the main one.
        threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | threads,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "done\n")

    def test_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for text in ("", "much", "1", "-1g"):
            monkeypatch.setenv("SCYPHER_HEAP", text)
            with pytest.raises(InputError, match="SCYPHER_HEAP"):
                heap_size()
        monkeypatch.setenv("SCYPHER_HEAP", "512m")
        assert heap_size() == "512m"

    def test_rows_of_the_bulk_load(self) -> None:
        frame = pd.DataFrame(
            {
                "text": ['a"b\n', "é", ""],
                "number": [1.0, np.nan, 1e-308],
                "whole": [1, -2, 2**53 + 1],
                "flag": [True, False, True],
                "names": [["x", "y"], [], None],
            }
        )
        assert json.loads(json_rows(frame)) == [
            {"text": 'a"b\n', "number": 1.0, "whole": 1, "flag": True, "names": ["x", "y"]},
            {"text": "é", "whole": -2, "flag": False, "names": []},
            {"text": "", "number": 1e-308, "whole": 2**53 + 1, "flag": True},
        ]


class TestPast:
    """An old version, asked like the present one."""

    def test_it_answers_what_was(self, path: Path) -> None:
        with open_store(path, mode="w") as store:
            time = store.query("MATCH (d:Dataset) RETURN d.time AS time")
            store.write(toy_graph("beta"))
            store.write(toy_graph("alpha", seed=5, n_cells=7))
            with open_past(store, 1) as past, open_past(store, -2) as second:
                folder = past.path  # type: ignore[attr-defined]
                assert contents(past).content_hash() == toy_graph().content_hash()
                assert contents(second).content_hash() == store.graph(2).content_hash()
                pd.testing.assert_frame_equal(
                    past.query("MATCH (d:Dataset) RETURN d.time AS time"), time
                )
                assert past.versions()["version"].tolist() == [1]
                assert second.versions()["readable"].tolist() == [False, True]
                with pytest.raises(StoreError, match="opened for reading"):
                    past.write(toy_graph())
            past.close()
            assert not folder.exists()
            for version in (0, 4):
                with pytest.raises(InputError, match="no version"):
                    open_past(store, version)
            store.keep(1)
            with pytest.raises(InputError, match="forgotten"):
                open_past(store, 1)


class TestProcesses:
    """Several of them on one graph."""

    def test_a_second_writer_is_told(self, path: Path) -> None:
        holder = f"""
            import fcntl
            lock = open({str(path / "lock")!r}, "r+")
            fcntl.flock(lock, fcntl.LOCK_EX)
            print("held", flush=True)
            sys.stdin.read()
        """
        with child(holder) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            with open_store(path, mode="w") as store:
                assert isinstance(store, EmbeddedStore)
                store.lock_seconds = 0.1
                with pytest.raises(StoreBusyError, match="Another process is writing"):
                    store.write(toy_graph("beta"))
                assert store.counts() == toy_graph().counts()
            process.communicate()

    def test_readers_stay_on_their_version(self, path: Path) -> None:
        ask = (
            "MATCH (c:Cell) WITH count(c) AS cells MATCH (:Cell)-[r:EXPRESSES]->(:Gene) "
            "WITH cells, count(r) AS edges MATCH (d:Dataset) RETURN cells, edges, count(d) AS sets"
        )
        code = f"""
            import threading
            seen = {{}}
            def read(number):
                with open_store({str(path)!r}) as store:
                    while True:
                        answer = tuple(store.query({ask!r}).iloc[0].tolist())
                        first = number not in seen
                        seen.setdefault(number, set()).add(answer)
                        if first and len(seen) == 2:
                            print("reading", flush=True)
                        if done.wait(0.05):
                            break
            done = threading.Event()
            threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
            for thread in threads: thread.start()
            sys.stdin.read()
            done.set()
            for thread in threads: thread.join()
            print(sorted(map(sorted, seen.values())))
        """
        with child(code) as first, child(code) as second, open_store(path, mode="w") as store:
            readers = (first, second)
            for process in readers:
                assert process.stdout is not None
                assert process.stdout.readline() == "reading\n"
            with open_store(path) as here:
                assert here.query(CELLS)["n"].tolist() == [24]
                store.write(toy_graph("beta"))
                store.write(toy_graph("gamma"))
                store.keep(1)
                assert here.query(CELLS)["n"].tolist() == [24]
            assert store.query(CELLS)["n"].tolist() == [72]
            for process in readers:
                assert process.communicate() == ("[[(24, 96, 1)], [(24, 96, 1)]]\n", "")

    def test_a_writer_sees_what_another_wrote(self, path: Path) -> None:
        with open_store(path, mode="w") as first, open_store(path, mode="w") as second:
            assert first.query(CELLS)["n"].tolist() == [24]
            second.write(toy_graph("beta"))
            assert first.query(CELLS)["n"].tolist() == [48]
            assert not first.write(toy_graph("beta")).changed
            assert first.remove("beta")
            assert len(second.versions()) == 3

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_child_is_told(self, path: Path) -> None:
        with open_store(path) as store:
            store.query(CELLS)
            context = multiprocessing.get_context("fork")
            answers = context.SimpleQueue()

            def forked() -> None:
                try:
                    store.query("RETURN 1 AS one")
                except StoreError as error:
                    answers.put(str(error))

            process = context.Process(target=forked)
            process.start()
            process.join(30)
            assert process.exitcode == 0
            assert "forked" in answers.get()
            assert store.query(CELLS)["n"].tolist() == [24]
