"""The oracle of the tests, and small checkpoints of it under the published names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor, nn

from scypher.encoders.cellpatch.encoder import CellPatchEncoder
from scypher.encoders.cells import Cells, prepare
from scypher.encoders.vocabulary import gene_table

MARKERS = (
    ["CD3D", "CD3E", "IL7R", "LTB", "CD2"],
    ["CD79A", "CD79B", "MS4A1", "CD19", "BANK1"],
    ["LYZ", "S100A8", "S100A9", "CD14", "FCN1"],
)


class Reference(nn.Module):
    """CellPatch from torch's own modules, cell by cell and without padding.

    Its attributes have the published names, so its ``state_dict`` is a published checkpoint.
    """

    def __init__(
        self,
        *,
        n_tokens: int,
        n_patches: int = 5,
        width: int = 8,
        n_heads: int = 2,
        hidden: int = 12,
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)

        def attention() -> nn.Module:
            return nn.MultiheadAttention(width, n_heads, batch_first=True)

        def mlp() -> nn.Module:
            return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

        self.pathway_token = nn.Parameter(torch.randn(1, n_patches, width))
        self.gene2vector = nn.Embedding(n_tokens, width)
        self.count2vector = nn.Linear(1, width)
        self.count2vector_norm = nn.LayerNorm(width)
        self.encoder_projection = nn.Linear(width, 10)
        self.decoder_reverse_projection = nn.Linear(10, width)
        self.decoder_projection = nn.Linear(width, 1)
        for stem, n in (("cross_extract", 0), ("self_extract", 2), ("decoder_extract", 0)):
            for part, make in (("attn", attention), ("mlp", mlp)):
                listed = nn.ModuleList(make() for _ in range(n)) if n else make()
                setattr(self, f"{stem}_blocks_{part}", listed)
                norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n))
                setattr(self, f"{stem}_blocks_{part}_norm", norms if n else nn.LayerNorm(width))
        self.decoder_selfattn_blocks_attn = nn.ModuleList([attention()])
        self.decoder_selfattn_blocks_attn_norm = nn.ModuleList([nn.LayerNorm(width)])
        self.decoder_selfattn_blocks_mlp = nn.ModuleList([mlp()])
        self.decoder_selfattn_blocks_mlp_norm = nn.ModuleList([nn.LayerNorm(width)])
        with torch.no_grad():
            for value in self.parameters():
                value.add_(0.2 * torch.randn(value.shape))
        self.eval()

    @torch.no_grad()
    def cell(self, gene: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return patches (n_patches, width) and weights (n_patches, length) of one cell."""
        tokens = (self.gene2vector(gene) + self.count2vector(value[:, None]))[None]
        start = self.pathway_token
        update, weights = self.cross_extract_blocks_attn(start, tokens, tokens)
        patches = self.cross_extract_blocks_attn_norm(start + update)
        patches = self.cross_extract_blocks_mlp_norm(
            patches + self.cross_extract_blocks_mlp(patches)
        )
        for layer in range(2):
            update, _ = self.self_extract_blocks_attn[layer](patches, patches, patches)
            patches = self.self_extract_blocks_attn_norm[layer](patches + update)
            update = self.self_extract_blocks_mlp[layer](patches)
            patches = self.self_extract_blocks_mlp_norm[layer](patches + update)
        return patches[0], weights[0]

    @torch.no_grad()
    def decode(self, patches: Tensor, gene: Tensor) -> Tensor:
        """Return the value of each gene asked for in one cell, (length,)."""
        source = self.decoder_reverse_projection(self.encoder_projection(patches))[None]
        state = self.gene2vector(gene)[None]
        update, _ = self.decoder_extract_blocks_attn(state, source, source)
        state = self.decoder_extract_blocks_attn_norm(state + update)
        state = self.decoder_extract_blocks_mlp_norm(state + self.decoder_extract_blocks_mlp(state))
        update, _ = self.decoder_selfattn_blocks_attn[0](state, state, state)
        state = self.decoder_selfattn_blocks_attn_norm[0](state + update)
        update = self.decoder_selfattn_blocks_mlp[0](state)
        state = self.decoder_selfattn_blocks_mlp_norm[0](state + update)
        return self.decoder_projection(state)[0, :, 0]


@pytest.fixture
def make_reference() -> type[Reference]:
    """The maker of oracles."""
    return Reference


@pytest.fixture(scope="session")
def genes() -> list[str]:
    """200 approved symbols, the markers of three groups first."""
    table = gene_table()
    coding = table[(table["gene_class"] == "protein_coding") & (table["symbol"] != "")]
    coding = coding[~coding["symbol"].duplicated(keep=False)]
    markers = [name for group in MARKERS for name in group]
    assert set(markers) <= set(coding["symbol"])
    others = [name for name in coding["symbol"].iloc[::50] if name not in markers]
    return (markers + others)[:200]


@pytest.fixture(scope="session")
def make_cells(genes: list[str]) -> Callable[..., Cells]:
    """A maker of cells in three planted groups, each with five marker genes."""

    def make(
        n_cells: int = 60, *, names: list[str] | None = None, background: float = 0.3
    ) -> Cells:
        names = genes if names is None else names
        rng = np.random.default_rng(0)
        group = np.arange(n_cells) % 3
        rate = np.full((n_cells, len(names)), background)
        for index, markers in enumerate(MARKERS):
            rate[np.ix_(group == index, np.isin(names, markers))] = 8.0
        counts = rng.poisson(rate)
        counts[np.arange(len(names)) % n_cells, np.arange(len(names))] += 1
        obs = pd.DataFrame(
            {"group": pd.Categorical(group.astype(str))},
            index=[f"cell{number}" for number in range(n_cells)],
        )
        return prepare(
            AnnData(
                sparse.csr_matrix(counts, dtype=np.float32), obs=obs, var=pd.DataFrame(index=names)
            )
        )

    return make


@pytest.fixture
def save_public(genes: list[str], tmp_path: Path) -> Callable[..., Path]:
    """A maker of published checkpoints with their side files; ``change`` edits the state."""

    def save(
        *,
        change: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        wrap: bool = True,
        names: list[str] | None = None,
        arguments: dict[str, Any] | None = None,
        **sizes: Any,
    ) -> Path:
        names = genes if names is None else names
        reference = Reference(n_tokens=len(genes) + 20, **sizes)
        state = change(dict(reference.state_dict()))
        path = tmp_path / "CellPatch_toy.pth"
        torch.save({"model_state_dict": state, "epoch": 50} if wrap else state, path)
        tokens = {name: number for number, name in enumerate(names, start=1)}
        (tmp_path / "gene2tok.json").write_text(json.dumps(tokens))
        if arguments is not None:
            (tmp_path / "CellPatch_toy_args.json").write_text(json.dumps(arguments))
        return path

    return save


@pytest.fixture
def encoder(save_public: Callable[..., Path]) -> CellPatchEncoder:
    return CellPatchEncoder(save_public())


@pytest.fixture
def cells(make_cells: Callable[..., Cells]) -> Cells:
    return make_cells()


@pytest.fixture
def ragged() -> sparse.csr_matrix:
    """Values of 23 cells with 0 to 40 of 40 genes, one of them without any."""
    rng = np.random.default_rng(4)
    values = rng.gamma(2.0, 1.0, (23, 40)) * (rng.random((23, 40)) < np.linspace(0, 1, 23)[:, None])
    values[0] = 0
    return sparse.csr_matrix(values.astype(np.float32))
