"""Small models and published checkpoints with made-up weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from safetensors.torch import save_file
from scipy import sparse
from torch import Tensor

from scypher.encoders.scdmc.config import ScDMCConfig
from scypher.encoders.scdmc.model import Body
from scypher.encoders.vocabulary import gene_table

SIZES = {"width": 16, "n_layers": 2, "n_heads": 4, "hidden": 24}

Checkpoint = Callable[..., Path]


def shaken(body: Body) -> Body:
    """Return the body moved far from its start, so that no part of it is neutral."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in body.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return body.eval()


@pytest.fixture
def make_body() -> Callable[..., Body]:
    """A maker of bodies of any sizes."""

    def make(**changes: Any) -> Body:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return shaken(Body(ScDMCConfig(**({"n_tokens": 30} | SIZES | changes))))

    return make


def published_tensors(layout: str, n_tokens: int, *, n_positions: int = 64) -> dict[str, Tensor]:
    """Return made-up tensors under the names and in the shapes of published checkpoints."""
    width, hidden = SIZES["width"], SIZES["hidden"]
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (n_tokens, width),
        "bert.embeddings.token_type_embeddings.weight": (2, width),
        "bert.embeddings.LayerNorm.weight": (width,),
        "bert.embeddings.LayerNorm.bias": (width,),
        "bert.pooler.dense.weight": (width, width),
        "cls.predictions.bias": (n_tokens,),
        "cls.predictions.decoder.weight": (n_tokens, width),
    }
    if layout == "stock":
        shapes["bert.embeddings.position_embeddings.weight"] = (n_positions, width)
    for number in range(SIZES["n_layers"]):
        layer = f"bert.encoder.layer.{number}"
        shapes |= {
            f"{layer}.attention.output.dense.weight": (width, width),
            f"{layer}.attention.output.dense.bias": (width,),
            f"{layer}.attention.output.LayerNorm.weight": (width,),
            f"{layer}.attention.output.LayerNorm.bias": (width,),
        }
        if layout == "mosaic":
            shapes |= {
                f"{layer}.attention.self.Wqkv.weight": (3 * width, width),
                f"{layer}.attention.self.Wqkv.bias": (3 * width,),
                f"{layer}.mlp.gated_layers.weight": (2 * hidden, width),
                f"{layer}.mlp.wo.weight": (width, hidden),
                f"{layer}.mlp.wo.bias": (width,),
                f"{layer}.mlp.layernorm.weight": (width,),
                f"{layer}.mlp.layernorm.bias": (width,),
            }
        else:
            for part in ("query", "key", "value"):
                shapes[f"{layer}.attention.self.{part}.weight"] = (width, width)
                shapes[f"{layer}.attention.self.{part}.bias"] = (width,)
            shapes |= {
                f"{layer}.intermediate.dense.weight": (hidden, width),
                f"{layer}.intermediate.dense.bias": (hidden,),
                f"{layer}.output.dense.weight": (width, hidden),
                f"{layer}.output.dense.bias": (width,),
                f"{layer}.output.LayerNorm.weight": (width,),
                f"{layer}.output.LayerNorm.bias": (width,),
            }
    generator = torch.Generator().manual_seed(4)
    return {name: torch.randn(shape, generator=generator) * 0.5 for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def ensembl_ids() -> list[str]:
    """Ensembl ids of 200 genes; the first thirty mark the planted groups, ten each."""
    table = gene_table()
    coding = table.loc[table["gene_class"] == "protein_coding", "ensembl_id"]
    return [str(name) for name in coding[::90]][:200]


@pytest.fixture(scope="session")
def make_data(ensembl_ids: list[str]) -> Callable[..., AnnData]:
    """A maker of cells in three planted groups, each with ten marker genes."""

    def make(n_cells: int = 90, *, names: list[str] | None = None, seed: int = 0) -> AnnData:
        rng = np.random.default_rng(seed)
        group = np.arange(n_cells) % 3
        rate = np.full((n_cells, 200), 0.15)
        for index in range(3):
            rate[group == index, 10 * index : 10 * index + 10] = 5.0
        counts = rng.poisson(rate)
        counts[np.arange(200) % n_cells, np.arange(200)] += 1
        obs = pd.DataFrame({"group": group}, index=[f"cell{n}" for n in range(n_cells)])
        return AnnData(
            sparse.csr_matrix(counts, dtype=np.float32),
            obs=obs,
            var=pd.DataFrame(index=ensembl_ids if names is None else names),
        )

    return make


@pytest.fixture
def make_checkpoint(tmp_path: Path, ensembl_ids: list[str]) -> Checkpoint:
    """A maker of folders with a published checkpoint, any part of it changed."""

    def make(
        layout: str = "mosaic",
        *,
        genes: list[str] | None = None,
        tensors: dict[str, Tensor] | None = None,
        file: str = "pytorch_model.bin",
        medians: dict[str, float] | None = None,
        **changes: Any,
    ) -> Path:
        genes = ensembl_ids if genes is None else genes
        special = ["<pad>", "<mask>", "<cls>", "<eos>"]
        ids = {name: number for number, name in enumerate([*special, *genes])}
        tensors = published_tensors(layout, len(ids)) if tensors is None else tensors
        folder = tmp_path / f"{layout}{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        if file.endswith(".bin"):
            torch.save(tensors, folder / file)
        else:
            save_file(tensors, folder / file)
        config = {
            "hidden_size": SIZES["width"],
            "num_hidden_layers": SIZES["n_layers"],
            "num_attention_heads": SIZES["n_heads"],
            "intermediate_size": SIZES["hidden"],
            "vocab_size": len(ids),
        }
        (folder / "config.json").write_text(json.dumps(config | changes))
        (folder / "vocab.json").write_text(json.dumps(ids))
        if medians is not None:
            (folder / "gene_median.json").write_text(json.dumps(medians))
        return folder

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of its own for every test."""
    return np.random.default_rng(7)
