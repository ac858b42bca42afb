import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from scypher.encoders.errors import InputError
from scypher.kg.attention import informative_tokens
from scypher.kg.clique import CliqueAttention, CliqueConfig, attend_clique

GROUPS, PER_GROUP, PAIRS = 3, 6, 6
FIRST = GROUPS * PER_GROUP
GENES = FIRST + 2 * PAIRS
SMALL = CliqueConfig(
    hidden=16, heads=4, feed_forward=32, bits=4, code_width=8, condition_width=16, epochs=2
)


def planted(n_cells: int = 300, seed: int = 0) -> dict[str, Any]:
    """Cells of three programs of six genes; then pairs of genes that are on together.

    The embedding is the group with noise: it knows the programs and nothing of the pairs.
    """
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, n_cells)
    rate = np.full((n_cells, GENES), 0.15)
    for g in range(GROUPS):
        rate[np.ix_(group == g, np.arange(PER_GROUP * g, PER_GROUP * (g + 1)))] = 3
    on = rng.random((n_cells, PAIRS)) < 0.5
    rate[:, FIRST:] = np.repeat(np.where(on, 4, 0.05), 2, axis=1)
    counts = csr_matrix(rng.poisson(rate).astype(np.float32))
    totals = counts.sum(axis=1).A1
    tokens = counts.copy()
    tokens.data = np.log1p(counts.data * np.repeat(1e4 / totals, np.diff(counts.indptr)))
    cells = np.eye(GROUPS)[group] + rng.normal(0, 0.2, (n_cells, GROUPS))
    return {
        "cells": cells.astype(np.float32),
        "tokens": tokens.astype(np.float32),
        "gene_features": np.zeros((GENES, 4), np.float32),
        "counts": counts,
        "group": group,
    }


def run(data: dict[str, Any], seed: int = 0, **config: Any) -> CliqueAttention:
    given = {name: part for name, part in data.items() if name not in ("cells", "group")}
    chosen = replace(SMALL, **config)
    generator = np.random.default_rng(seed)
    return attend_clique(data["cells"], generator=generator, config=chosen, **given)


@pytest.fixture(scope="module")
def toy() -> dict[str, Any]:
    return planted()


@pytest.fixture(scope="module")
def quick(toy: dict[str, Any]) -> CliqueAttention:
    return run(toy)


@pytest.fixture(scope="module")
def trained(toy: dict[str, Any]) -> CliqueAttention:
    size = {"hidden": 32, "feed_forward": 64, "batch_cells": 16}
    return run(toy, **size, epochs=24, hide=0.25, learning_rate=1e-2)


def by_hand(network: Any, cell: Any, gene: Any, value: Any) -> tuple[Any, Any]:
    """The block from its equations, one head, one query at a time: states, attention per head."""
    p = {name: part.detach().numpy().astype(float) for name, part in network.named_parameters()}
    size, heads = p["block.out.weight"].shape[0], network.block.heads
    width = size // heads

    def norm(x: Any, name: str) -> Any:
        scaled = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return scaled * p[f"block.{name}.weight"] + p[f"block.{name}.bias"]

    def soft(x: Any) -> Any:
        return np.exp(x - x.max()) / np.exp(x - x.max()).sum()

    features = network.features.numpy()
    tokens = [p["cell_in.weight"] @ cell + p["cell_in.bias"]]
    for g, v in zip(gene, value, strict=True):
        u = p["value_in.mlp.weight"][:, 0] * v + p["value_in.mlp.bias"]
        u = np.where(u > 0, u, 0.1 * u)
        bins = soft(u + p["value_in.mlp2.weight"] @ u + p["value_in.mlp2.bias"])
        own = p["gene_own.weight"][g] + p["gene_in.weight"] @ features[g]
        tokens.append(own + bins @ p["value_in.emb.weight"])
    joined = [p["block.joined.weight"] @ token for token in tokens]
    states, weights = [], np.zeros((heads, len(tokens), len(tokens)))
    from scipy.special import erf

    for i in range(len(tokens)):
        parts = []
        for h in range(heads):
            at = slice(h * width, (h + 1) * width)
            query = joined[i][:size][at]
            keys = np.array([j[size : 2 * size][at] for j in joined])
            values = np.array([j[2 * size :][at] for j in joined])
            weights[h, i] = soft(keys @ query / np.sqrt(width))
            parts.append(weights[h, i] @ values)
        added = p["block.out.weight"] @ np.concatenate(parts) + p["block.out.bias"]
        y = norm(tokens[i] + added, "norm_attended")
        hidden = p["block.forth.weight"] @ y + p["block.forth.bias"]
        hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
        states.append(norm(y + p["block.back.weight"] @ hidden + p["block.back.bias"], "norm"))
    return np.array(states), weights


