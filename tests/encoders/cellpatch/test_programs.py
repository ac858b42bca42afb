"""Gene programs of patches and their activity, against loops and planted genes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scypher.encoders.cellpatch import programs
from scypher.encoders.cellpatch.encoder import CellPatchEncoder
from scypher.encoders.cellpatch.programs import patch_activity, patch_programs
from scypher.encoders.cells import Cells
from scypher.encoders.errors import InputError


def cell_of(cells: Cells, row: int) -> tuple[np.ndarray, torch.Tensor]:
    counts = cells.counts[row].toarray()[0]
    genes = np.flatnonzero(counts)
    return genes, torch.from_numpy(np.log1p(counts[genes] / counts.sum() * 1e4).astype(np.float32))


def test_programs_are_means_over_cells(
    encoder: CellPatchEncoder,
    cells: Cells,
    make_reference: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = make_reference(n_tokens=220)
    sums, seen = np.zeros((5, 200)), np.zeros(200)
    for row in range(60):
        genes, value = cell_of(cells, row)
        _, weights = reference.cell(torch.from_numpy(genes + 1), value)
        sums[:, genes] += weights.numpy() * len(genes)
        seen[genes] += 1
    mean = np.where(seen >= 20, sums / seen, -1)
    monkeypatch.setattr(programs, "TOKENS_PER_CHUNK", 500)
    table = patch_programs(encoder, cells, 7, min_cells=20)
    assert table.columns.tolist() == ["patch", "gene", "rank", "weight"]
    for patch, rows in table.groupby("patch"):
        order = np.argsort(-mean[patch])[:7]
        assert rows["gene"].tolist() == cells.genes["name"].to_numpy()[order].tolist()
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5, 6, 7]
        np.testing.assert_allclose(rows["weight"], mean[patch][order], rtol=1e-4)


def test_a_planted_program_is_found(encoder: CellPatchEncoder, cells: Cells) -> None:
    """The keys of five genes are turned towards the query of patch 2."""
    attention = encoder.model.read.attn
    with torch.no_grad():
        query = attention.project(0, encoder.model.start)[0].transpose(0, 1).flatten(1)[2]
        key = attention.in_proj_weight.chunk(3)[1]
        towards = torch.linalg.lstsq(key, query[:, None]).solution[:, 0]
        encoder.model.gene.weight[1:6] = 3 * towards
    table = patch_programs(encoder, cells, 5)
    found = table.loc[table["patch"] == 2, "gene"]
    assert set(found) == {"CD3D", "CD3E", "IL7R", "LTB", "CD2"}
    assert (table.loc[table["patch"] == 2, "weight"] > 1).all()


def test_activity_is_the_mean_norm_of_what_is_read(
    encoder: CellPatchEncoder, cells: Cells, make_reference: Callable[..., Any]
) -> None:
    cells.adata.obs["kind"] = pd.Categorical(["b", "a", None] * 20)
    table = patch_activity(encoder, cells, "kind")
    assert table.columns.tolist() == ["a", "b"]
    assert table.columns.name == "kind"
    assert table.index.name == "patch"
    reference = make_reference(n_tokens=220)
    sums: dict[str, Any] = {"a": 0.0, "b": 0.0}
    for row in range(60):
        kind = cells.adata.obs["kind"].iloc[row]
        if kind in sums:
            genes, value = cell_of(cells, row)
            with torch.no_grad():
                tokens = reference.gene2vector(torch.from_numpy(genes + 1))
                tokens = (tokens + reference.count2vector(value[:, None]))[None]
                start = reference.pathway_token
                update, _ = reference.cross_extract_blocks_attn(start, tokens, tokens)
            sums[kind] = sums[kind] + update[0].norm(dim=1).numpy() / 20
    for kind, wanted in sums.items():
        np.testing.assert_allclose(table[kind], wanted, rtol=1e-4)


def test_wrong_calls_are_refused(encoder: CellPatchEncoder, cells: Cells) -> None:
    with pytest.raises(InputError, match="n_top is 0 and min_cells 10"):
        patch_programs(encoder, cells, 0)
    with pytest.raises(InputError, match="no gene is read in 61 cells or more"):
        patch_programs(encoder, cells, min_cells=61)
    with pytest.raises(InputError, match="no column 'kind'; there are: group"):
        patch_activity(encoder, cells, "kind")
    cells.adata.obs["none"] = pd.Series([None] * 60, dtype=object, index=cells.adata.obs_names)
    with pytest.raises(InputError, match="'none' holds no value"):
        patch_activity(encoder, cells, "none")
