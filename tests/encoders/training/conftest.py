"""Small corpora of planted cells, and the configuration of a short run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.vocabulary import gene_table

N_GENES = 160
SIZES = (700, 300, 260)
RUN_TOML = """
encoder = "cellvq"
data = "corpus/*.h5ad"
out = "out"
{top}

[model]
preset = "tiny"
{model}

[training]
epochs = 2
block = 64
warmup = 5
held_out = 0.1
min_cells = 5
{training}
"""


@pytest.fixture(scope="session")
def make_cells() -> Callable[..., AnnData]:
    """A maker of cells in three groups with planted programs of genes."""

    def make(n_cells: int, seed: int = 0, *, genes: slice = slice(0, N_GENES)) -> AnnData:
        rng = np.random.default_rng(seed)
        table = gene_table().query("gene_class == 'protein_coding' and symbol != ''")[genes]
        group = rng.integers(0, 3, n_cells)
        rate = np.repeat(rng.gamma(1, 0.6, (1, len(table))), n_cells, axis=0)
        for number in range(3):
            marked = slice(number * 20, number * 20 + 20)
            rate[group == number, marked] += rng.gamma(4, 1.5, ((group == number).sum(), 1))
        obs = pd.DataFrame(
            {
                "batch": [f"b{cell % 2}" for cell in range(n_cells)],
                "cell_type": np.array(["A", "B", "C"])[group],
            },
            index=[f"cell{cell}" for cell in range(n_cells)],
        )
        obs.loc[obs.index[::5], "cell_type"] = "unknown"
        var = pd.DataFrame({"symbol": table["symbol"].to_numpy()}, index=table["ensembl_id"])
        var.index.name = None
        return AnnData(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs, var=var)

    return make


@pytest.fixture(scope="session")
def corpus(make_cells: Callable[..., AnnData], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three files."""
    folder = tmp_path_factory.mktemp("corpus")
    for number, size in enumerate(SIZES):
        make_cells(size, number).write_h5ad(folder / f"set{number}.h5ad")
    return folder


@pytest.fixture(scope="session")
def make_run(corpus: Path) -> Callable[..., Path]:
    """A writer of training configurations; returns the path."""

    def make(folder: Path, *, top: str = "", model: str = "", training: str = "") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "corpus").exists():
            (folder / "corpus").symlink_to(corpus)
        path = folder / "run.toml"
        path.write_text(RUN_TOML.format(top=top, model=model, training=training))
        return path

    return make


@pytest.fixture(scope="session")
def command() -> Callable[..., "subprocess.Popen[str]"]:
    """A starter of the command line in a process of its own, one thread each."""

    def start(*arguments: object, runner: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.Popen(
            [sys.executable, *runner, "-m", "scypher.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    return start
