"""What is particular to the embedded store: files, kills, processes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import toy_graph

from scypher.encoders.errors import InputError, StoreError
from scypher.kg.graph import Graph
from scypher.kg.stores import check_address, open_store
from scypher.kg.stores import embedded as embedded_module
from scypher.kg.stores.base import query_seconds
from scypher.kg.stores.bulk import json_rows
from scypher.kg.stores.embedded import EmbeddedStore
from scypher.kg.stores.jvm import heap_size


class TestEmbedded:
    """A folder on this machine."""

    def test_the_folder_holds_one_generation(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        with open_store(path, mode="w") as store:
            store.write(toy_graph())
            store.write(toy_graph("beta"))
        names = sorted(item.name for item in path.iterdir())
        assert names == ["g000002", "lock", "manifest.json"]
        tables = Graph.from_parquet(path / "g000002" / "tables")
        assert tables.content_hash() == toy_graph().merge(toy_graph("beta")).content_hash()
        assert [item.name for item in tmp_path.iterdir()] == ["a.kg"]

    @pytest.mark.parametrize("moment", ["load", "verify", "rename", "manifest"])
    def test_a_kill_leaves_the_old_graph(self, tmp_path: Path, moment: str) -> None:
        path = tmp_path / "a.kg"
        with open_store(path, mode="w") as store:
            store.write(toy_graph())
        _killed_write(path, moment)
        left = {item.name for item in path.iterdir()}
        assert left - {"g000001", "lock", "manifest.json"}
        with open_store(path) as store:
            assert store.counts() == toy_graph().counts()
        with open_store(path, mode="w") as store:
            store.write(toy_graph("beta"))
            assert store.counts() == toy_graph().merge(toy_graph("beta")).counts()
        assert sorted(item.name for item in path.iterdir()) == ["g000002", "lock", "manifest.json"]

    def test_a_kill_of_the_first_write_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        _killed_write(path, "manifest")
        assert not path.exists()
        with pytest.raises(InputError, match="no graph"):
            open_store(path)
        with open_store(path, mode="w") as store:
            assert store.write(toy_graph("beta")).changed
        assert [item.name for item in tmp_path.iterdir()] == ["a.kg"]

    @pytest.mark.parametrize("first", [True, False])
    def test_a_full_disk_leaves_the_old_graph(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
    ) -> None:
        path = tmp_path / "a.kg"

        def full(folder: Path) -> None:
            raise OSError(28, "No space left on device", str(folder))

        with open_store(path, mode="w") as store:
            if not first:
                store.write(toy_graph())
            monkeypatch.setattr(embedded_module, "sync_tree", full)
            with pytest.raises(StoreError, match="No space left"):
                store.write(toy_graph("beta"))
            if first:
                assert list(tmp_path.iterdir()) == []
            else:
                assert store.counts() == toy_graph().counts()
                assert not (path / "g000002.building").exists()

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

    def test_checking_an_address_makes_nothing(self, tmp_path: Path) -> None:
        check_address(tmp_path / "deep" / "new.kg")
        assert list(tmp_path.iterdir()) == []

    def test_a_damaged_manifest(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        path.mkdir()
        for text in ("{", "[]", '{"format": 1}'):
            (path / "manifest.json").write_text(text)
            with pytest.raises(StoreError, match="damaged"):
                open_store(path)
        (path / "manifest.json").write_text('{"format": 99}')
        with pytest.raises(StoreError, match="another format"):
            open_store(path)

    def test_a_second_writer_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        with open_store(path, mode="w") as store:
            store.write(toy_graph())
        holder = (
            f"import fcntl, sys; f = open({str(path / 'lock')!r}, 'r+'); "
            "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            with open_store(path, mode="w") as store:
                assert isinstance(store, EmbeddedStore)
                store.lock_seconds = 0.1
                with pytest.raises(StoreError, match="Another process is writing"):
                    store.write(toy_graph("beta"))
                assert store.counts() == toy_graph().counts()
            assert process.stdin is not None
            process.stdin.close()

    def test_several_processes_read_while_one_writes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        with open_store(path, mode="w") as store:
            store.write(toy_graph())
            store.counts()
            code = (
                "from scypher.kg.stores import open_store\n"
                f"with open_store({str(path)!r}) as store: print(store.counts()['Cell'])"
            )
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
            assert (done.stdout, done.stderr) == (b"24\n", b"")
            with open_store(path) as reader:
                assert reader.counts()["Cell"] == 24
                store.write(toy_graph("beta"))
                assert store.counts()["Cell"] == 48

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_child_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kg"
        with open_store(path, mode="w") as store:
            store.write(toy_graph())
            store.counts()
            context = multiprocessing.get_context("fork")
            answers = context.SimpleQueue()

            def child() -> None:
                try:
                    store.query("RETURN 1 AS one")
                except StoreError as error:
                    answers.put(str(error))

            process = context.Process(target=child)
            process.start()
            process.join(30)
            assert process.exitcode == 0
            assert "forked" in answers.get()
            assert store.counts()["Cell"] == 24

    def test_nothing_is_left_in_the_working_directory(self, tmp_path: Path) -> None:
        with_store = f"""
            import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
            from toy import toy_graph
            from scypher.kg.stores import open_store
            store = open_store("a.kg", mode="w")
            store.write(toy_graph())
            print(len(store.query("MATCH (c:Cell) RETURN c.key AS key")))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(with_store)],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"24\n", b"")
        assert [item.name for item in tmp_path.iterdir()] == ["a.kg"]

    def test_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for text in ("", "much", "1", "-1g"):
            monkeypatch.setenv("SCYPHER_HEAP", text)
            with pytest.raises(InputError, match="SCYPHER_HEAP"):
                heap_size()
        monkeypatch.setenv("SCYPHER_HEAP", "512m")
        assert heap_size() == "512m"
        for text in ("", "0", "nan", "-1"):
            monkeypatch.setenv("SCYPHER_QUERY_SECONDS", text)
            with pytest.raises(InputError, match="SCYPHER_QUERY_SECONDS"):
                query_seconds()

    def test_rows_of_the_bulk_load(self) -> None:
        frame = pd.DataFrame(
            {
                "text": ['a"b\n', "é", ""],
                "number": [1.0, np.nan, 1e-308],
                "whole": [1, -2, 2**53 + 1],
                "names": [["x", "y"], [], None],
            }
        )
        assert json.loads(json_rows(frame)) == [
            {"text": 'a"b\n', "number": 1.0, "whole": 1, "names": ["x", "y"]},
            {"text": "é", "whole": -2, "names": []},
            {"text": "", "number": 1e-308, "whole": 2**53 + 1},
        ]


def _killed_write(path: Path, moment: str) -> None:
    """Write to ``path`` in a process that is killed at a moment of the write."""
    names = {
        "load": ("bulk", "load"),
        "verify": ("bulk", "verify"),
        "rename": ("os", "rename"),
        "manifest": ("", "write_manifest"),
    }
    module, name = names[moment]
    target = f"embedded.{module}" if module else "embedded"
    code = f"""
        import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from toy import toy_graph
        from scypher.kg.stores import embedded, open_store
        real = {target}.{name}
        def killed(*arguments, **options):
            if {moment == "load"}:
                real(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        {target}.{name} = killed
        open_store({str(path)!r}, mode="w").write(toy_graph("beta"))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
