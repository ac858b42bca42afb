"""Cells, and a miniature Cell2Sentence checkpoint with the tensor names of published ones."""

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

from scypher.encoders.cells import Cells, prepare
from scypher.encoders.vocabulary import gene_table

WIDTH, LAYERS, HEADS, INNER = 32, 2, 4, 64

MARKERS = (
    ["CD3D", "CD3E", "CD3G", "IL7R", "LTB", "CD2", "IL32", "CD27", "TCF7", "LCK"],
    ["CD79A", "CD79B", "MS4A1", "CD19", "CD74", "BANK1", "TCL1A", "PAX5", "BLK", "CD37"],
    ["LYZ", "S100A8", "S100A9", "CD14", "FCN1", "VCAN", "CST3", "LST1", "TYROBP", "CTSS"],
)


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    """200 symbols, the markers of three groups first."""
    table = gene_table()
    coding = table[table["gene_class"] == "protein_coding"]["symbol"].drop_duplicates()
    markers = [name for group in MARKERS for name in group]
    others = [name for name in coding.iloc[::90] if name and name not in markers]
    return (markers + others)[:200]


@pytest.fixture
def make_cells(vocabulary: list[str]) -> Callable[[int], Cells]:
    """A maker of cells in three planted groups, each with ten marker genes."""

    def make(n_cells: int) -> Cells:
        rng = np.random.default_rng(0)
        group = np.arange(n_cells) % 3
        rate = np.full((n_cells, 200), 0.12)
        for index in range(3):
            rate[group == index, 10 * index : 10 * index + 10] = 6.0
        counts = rng.poisson(rate)
        counts[np.arange(200) % n_cells, np.arange(200)] += 1
        obs = pd.DataFrame(
            {"group": group.astype(str)}, index=[f"cell{number}" for number in range(n_cells)]
        )
        matrix = sparse.csr_matrix(counts, dtype=np.float32)
        return prepare(AnnData(matrix, obs=obs, var=pd.DataFrame(index=vocabulary)))

    return make


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    """Sizes, in the words of the published files."""
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "hidden_act": "gelu",
        "rotary_pct": 0.25,
        "rotary_emb_base": 10000,
        "max_position_embeddings": 512,
        "layer_norm_eps": 1e-5,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


@pytest.fixture(scope="session")
def tokenizer_json(vocabulary: list[str]) -> str:
    """A byte-level BPE tokeniser, as Pythia's: pieces begin with the blank before them."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs scypher[language]")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(vocabulary)] * 3, trainer)
    # Settings of a training that must not reach the encoder.
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=600)
    return str(tokenizer.to_str())


@pytest.fixture(scope="session")
def state(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random weights under the true names, head and constant buffers included."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + draw(WIDTH), f"{name}.bias": draw(WIDTH)}

    tensors = {"gpt_neox.embed_in.weight": draw(400, WIDTH, scale=1.0)}
    for number in range(LAYERS):
        layer = f"gpt_neox.layers.{number}"
        tensors |= norm(f"{layer}.input_layernorm") | norm(f"{layer}.post_attention_layernorm")
        for name, out, given in (
            ("attention.query_key_value", 3 * WIDTH, WIDTH),
            ("attention.dense", WIDTH, WIDTH),
            ("mlp.dense_h_to_4h", INNER, WIDTH),
            ("mlp.dense_4h_to_h", WIDTH, INNER),
        ):
            tensors[f"{layer}.{name}.weight"] = draw(out, given)
            tensors[f"{layer}.{name}.bias"] = draw(out)
        tensors[f"{layer}.attention.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
        tensors[f"{layer}.attention.masked_bias"] = torch.tensor(-1e9)
        tensors[f"{layer}.attention.rotary_emb.inv_freq"] = torch.ones(1)
    return tensors | norm("gpt_neox.final_layer_norm") | {"embed_out.weight": draw(400, WIDTH)}


@pytest.fixture
def make_checkpoint(
    tmp_path: Path, config: dict[str, Any], state: dict[str, torch.Tensor], tokenizer_json: str
) -> Callable[..., Path]:
    """A maker of checkpoint folders, with settings and tensors replaced or (``None``) left out."""

    def make(
        tensors: dict[str, torch.Tensor | None] | None = None,
        *,
        name: str = "model",
        **settings: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        written = {"vocab_size": 400} | config | settings
        (folder / "config.json").write_text(json.dumps(written))
        (folder / "tokenizer.json").write_text(tokenizer_json)
        chosen = {
            name: value for name, value in (state | (tensors or {})).items() if value is not None
        }
        save_file(chosen, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    """A whole checkpoint folder."""
    pytest.importorskip("transformers", reason="needs scypher[language]")
    return make_checkpoint()
