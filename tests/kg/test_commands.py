"""The commands of the versions, on a graph in a folder."""

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from anndata import read_h5ad
from command_line import run
from toy import toy_graph

from scypher.kg.convert import from_anndata
from scypher.kg.graph import Graph
from scypher.kg.stores import open_store
from scypher.kg.versions.changes import COLUMNS
from scypher.kg.versions.difference import Difference
from scypher.kg.versions.donors import without_donor

ALPHA, BETA = toy_graph("alpha"), toy_graph("beta", seed=5, n_cells=10)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of two data sets in two versions."""
    path = tmp_path_factory.mktemp("written") / "toy.kg"
    with open_store(path, mode="w") as store:
        store.write(ALPHA)
        store.write(BETA)
    return path


@pytest.fixture
def graph(written: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(written, tmp_path / "toy.kg"))


def test_a_donor_is_taken_out_compared_and_forgotten(
    graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "remove", "alpha", "--donor", "donor 0", "--graph", graph)
    assert (code, out) == (0, "")
    assert "scypher refresh" in err
    expected = without_donor(ALPHA, "donor 0").merge(BETA)
    with open_store(graph) as store:
        assert store.graph().content_hash() == expected.content_hash()

    code, out, _ = run(capsys, "versions", "--graph", graph, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert [row["datasets"] for row in rows] == [["alpha"], ["alpha", "beta"], ["alpha", "beta"]]
    assert [row["rows"] for row in rows][-1] == sum(expected.counts().values())
    assert "donor 0" not in out

    code, out, err = run(
        capsys, "diff", "-2", "-1", "--graph", graph, "--json", "--out", tmp_path / "d"
    )
    assert code == 0
    rows = json.loads(out)
    assert list(rows[0]) == COLUMNS
    assert {"became_stale", "cells_removed"} <= {row["kind"] for row in rows}
    assert {row["dataset"] for row in rows} == {"alpha"}
    difference = Difference.read(tmp_path / "d")
    with open_store(graph) as store:
        replayed = difference.apply(store.graph(2))
    assert replayed.content_hash() == expected.content_hash()
    code, _, err = run(capsys, "diff", "--graph", graph, "--out", tmp_path / "d")
    assert code == 2
    assert "there already" in err

    arguments = ("query", "datasets", "--graph", graph, "--json")
    now, then = (json.loads(run(capsys, *arguments, *more)[1]) for more in ((), ("--version", 2)))
    assert [row["n_cells"] for row in now] == [12, 10]
    assert [row["n_cells"] for row in then] == [24, 10]
    assert [bool(row["stale"]) for row in now] == [True, False]

    # The donor is out of the current version already; now also of those before.
    code, _, err = run(
        capsys, "remove", "alpha", "--donor", "donor 0", "--forget", "--yes", "--graph", graph
    )
    assert code == 0
    assert "past versions" in err
    code, out, _ = run(capsys, "versions", "--graph", graph, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["readable"] for row in rows] == ["False", "False", "True", "True"]
    assert rows[-1]["datasets"] == "alpha;beta"
    assert run(capsys, *arguments, "--version", 2)[0] == 2
    assert run(capsys, "diff", 2, 3, "--graph", graph)[0] == 2


def test_a_data_set_is_taken_out_and_versions_are_dropped(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "remove", "alpha", "--graph", graph)[0] == 0
    with open_store(graph) as store:
        assert store.graph().content_hash() == BETA.content_hash()
    code, out, _ = run(capsys, "diff", "1", "-1", "--graph", graph, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["kind"], row["dataset"]) for row in rows] == [
        ("dataset_removed", "alpha"),
        ("dataset_added", "beta"),
    ]
    code, out, _ = run(capsys, "versions", "--graph", graph, "--keep", 1, "--json")
    assert code == 0
    assert [row["readable"] for row in json.loads(out)] == [False, False, True]
    code, out, _ = run(capsys, "versions", "--graph", graph)
    assert "remove alpha" in out
    assert run(capsys, "versions", "--graph", graph, "--keep", 0)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["remove", "gamma"], "one of its data sets was expected: alpha, beta"),
        (["remove", "alpha", "--donor", "nobody"], "one of donor 0, donor 1"),
        (["diff", "1", "7"], "no version 7"),
        (["diff", "one", "2"], "unable to parse string as an integer"),
        (["versions", "--json", "--csv"], "exclude each other"),
        (["query", "states", "--version", "9"], "no version 9"),
    ],
)
def test_bad_input_ends_with_two_and_changes_nothing(
    arguments: list[str], expected: str, graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments, "--graph", graph)
    assert (code, out) == (2, "")
    assert expected in " ".join(err.replace("│", " ").split())
    with open_store(graph) as store:
        assert store.graph().content_hash() == ALPHA.merge(BETA).content_hash()
        assert len(store.versions()) == 2


def test_csv_joins_lists_and_keeps_the_header_of_an_empty_answer(
    graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lists.cypher"
    file.write_text(
        "MATCH (s:State {key: 'alpha:S1.1'}) RETURN s.name AS name, s.label_set AS labels"
    )
    code, out, _ = run(capsys, "query", file, "--graph", graph, "--csv")
    assert (code, out) == (0, "name,labels\nS1.1,B cells;T cells\n")
    file.write_text(
        "// column name: string — of the state\n// column size: integer — cells\n"
        "MATCH (s:State {key: 'nothing'}) RETURN s.name AS name, s.size AS size"
    )
    code, out, _ = run(capsys, "query", file, "--graph", graph, "--csv")
    assert (code, out) == (0, "name,size\n")
    code, out, _ = run(
        capsys, "query", "markers", "--graph", graph, "--csv", "--param", "group=nothing"
    )
    assert code == 0
    assert out.startswith("group,group_kind,gene,symbol")
    assert len(out.splitlines()) == 1


def test_forgetting_asks_at_a_terminal(
    graph: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, _, err = run(capsys, "remove", "alpha", "--forget", "--graph", graph)
    assert code == 1
    assert "cannot be read or brought back" in err
    with open_store(graph) as store:
        assert store.versions()["readable"].all()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run(capsys, "remove", "alpha", "--forget", "--graph", graph)[0] == 0
    with open_store(graph) as store:
        assert store.versions()["readable"].tolist() == [False, False, True]
        assert store.graph().content_hash() == BETA.content_hash()


def test_what_is_exported_is_the_graph(
    graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ALPHA.merge(BETA).content_hash()
    assert run(capsys, "export", "--graph", graph, "--out", tmp_path / "all.h5ad")[0] == 0
    assert from_anndata(read_h5ad(tmp_path / "all.h5ad")).content_hash() == both
    for version, expected in ((-1, both), (1, ALPHA.content_hash())):
        out = tmp_path / f"version {version}"
        asked = ["--out", out, "--format", "parquet", "--version", version]
        assert run(capsys, "export", "--graph", graph, *asked)[0] == 0
        assert Graph.from_parquet(out).content_hash() == expected


def test_files_for_an_import_come_with_their_command(
    graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "files"
    code, said, _ = run(
        capsys, "export", "--graph", graph, "--out", out, "--format", "neo4j-import"
    )
    assert code == 0
    assert said.startswith(f"cd {out} && neo4j-admin database import full neo4j")
    assert {path.name for path in out.glob("*.csv")} == {
        f"{name}{end}.csv" for name in ALPHA.counts() for end in ("", "-header")
    }


def test_nothing_is_overwritten(
    graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("something")
    for out in (tmp_path, tmp_path / "mine"):
        code, _, err = run(capsys, "export", "--graph", graph, "--out", out)
        assert code == 2
        assert "holds something already" in err
    assert (tmp_path / "mine").read_text() == "something"


def test_only_a_server_adopts(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "adopt", "--graph", graph, "--from", graph)
    assert code == 2
    assert "is a path" in err