def hand_read(trained: CliqueAttention, row: int) -> tuple[Any, Any, Any]:
    data = trained.network.data
    at = slice(*data.tokens.indptr[row : row + 2])
    gene, value = data.gene_number[data.tokens.indices[at]], data.tokens.data[at]
    cell = (data.cells[row] - data.centre) / data.scale
    return gene, *by_hand(trained.network.network, cell, gene, value)


# the forward pass


def test_forward_pass_is_the_equations(quick: CliqueAttention) -> None:
    for row in (0, 7):
        _, states, weights = hand_read(quick, row)
        np.testing.assert_allclose(quick.embedding[row], states[0], atol=1e-5)
        attention = weights.mean(axis=0)[0, 1:]
        expected = attention / attention.sum() * len(attention)
        np.testing.assert_allclose(quick.genes[row].data, expected, rtol=1e-4)


def test_full_pass_gives_the_states_of_the_genes_too(quick: CliqueAttention) -> None:
    import torch

    from scypher.kg.clique.batches import see

    data, network = quick.network.data, quick.network.network
    rows = np.array([3, 4])
    with torch.inference_mode():
        states = network.eval()(see(data, rows, *data.edges_of(rows))).numpy()
    for place, row in enumerate(rows):
        _, expected, _ = hand_read(quick, int(row))
        np.testing.assert_allclose(states[place, : len(expected)], expected, atol=1e-5)


def test_gene_pairs_are_the_gene_block_in_both_directions(quick: CliqueAttention) -> None:
    rows = np.array([5, 1, 9])
    expected = np.zeros((GENES, GENES))
    for row in rows:
        gene, _, weights = hand_read(quick, int(row))
        gene = quick.network.data.genes[gene]
        block = weights.mean(axis=0)[1:, 1:]
        for i in range(len(gene)):
            for j in range(len(gene)):
                if gene[i] < gene[j]:
                    expected[gene[i], gene[j]] += block[i, j] + block[j, i]
    found = quick.gene_pairs(rows)
    assert found.shape == (GENES, GENES)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)


def test_gene_pairs_do_not_depend_on_the_batches(quick: CliqueAttention) -> None:
    rows = np.arange(100)
    one = replace(quick.network, config=replace(quick.network.config, batch_cells=1))
    together = quick.gene_pairs(rows)
    np.testing.assert_allclose(one.gene_pairs(rows).toarray(), together.toarray(), atol=1e-4)
    assert not quick.gene_pairs(rows[:0]).nnz


def test_cell_alone_is_the_cell_in_a_batch(quick: CliqueAttention) -> None:
    genes, _, states, codes = quick.network.read()
    alone = replace(quick.network, config=replace(quick.network.config, batch_cells=1))
    genes_alone, _, states_alone, codes_alone = alone.read()
    assert np.ptp(np.diff(quick.genes.indptr)) > 0
    np.testing.assert_allclose(genes_alone, genes, atol=1e-5)
    np.testing.assert_allclose(states_alone, states, atol=1e-5)
    np.testing.assert_array_equal(codes_alone, codes)


# what comes back


def test_attention_keeps_the_tokens_and_sums_to_their_number(
    toy: dict[str, Any], quick: CliqueAttention
) -> None:
    np.testing.assert_array_equal(quick.genes.indices, toy["tokens"].indices)
    np.testing.assert_array_equal(quick.genes.indptr, toy["tokens"].indptr)
    np.testing.assert_allclose(quick.genes.sum(axis=1).A1, np.diff(quick.genes.indptr), rtol=1e-4)
    assert quick.metadata == {}
    assert quick.embedding.shape == (300, 16)
    assert quick.code.shape == (300,)
    assert quick.code.max() < 2**SMALL.bits


def test_same_seed_same_result_and_no_global_generator_moves(
    toy: dict[str, Any], quick: CliqueAttention
) -> None:
    import torch

    before = torch.random.get_rng_state().clone()
    again = run(toy)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(again.genes.data, quick.genes.data)
    np.testing.assert_array_equal(again.code, quick.code)
    pd.testing.assert_frame_equal(again.history, quick.history)
    assert not np.array_equal(run(toy, seed=1).embedding, quick.embedding)
    assert run(toy, epochs=1).history.shape[0] == 1


def test_whole_profile_gives_what_its_dense_form_gives(toy: dict[str, Any]) -> None:
    dense = run({**toy, "cells": toy["tokens"].toarray()}, epochs=1)
    thin = run({**toy, "cells": toy["tokens"]}, epochs=1)
    np.testing.assert_allclose(thin.embedding, dense.embedding, atol=1e-4)


