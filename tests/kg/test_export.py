"""The commands that take a graph elsewhere."""

from pathlib import Path

import pytest
import typer
from anndata import read_h5ad
from toy import toy_graph
from typer.testing import CliRunner

from scypher.encoders.errors import InputError
from scypher.kg.commands import register
from scypher.kg.convert import from_anndata
from scypher.kg.graph import Graph
from scypher.kg.stores import open_store

APP = typer.Typer()
register(APP)
ALPHA, BETA = toy_graph("alpha"), toy_graph("beta", seed=5, n_cells=10)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph of two versions."""
    path = tmp_path_factory.mktemp("export") / "toy.kg"
    with open_store(path, mode="w") as store:
        store.write(ALPHA)
        store.write(BETA)
    return str(path)


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(APP, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_is_exported_is_the_graph(address: str, tmp_path: Path) -> None:
    both = ALPHA.merge(BETA).content_hash()
    _run("export", "--graph", address, "--out", str(tmp_path / "all.h5ad"))
    assert from_anndata(read_h5ad(tmp_path / "all.h5ad")).content_hash() == both
    tables = tmp_path / "tables"
    _run("export", "--graph", address, "--out", str(tables), "--format", "parquet")
    assert Graph.from_parquet(tables).content_hash() == both
    first = tmp_path / "first"
    options = ["--format", "parquet", "--version", "1"]
    _run("export", "--graph", address, "--out", str(first), *options)
    assert Graph.from_parquet(first).content_hash() == ALPHA.content_hash()


def test_files_for_an_import_come_with_their_command(address: str, tmp_path: Path) -> None:
    out = tmp_path / "files"
    said = _run("export", "--graph", address, "--out", str(out), "--format", "neo4j-import")
    assert said.startswith(f"cd {out} && neo4j-admin database import full neo4j")
    assert (out / "Cell-EXPRESSES-Gene.csv").exists()


def test_nothing_is_overwritten(address: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("something")
    for out in (tmp_path, tmp_path / "mine"):
        with pytest.raises(InputError, match="holds something already"):
            _run("export", "--graph", address, "--out", str(out))
    assert (tmp_path / "mine").read_text() == "something"


def test_only_a_server_adopts(address: str) -> None:
    with pytest.raises(InputError, match="is a path"):
        _run("adopt", "--graph", address, "--from", address)
