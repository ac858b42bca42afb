"""Small models and data of the encoder tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scypher.encoders.base import Encoding
from scypher.encoders.cellvq import weights
from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.vocabulary import gene_table

MARKERS = (
    ["CD3D", "CD3E", "CD3G", "IL7R", "LTB", "CD2", "IL32", "CD27", "TCF7", "LCK"],
    ["CD79A", "CD79B", "MS4A1", "CD19", "CD74", "BANK1", "TCL1A", "PAX5", "BLK", "CD37"],
    ["LYZ", "S100A8", "S100A9", "CD14", "FCN1", "VCAN", "CST3", "LST1", "TYROBP", "CTSS"],
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shipped() -> Iterator[Path]:
    """The weights that come with the package, or those of SCYPHER_TEST_WEIGHTS in their place."""
    folder = Path(os.environ.get("SCYPHER_TEST_WEIGHTS", weights.SHIPPED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "SHIPPED", folder)
        yield folder


@pytest.fixture(scope="session")
def tiny_config() -> CellVQConfig:
    """Sizes of a model that runs in milliseconds."""
    return CellVQConfig(
        n_genes=60,
        width=16,
        own_width=4,
        n_latents=4,
        key_width=8,
        n_bins=8,
        token_width=12,
        n_layers=1,
        n_heads=2,
        hidden=32,
        prior_rank=3,
        decoder_hidden=20,
        n_bits=4,
        code_width=8,
        condition_width=16,
    )


@pytest.fixture
def untrained(tiny_config: CellVQConfig) -> CellVQ:
    """A model as pretraining starts it, with made-up loadings in place of a corpus SVD."""
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    model = CellVQ(tiny_config)
    with torch.no_grad():
        model.loadings.copy_(torch.from_numpy(rng.normal(0, 0.2, (60, 16))))
        model.scale.copy_(torch.from_numpy(rng.uniform(0.3, 2, 60)))
        model.centre.copy_(torch.from_numpy(rng.normal(size=16)))
    return model.eval()


@pytest.fixture
def trained(untrained: CellVQ) -> CellVQ:
    """A model moved far from its start: no part of it is neutral."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in untrained.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return untrained


@pytest.fixture
def tiny_values() -> tuple[sparse.csr_matrix, np.ndarray]:
    """Values (log1p of counts per 10,000) and totals of 20 cells with 3 to 60 of 60 genes."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(2.0, (20, 60)) * (rng.random((20, 60)) < np.linspace(0.05, 1, 20)[:, None])
    counts[:, :3] += 1
    totals = counts.sum(axis=1).astype(float)
    return sparse.csr_matrix(np.log1p(counts / totals[:, None] * 1e4).astype(np.float32)), totals


@pytest.fixture(scope="session")
def symbols(shipped: Path) -> list[str]:
    """200 symbols of genes that the shipped model reads, the markers of three groups first."""
    table = gene_table()
    read = table[table["ensembl_id"].isin(weights.load_model(shipped).genes)]
    read = read[(read["gene_class"] == "protein_coding") & ~read["symbol"].duplicated(keep=False)]
    markers = [name for group in MARKERS for name in group]
    assert set(markers) <= set(read["symbol"])
    others = [name for name in read["symbol"].iloc[::50] if name not in markers]
    return (markers + others)[:200]


@pytest.fixture(scope="session")
def make_adata(symbols: list[str]) -> Callable[..., AnnData]:
    """A maker of cells in three planted groups, each with ten marker genes."""

    def make(n_cells: int = 120, *, names: list[str] | None = None, seed: int = 0) -> AnnData:
        rng = np.random.default_rng(seed)
        names = symbols if names is None else names
        group = np.arange(n_cells) % 3
        rate = np.full((n_cells, len(names)), 0.12)
        for index, markers in enumerate(MARKERS):
            marked = np.isin(names, markers)
            rate[np.ix_(group == index, marked)] = 6.0
        counts = rng.poisson(rate)
        counts[np.arange(n_cells), rng.integers(0, len(names), n_cells)] += 1
        counts[np.arange(len(names)) % n_cells, np.arange(len(names))] += 1
        obs = pd.DataFrame(
            {"group": pd.Categorical(group.astype(str))},
            index=[f"cell{number}" for number in range(n_cells)],
        )
        return AnnData(
            sparse.csr_matrix(counts, dtype=np.float32), obs=obs, var=pd.DataFrame(index=names)
        )

    return make


@pytest.fixture
def make_encoding() -> Callable[..., Encoding]:
    """A maker of encodings that keep the contract, with any field replaced."""

    def make(n_cells: int, n_genes: int, **changes: Any) -> Encoding:
        rng = np.random.default_rng(5)
        codebook = rng.normal(size=(16, 4)).astype(np.float32)
        fields: dict[str, Any] = {
            "code": rng.integers(0, 16, n_cells),
            "second": rng.integers(0, 16, n_cells),
            "probability": rng.random(n_cells).astype(np.float32),
            "entropy": rng.random(n_cells).astype(np.float32),
            "embedding": rng.normal(size=(n_cells, 5)).astype(np.float32),
            "gene_embedding": rng.normal(size=(n_genes, 3)).astype(np.float32),
            "attention": sparse.random(
                n_cells, n_genes, 0.2, format="csr", dtype=np.float32, random_state=rng
            ),
            "codebook": codebook / np.linalg.norm(codebook, axis=1, keepdims=True),
            "bits": [format(index, "04b") for index in range(16)],
            "weights_hash": "f" * 64,
            "parameters": {"adapt": True, "seed": 3, "encoder": "toy"},
            "dropped_genes": ["FOO1"],
            "notes": ["a note", "another one"],
        }
        return Encoding(**(fields | changes))

    return make


@pytest.fixture(scope="session")
def make_planted() -> Callable[..., AnnData]:
    """A maker of cells of three types with ten marker genes each, among 200 genes."""

    def make(n_cells: int = 120) -> AnnData:
        rng = np.random.default_rng(0)
        table = gene_table()
        coding = table.loc[table["gene_class"] == "protein_coding", "symbol"]
        names = coding[~coding.duplicated(keep=False)].iloc[::50][:200].tolist()
        rate = np.full((n_cells, 200), 0.12)
        for kind in range(3):
            rate[kind::3, 10 * kind : 10 * kind + 10] = 6
        counts = rng.poisson(rate)
        counts[np.arange(200) % n_cells, np.arange(200)] += 1
        obs = pd.DataFrame(index=[f"cell{number}" for number in range(n_cells)])
        return AnnData(
            sparse.csr_matrix(counts, dtype=np.float32), obs=obs, var=pd.DataFrame(index=names)
        )

    return make