def test_torch_generator_and_progress(toy: dict[str, Any]) -> None:
    import torch

    told: list[tuple[str, int, int]] = []
    given = {name: part for name, part in toy.items() if name not in ("cells", "group")}
    attend_clique(
        toy["cells"],
        **given,
        generator=torch.Generator().manual_seed(0),
        config=replace(SMALL, epochs=1),
        progress=lambda *step: told.append(step),
    )
    assert told == [("clique attention", 1, 2), ("clique attention", 2, 2)]


# what is learned


def test_held_out_genes_are_found_beyond_popularity(trained: CliqueAttention) -> None:
    history = trained.history
    assert history["kept"].sum() == 1
    kept = history[history["kept"]].iloc[0]
    assert kept["held_out"] == history["held_out"].min()
    assert kept["auroc"] > kept["auroc_popularity"] + 0.15
    assert history["held_out"].iloc[-1] < history["held_out"].iloc[0]


def test_codes_tell_the_groups(toy: dict[str, Any], trained: CliqueAttention) -> None:
    from sklearn.metrics import homogeneity_score

    assert homogeneity_score(toy["group"], trained.code) > 0.7


def test_genes_attend_to_their_partners(trained: CliqueAttention) -> None:
    pairs = trained.gene_pairs(np.arange(300))
    held = (trained.genes > 0).astype(float)
    mean = pairs.toarray() / np.maximum((held.T @ held).toarray(), 1)
    block = mean[FIRST:, FIRST:]
    partner = np.zeros_like(block, dtype=bool)
    partner[np.arange(0, 2 * PAIRS, 2), np.arange(1, 2 * PAIRS, 2)] = True
    others = block[np.triu(~partner, 1)]
    assert np.mean(block[partner] > np.quantile(others, 0.95)) >= 0.8


# metadata


@pytest.fixture(scope="module")
def by_metadata(toy: dict[str, Any]) -> CliqueAttention:
    rng = np.random.default_rng(0)
    donor = rng.integers(0, 4, 300)
    sex = np.where(rng.random(300) < 0.3, -1, donor % 2)
    return run({**toy, "metadata": {"donor": donor, "sex": sex}}, epochs=1)


def test_metadata_takes_the_place_of_the_genes(by_metadata: CliqueAttention) -> None:
    assert not by_metadata.genes.nnz
    found = np.stack([by_metadata.metadata["donor"], by_metadata.metadata["sex"]], axis=1)
    known = ~np.isnan(found)
    assert known[:, 0].all()
    assert 0.5 < known[:, 1].mean() < 0.9
    np.testing.assert_allclose(np.nansum(found, axis=1), known.sum(axis=1), rtol=1e-5)
    with pytest.raises(InputError, match="train it without metadata"):
        by_metadata.gene_pairs(np.arange(3))


# questions


def test_what_is_asked_for_is_in_no_clique(toy: dict[str, Any]) -> None:
    from scypher.kg.clique.batches import ask, see
    from scypher.kg.clique.data import CliqueData

    data = CliqueData.of(
        toy["cells"], toy["tokens"], toy["gene_features"], counts=toy["counts"], metadata={}
    )
    rows = np.array([10, 2, 33])
    cell, position = data.edges_of(rows)
    hidden = np.arange(len(cell)) % 3 == 0
    seen = see(data, rows, cell[~hidden], position[~hidden])
    asked = ask(data, rows, cell[hidden], position[hidden], rng=np.random.default_rng(0))
    dense, totals = toy["counts"].toarray(), toy["counts"].sum(axis=1).A1
    for place, row in enumerate(rows):
        genes = data.genes[asked.gene[place][asked.there[place]].numpy()]
        shown = data.genes[seen.token[place][seen.present[place]].numpy()]
        assert not set(genes) & set(shown)
        count = asked.count[place][asked.there[place]].numpy()
        np.testing.assert_array_equal(count, dense[row, genes])
        target = asked.target[place][asked.there[place]].numpy()
        np.testing.assert_allclose(target, np.log1p(count * 1e4 / totals[row]), rtol=1e-5)
        n_hidden = int(hidden[cell == place].sum())
        assert (count > 0).sum() == n_hidden
        assert (count == 0).sum() == n_hidden
        assert set(shown) | set(genes[count > 0]) == set(np.flatnonzero(dense[row]))


# tokens


