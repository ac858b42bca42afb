"""Planted cells of the evaluation tests."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders import coded
from scypher.encoders.base import Encoding
from scypher.encoders.cells import prepare
from scypher.encoders.coded import EmbeddingEncoder, Features
from scypher.encoders.codes import CodesConfig, fit_codes
from scypher.encoders.evaluation.sets import Labelled


@pytest.fixture(scope="session")
def planted(make_planted: Callable[..., AnnData]) -> Labelled:
    """240 cells of three planted types in three batches, ten of them without a label."""
    adata = make_planted(240)
    labels = np.array(["T", "B", "Myeloid"], dtype=object)[np.arange(240) % 3]
    labels[:10] = ""
    batch = np.array(["b1", "b2", "b3"], dtype=object)[np.arange(240) // 80]
    return Labelled("planted", prepare(adata), labels, batch)


@pytest.fixture(autouse=True)
def quick_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A codebook needs few steps to be there; how good one is, is tested where codes are made."""
    monkeypatch.setattr(coded, "fit_codes", partial(fit_codes, config=CodesConfig(steps=20)))


class Toy(EmbeddingEncoder):
    """An encoder whose embedding is handed to it."""

    name = "toy"

    def __init__(self, embedding: np.ndarray, **parameters: object) -> None:
        self._embedding, self._parameters = embedding, parameters

    def embed(self, cells: object, seed: int, progress: object) -> Features:
        n_cells, n_genes = cells.counts.shape
        return Features(
            embedding=self._embedding,
            gene_embedding=np.zeros((n_genes, 1), np.float32),
            attention=sparse.csr_matrix((n_cells, n_genes), dtype=np.float32),
            weights_hash="0" * 64,
            parameters=dict(self._parameters),
        )


@pytest.fixture(scope="session")
def toy() -> type[Toy]:
    """The class of the toy encoder."""
    return Toy


@pytest.fixture(scope="session")
def perfect(planted: Labelled) -> Encoding:
    """The toy encoding of planted cells whose embedding is their type, one-hot, plus noise."""
    truth = np.eye(3)[np.arange(len(planted.labels)) % 3]
    noise = np.random.default_rng(0).normal(0, 0.01, (len(truth), 3))
    embedding = (truth + noise).astype(np.float32)
    return Toy(embedding, trained_on=["planted"]).encode(planted.cells)


@pytest.fixture
def write_toy(tmp_path: Path, make_planted: Callable[..., AnnData]) -> Callable[..., Path]:
    """A maker of labelled files with an embedding in obsm['X_own']."""

    def write(name: str = "small", **columns: list[str]) -> Path:
        adata = make_planted(120)
        adata.obs["cell_type"] = pd.Categorical(np.array(["T", "B", "M"])[np.arange(120) % 3])
        adata.obs["batch"] = pd.Categorical(np.array(["b1", "b2"])[np.arange(120) // 60])
        for column, values in columns.items():
            adata.obs[column] = values
        rng = np.random.default_rng(0)
        adata.obsm["X_own"] = np.eye(3)[np.arange(120) % 3] + rng.normal(0, 0.01, (120, 3))
        path = tmp_path / f"{name}.h5ad"
        adata.write_h5ad(path)
        return path

    return write
