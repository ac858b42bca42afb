"""Miniature random checkpoints with the names of the published ones, and cells for them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor

from scypher.encoders.cells import Cells, prepare

GENES = [
    *("CD3D", "CD3E", "CD3G", "IL7R", "LTB", "CD2", "IL32", "CD27", "TCF7", "LCK"),
    *("CD79A", "CD79B", "MS4A1", "CD19", "CD74", "BANK1", "TCL1A", "PAX5", "BLK", "CD37"),
]
OTHERS = ["LYZ", "S100A8", "S100A9", "CD14", "FCN1", "VCAN", "CST3", "LST1", "TYROBP", "CTSS"]
WIDTH, HIDDEN, DEPTH, BINS, BITS, CODE, CONDITION = 16, 24, 2, 5, 3, 4, 7
DECODER, CLASSES = 8, {"cell_type": 6, "tissue": 5, "disease": 4, "sex": 3, "age": 7}
CENTRE = [0.5, 1.9, 1.2, 1.9, 2.8, 0.6, -0.5, 0.3, 0.7, -1.3, 0.9, 1.1, 0.4, -0.3, 0.6, -1.0]
"""About where the toy cells of the first seed lie."""

GENE_LIST = "OS_scRNA_gene_index.19264.tsv"


@dataclass(frozen=True)
class Mini:
    """Makers of miniature checkpoints."""

    folder: Path

    def state(self, n_genes: int = len(GENES), *, codes: bool = True, seed: int = 0) -> Any:
        """Tensors under their published names."""
        generator = torch.Generator().manual_seed(seed)
        shapes = encoder_shapes(n_genes) | (code_shapes(n_genes) if codes else {})
        shapes |= decoder_shapes(codes=codes)
        state = {name: 0.3 * torch.randn(s, generator=generator) for name, s in shapes.items()}
        for name in state:
            if "norm" in name and name.endswith("weight"):
                state[name] += 1
        if codes:
            number = torch.arange(2**BITS)
            bits = [(number // 2 ** (BITS - 1 - place)) % 2 for place in range(BITS)]
            state["cell_vq.embedding"] = torch.stack(bits, dim=1).float()
            # Codes that lie apart, and cells among several of them.
            for layer in (0, 3, 6, 9, 12, 15):
                state[f"cell_vq.embedding_mlp.{layer}.weight"] *= 4
            state["pos_emb.weight"] *= 3
            state["cell_vq.proj.bias"] = -state["cell_vq.proj.weight"] @ torch.tensor(CENTRE)
            for layer in (1, 4, 7, 10, 13):
                prefix = f"cell_vq.embedding_mlp.{layer}."
                state[f"{prefix}running_var"] = state[f"{prefix}running_var"].abs() + 0.5
                state[f"{prefix}num_batches_tracked"] = torch.tensor(9)
        state["decoder.performer.calls_since_last_redraw"] = torch.tensor(3)
        return state

    def config(self, n_genes: int = len(GENES)) -> dict[str, Any]:
        """The flat configuration."""
        return {
            "seq_len": n_genes + 2,
            "encoder": {
                "hidden_dim": WIDTH,
                "depth": DEPTH,
                "heads": 4,
                "dim_head": 4,
                "module_type": "transformer",
                "norm_first": False,
            },
            "decoder": {"hidden_dim": DECODER, "depth": 1, "module_type": "performer"},
            "bin_num": BINS,
            "bin_alpha": 1.5,
            "model": "mae_autobin",
            "pad_token_id": 103,
            "mask_token_id": 102,
        }

    def genes(self, names: list[str] = GENES) -> None:
        """Write the gene list beside the checkpoint."""
        table = pd.DataFrame({"gene_name": names, "index": range(len(names))})
        table.to_csv(self.folder / GENE_LIST, sep="\t", index=False)

    def cellvq(
        self, change: Callable[[dict[str, Any]], object] | None = None, **config: Any
    ) -> Path:
        """Write a checkpoint of two modes, the first one changed."""
        first, second = self.state(), self.state(seed=1)
        if change is not None:
            change(first)
        path = self.folder / "checkpoint.pt"
        torch.save({"config": self.config() | config, "m1": first, "m2": second}, path)
        self.genes()
        return path

    def scfoundation(self, names: list[str] = GENES) -> Path:
        """Write a checkpoint of three modes."""
        content = {}
        for seed, mode in enumerate(("cell", "rde", "gene")):
            flat = self.config(len(names))
            config = {
                "model": "mae_autobin",
                "model_config": {"mae_autobin": flat},
                "dataset_config": {"rnaseq": {"bin_type": "auto_bin"}},
            }
            state = self.state(len(names), codes=False, seed=seed)
            content[mode] = {
                "config": config,
                "state_dict": {f"model.{name}": value for name, value in state.items()},
            }
        path = self.folder / "models.ckpt"
        torch.save(content, path)
        self.genes(names)
        return path


def encoder_shapes(n_genes: int) -> dict[str, tuple[int, ...]]:
    """Shapes that both families share."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_emb.mlp.weight": (BINS, 1),
        "token_emb.mlp.bias": (BINS,),
        "token_emb.mlp2.weight": (BINS, BINS),
        "token_emb.mlp2.bias": (BINS,),
        "token_emb.emb.weight": (BINS, WIDTH),
        "token_emb.emb_mask.weight": (1, WIDTH),
        "token_emb.emb_pad.weight": (1, WIDTH),
        "pos_emb.weight": (n_genes + 3, WIDTH),
        "encoder.norm.weight": (WIDTH,),
        "encoder.norm.bias": (WIDTH,),
    }
    for number in range(DEPTH):
        prefix = f"encoder.transformer_encoder.{number}."
        shapes |= {
            f"{prefix}self_attn.in_proj_weight": (3 * WIDTH, WIDTH),
            f"{prefix}self_attn.in_proj_bias": (3 * WIDTH,),
            f"{prefix}self_attn.out_proj.weight": (WIDTH, WIDTH),
            f"{prefix}self_attn.out_proj.bias": (WIDTH,),
            f"{prefix}linear1.weight": (HIDDEN, WIDTH),
            f"{prefix}linear1.bias": (HIDDEN,),
            f"{prefix}linear2.weight": (WIDTH, HIDDEN),
            f"{prefix}linear2.bias": (WIDTH,),
            f"{prefix}norm1.weight": (WIDTH,),
            f"{prefix}norm1.bias": (WIDTH,),
            f"{prefix}norm2.weight": (WIDTH,),
            f"{prefix}norm2.bias": (WIDTH,),
        }
    return shapes


