"""The command line: verbs, outputs, and what bad input leads to."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from command_line import run
from scipy import sparse

from scypher.encoders.vocabulary import gene_table
from scypher.interpret.gene_sets.library import immune_textbook

Edit = Callable[[anndata.AnnData], anndata.AnnData | None]


def toy_cells(n_cells: int = 80, n_genes: int = 60) -> anndata.AnnData:
    """Return random counts of real genes with two labels."""
    rng = np.random.default_rng(0)
    table = gene_table()
    genes = table.loc[table["gene_class"] == "protein_coding", "symbol"].unique()[:n_genes]
    return anndata.AnnData(
        sparse.csr_matrix(rng.poisson(1.0, (n_cells, n_genes)).astype(np.float32)),
        obs=pd.DataFrame(
            {"cell_type": np.where(np.arange(n_cells) % 2, "a", "b")},
            index=[f"c{i}" for i in range(n_cells)],
        ),
        var=pd.DataFrame(index=list(genes)),
    )


def _values(change: Callable[[np.ndarray], None]) -> Edit:
    def edit(data: anndata.AnnData) -> None:
        values = data.X.toarray()
        change(values)
        data.X = sparse.csr_matrix(values)

    return edit


def _put(value: float) -> Edit:
    return _values(lambda values: values.__setitem__((0, 0), value))


def _rename_genes(data: anndata.AnnData) -> None:
    data.var["gene_ids"] = [f"id{i}" for i in range(data.n_vars)]
    data.var_names = [data.var_names[0], *data.var_names[:-1]]


def _rename_cells(data: anndata.AnnData) -> None:
    data.obs_names = [data.obs_names[0], *data.obs_names[:-1]]


def _scaled_with_counts(data: anndata.AnnData) -> None:
    data.layers["umi"] = data.X.copy()
    data.X = data.X * np.float32(0.37)


def _unknown_genes(data: anndata.AnnData) -> None:
    data.var_names = [f"Zzz{i}" for i in range(data.n_vars)]


BAD: dict[str, tuple[Edit, tuple[str, ...], str]] = {
    "negative": (_put(-1), (), "neither counts nor"),
    "not a number": (_put(np.nan), (), "NaN or infinite"),
    "infinite": (_put(np.inf), (), "NaN or infinite"),
    "fractions": (_put(0.5), (), "neither counts nor"),
    "counts in a layer": (_scaled_with_counts, (), "umi looks like counts: use --layer umi"),
    "no such layer": (lambda data: None, ("--layer", "raw_counts"), "no 'raw_counts'"),
    "unknown genes": (_unknown_genes, (), "at least 50%"),
    "barcodes repeat": (_rename_cells, (), "cell names repeat"),
    "genes repeat": (_rename_genes, (), "'gene_ids' of var tells them apart"),
    "few cells": (lambda data: data[:49].copy(), (), "at least 50 are needed"),
    "no such label": (lambda data: None, ("--label", "leiden"), "no column 'leiden'"),
    "constant label": (
        lambda data: data.obs.__setitem__("one", "x"),
        ("--label", "one"),
        "has the one value 'x'",
    ),
    "label per cell": (
        lambda data: data.obs.__setitem__("each", list(data.obs_names)),
        ("--label", "each"),
        "different value in every cell",
    ),
    "no such encoder": (lambda data: None, ("--encoder", "nothing"), "there is no encoder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_refused_before_anything_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, options, expected = BAD[case]
    data = toy_cells()
    data = edit(data) or data
    data.write_h5ad(tmp_path / "in.h5ad")
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = run(
        capsys, "build", tmp_path / "in.h5ad", "--graph", tmp_path / "a.kg", *options
    )
    assert (code, out) == (2, "")
    assert expected in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no file"),
        (b"cells", "cannot be read as an AnnData file"),
        ("truncated", "cannot be read as an AnnData file"),
    ],
    ids=["missing", "text", "truncated"],
)
def test_bad_files_are_refused(
    content: bytes | str | None,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "in.h5ad"
    if content == "truncated":
        toy_cells().write_h5ad(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    code, out, err = run(capsys, "build", path, "--graph", tmp_path / "a.kg")
    assert (code, out) == (2, "")
    assert expected in err
    assert not (tmp_path / "a.kg").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET without tabs\n", "line 1"),
        ("SET\thttp\tNOGENE1\tNOGENE2\tNOGENE3\n", "NOGENE1"),
    ],
)
def test_bad_gene_sets_are_refused(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_cells().write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "sets.gmt").write_text(text)
    code, _, err = run(
        capsys,
        *("build", tmp_path / "in.h5ad", "--graph", tmp_path / "a.kg"),
        *("--gene-sets", tmp_path / "sets.gmt"),
    )
    assert code == 2
    assert expected in err
    assert not (tmp_path / "a.kg").exists()


def test_other_things_at_the_path_of_the_graph_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_cells().write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "file.kg").write_text("mine")
    (tmp_path / "folder.kg").mkdir()
    (tmp_path / "folder.kg" / "notes.txt").write_text("mine")
    for name in ("file.kg", "folder.kg"):
        code, _, err = run(capsys, "build", tmp_path / "in.h5ad", "--graph", tmp_path / name)
        assert code == 2
        assert name in err
    assert (tmp_path / "file.kg").read_text() == "mine"
    assert (tmp_path / "folder.kg" / "notes.txt").read_text() == "mine"


def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_cells().write_h5ad(tmp_path / "in.h5ad")
    code, _, err = run(capsys, "build", tmp_path / "in.h5ad", "--graph", "bolt://127.0.0.1:9")
    assert code == 1
    assert "bolt://127.0.0.1:9" in err


@pytest.mark.parametrize(
    "arguments", [["query", "markers"], ["build"], ["nothing"], ["query", "x", "--graph", "y"]]
)
def test_wrong_usage_ends_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *arguments)[0] == 2


def test_empty_cells_and_genes_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = toy_cells()
    values = data.X.toarray()
    values[:3] = 0
    values[:, 7] = 0
    data.X = sparse.csr_matrix(values)
    data.write_h5ad(tmp_path / "in.h5ad")
    code, out, err = run(capsys, "build", tmp_path / "in.h5ad", "--graph", tmp_path / "a.kg")
    assert (code, out) == (0, "")
    assert "left out without a single count: 3 cells, 1 genes" in err
    assert "enrichment skipped" in err
    code, out, _ = run(capsys, "query", "datasets", "--graph", tmp_path / "a.kg", "--json")
    assert json.loads(out)[0]["n_cells"] == 77


def test_demo_runs_in_a_fresh_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scypher.cli", "demo", "--out", tmp_path / "demo"],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert "counts recovered" in done.stderr
    lines = done.stdout.splitlines()
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
    commands = [line.split() for line in lines if line.strip().startswith("scypher query")]
    assert len(commands) == 2
    asked = subprocess.run(
        [sys.executable, "-m", "scypher.cli", "query", "markers", "--json", "--graph",
         tmp_path / "demo" / "pbmc.kg", "--param", "group=CD19+ B"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    rows = json.loads(asked.stdout)
    assert list(rows[0]) == [
        *("group", "group_kind", "gene", "symbol", "rank", "attention_lift", "attention_z"),
        *("attention_q", "auroc", "log2_fold_change", "detected_in", "detected_out"),
        *("expression_q", "donors_agreeing", "n_donors", "verdict"),
    ]
    assert {"CD79A", "CD79B"} & {row["symbol"] for row in rows}
    assert asked.stderr == ""
    assert immune_textbook().exists()