def test_tokens_are_the_highest_z_scores_of_informative_genes() -> None:
    rng = np.random.default_rng(0)
    dense = rng.poisson(1.0, (40, 12)).astype(np.float32)
    genes = pd.DataFrame({"gene_class": ["ribosomal", "mitochondrial", *["protein_coding"] * 10]})
    allowed = np.array([2, 3, 5, 7, 8, 9, 11])
    found = informative_tokens(
        csr_matrix(dense), genes, n_tokens=3, candidates=np.r_[0, 1, allowed]
    )
    z = (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), 1)
    for row in range(40):
        mine = [g for g in allowed if dense[row, g] > 0]
        best = sorted(mine, key=lambda g: (-z[row, g], g))[:3]
        assert found[row].indices.tolist() == sorted(best)
        np.testing.assert_array_equal(found[row].data, dense[row, sorted(best)])


def test_real_tokens_hold_no_ribosomal_gene_and_lose_no_name(data_dir: Path) -> None:
    from scypher.encoders.cells import prepare
    from scypher.encoders.counts import normalise

    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    tokens = informative_tokens(normalise(cells.counts, cells.totals), cells.genes, n_tokens=50)
    used = cells.genes.iloc[np.unique(tokens.indices)]
    assert not set(used["gene_class"]) & {"ribosomal", "mitochondrial"}
    with_letters = cells.genes["symbol"].str.contains("RP") & (
        cells.genes["gene_class"] == "protein_coding"
    )
    assert with_letters.any()
    assert set(cells.genes.index[with_letters]) & set(used.index)
    assert np.diff(tokens.indptr).max() <= 50


def test_real_cells_attend_to_the_genes_of_their_kind(data_dir: Path) -> None:
    from scypher.encoders.cells import prepare
    from scypher.encoders.counts import normalise

    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    tokens = informative_tokens(normalise(cells.counts, cells.totals), cells.genes, n_tokens=60)
    found = attend_clique(
        tokens,
        tokens=tokens,
        gene_features=np.zeros((tokens.shape[1], 1), np.float32),
        counts=cells.counts,
        generator=np.random.default_rng(0),
        config=CliqueConfig(hidden=32, heads=4, feed_forward=64, epochs=8),
    )
    kept = found.history[found.history["kept"]].iloc[0]
    assert kept["auroc"] > kept["auroc_popularity"]
    label = cells.adata.obs["cell_type"].astype(str).to_numpy()
    b_cells = np.char.find(label.astype(str), "CD19+ B") >= 0
    inside = found.genes[b_cells].mean(axis=0).A1
    rest = found.genes[~b_cells].mean(axis=0).A1
    symbols = cells.genes["symbol"].to_numpy()[np.argsort(rest - inside)[:10]]
    assert {"CD79A", "CD79B", "MS4A1", "CD74", "HLA-DRA"} & set(symbols)


# bad input


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cells": np.zeros((2, 3), np.float32)}, r"cells of shape \(2, 3\)"),
        ({"gene_features": np.zeros((2, 3), np.float32)}, "gene_features of shape"),
        ({"counts": csr_matrix((2, 3))}, "counts of shape"),
        ({"tokens": csr_matrix((300, GENES))}, "without any entry"),
        ({"cells": np.full((300, 3), np.nan, np.float32)}, "NaN or infinity"),
        ({"counts": csr_matrix(-np.ones((300, GENES)))}, "none below 0"),
        ({"metadata": {"sex": np.zeros(300)}}, "expected integers"),
        ({"metadata": {"sex": np.full(300, -2)}}, "-1 for unknown"),
    ],
)
def test_bad_input_is_refused(toy: dict[str, Any], change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        run({**toy, **change})


@pytest.mark.parametrize("rows", [np.array([300]), np.array([-1]), np.array([0.5])])
def test_rows_that_are_no_cells_are_refused(quick: CliqueAttention, rows: Any) -> None:
    with pytest.raises(InputError, match="pass positions of cells"):
        quick.gene_pairs(rows)


@pytest.mark.parametrize(
    "change",
    [{"hidden": 10}, {"epochs": 0}, {"hide": 1.0}, {"dropout": 1.0}, {"learning_rate": 0.0}],
)
def test_bad_choices_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        replace(CliqueConfig(), **change)


def test_tokens_need_a_gene_table_of_the_genes_and_something_to_choose() -> None:
    matrix = csr_matrix(np.ones((3, 2), np.float32))
    with pytest.raises(InputError, match="1 gene rows"):
        informative_tokens(matrix, pd.DataFrame({"gene_class": ["lncrna"]}))
    with pytest.raises(InputError, match="widen the candidates"):
        informative_tokens(matrix, pd.DataFrame({"gene_class": ["ribosomal"] * 2}))


def test_import_loads_no_torch() -> None:
    program = "import sys, scypher.kg.clique; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