def code_shapes(n_genes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of what CellVQ adds to the encoder."""
    shapes: dict[str, tuple[int, ...]] = {
        "go": (n_genes + 2, n_genes + 2),
        "go_embed.weight": (WIDTH, n_genes + 2),
        "go_embed.bias": (WIDTH,),
        "cell_vq.embedding": (2**BITS, BITS),
        "cell_vq.proj.weight": (CODE, WIDTH),
        "cell_vq.proj.bias": (CODE,),
        "cell_vq.proj_inv.weight": (WIDTH, CODE),
        "cell_vq.proj_inv.bias": (WIDTH,),
    }
    for layer in (0, 3, 6, 9, 12, 15):
        out = CODE if layer == 15 else CONDITION
        given = CONDITION if layer else BITS
        shapes[f"cell_vq.embedding_mlp.{layer}.weight"] = (out, given)
        shapes[f"cell_vq.embedding_mlp.{layer}.bias"] = (out,)
    for layer in (1, 4, 7, 10, 13):
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"cell_vq.embedding_mlp.{layer}.{name}"] = (CONDITION,)
    return shapes


def decoder_shapes(*, codes: bool) -> dict[str, tuple[int, ...]]:
    """Shapes that encoding does not need."""
    shapes: dict[str, tuple[int, ...]] = {
        "decoder_embed.weight": (DECODER, WIDTH),
        "decoder_embed.bias": (DECODER,),
        "to_final.weight": (1, DECODER),
        "to_final.bias": (1,),
    }
    prefix = "decoder.performer.net.layers.0."
    for name in ("norm", "decoder.norm", f"{prefix}0.norm", f"{prefix}1.norm"):
        shapes |= {f"{name}.weight": (DECODER,), f"{name}.bias": (DECODER,)}
    for name in ("to_q", "to_k", "to_v"):
        shapes |= {
            f"{prefix}0.fn.{name}.weight": (12, DECODER),
            f"{prefix}0.fn.{name}.bias": (12,),
        }
    shapes |= {
        f"{prefix}0.fn.to_out.weight": (DECODER, 12),
        f"{prefix}0.fn.to_out.bias": (DECODER,),
        f"{prefix}0.fn.fast_attention.projection_matrix": (9, 4),
        f"{prefix}1.fn.fn.w1.weight": (32, DECODER),
        f"{prefix}1.fn.fn.w1.bias": (32,),
        f"{prefix}1.fn.fn.w2.weight": (DECODER, 32),
        f"{prefix}1.fn.fn.w2.bias": (DECODER,),
    }
    if codes:
        for name in ("mean", "disp", "pi"):
            shapes |= {f"{name}.weight": (1, DECODER), f"{name}.bias": (1,)}
        for name, classes in CLASSES.items():
            shapes |= {f"{name}.weight": (classes, 4 * WIDTH), f"{name}.bias": (classes,)}
    return shapes


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    """Makers of miniature checkpoints in a folder of the test."""
    return Mini(tmp_path)


@pytest.fixture(scope="session")
def model_genes() -> list[str]:
    """Genes of the miniature, in its order."""
    return list(GENES)


@pytest.fixture(scope="session")
def toy() -> AnnData:
    """60 cells; 20 genes that the miniature reads in another order, among ten that it does not.

    Cells express 1 to 20 of the genes that are read, the last one none of them.
    """
    rng = np.random.default_rng(0)
    names = [*OTHERS[:5], *reversed(GENES), *OTHERS[5:]]
    counts = rng.poisson(3.0, (60, len(names))) + 1
    read = np.isin(names, GENES)
    for cell in range(60):
        kept = rng.choice(np.flatnonzero(read), 1 + cell % len(GENES), replace=False)
        hidden = np.setdiff1d(np.flatnonzero(read), kept)
        counts[cell, hidden] = 0
    counts[59, read] = 0
    return AnnData(
        sparse.csr_matrix(counts, dtype=np.float32),
        obs=pd.DataFrame(index=[f"cell{number}" for number in range(60)]),
        var=pd.DataFrame(index=names),
    )


@pytest.fixture(scope="session")
def toy_cells(toy: AnnData) -> Cells:
    """The toy, checked."""
    return prepare(toy)


@pytest.fixture
def as_numbers() -> Callable[[dict[str, Tensor]], dict[str, np.ndarray]]:
    """Turn a state into float64 arrays."""
    return lambda state: {name: value.double().numpy() for name, value in state.items()}
