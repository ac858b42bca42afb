import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention.toys import GENES, GROUPS, SMALL, batch_of, planted, run
from scipy.sparse import csr_matrix, random_array

from scypher.encoders.errors import InputError
from scypher.kg.attention import (
    GraphAttention,
    GraphAttentionConfig,
    attend,
    batches,
    model,
    top_tokens,
    training,
)
from scypher.kg.attention.trained import TrainedNetwork


@pytest.fixture(scope="module")
def toy() -> dict[str, Any]:
    return planted()


@pytest.fixture(scope="module")
def trained(toy: dict[str, Any]) -> GraphAttention:
    return run(toy, hidden=32, heads=4, epochs=20, patience=20, held_out=0.1)


# the convolution


def test_convolution_is_the_equation_of_gatv2() -> None:
    import torch

    from scypher.kg.attention.convolution import GATv2

    torch_state = torch.random.get_rng_state()
    conv = GATv2((5, 6), 3, heads=2, edge_dim=4)
    rng = np.random.default_rng(0)
    source, target, n_edges = rng.normal(size=(7, 5)), rng.normal(size=(4, 6)), 15
    ends = np.stack([rng.integers(0, 7, n_edges), rng.integers(0, 4, n_edges)])
    edge = rng.normal(size=(n_edges, 4))
    as_float = [torch.from_numpy(x.astype(np.float32)) for x in (source, target, edge)]
    out, (returned, alpha) = conv(
        (as_float[0], as_float[1]),
        torch.from_numpy(ends),
        as_float[2],
        return_attention_weights=True,
    )
    torch.random.set_rng_state(torch_state)
    weights = {name: value.detach().numpy() for name, value in conv.named_parameters()}
    left = source @ weights["lin_l.weight"].T + weights["lin_l.bias"]
    right = target @ weights["lin_r.weight"].T + weights["lin_r.bias"]
    score = np.zeros((n_edges, 2))
    for e, (s, t) in enumerate(ends.T):
        total = (left[s] + right[t] + edge[e] @ weights["lin_edge.weight"].T).reshape(2, 3)
        score[e] = (np.where(total > 0, total, 0.2 * total) * weights["att"][0]).sum(1)
    expected, message = np.zeros((n_edges, 2)), np.zeros((4, 2, 3))
    for e, (s, t) in enumerate(ends.T):
        expected[e] = np.exp(score[e]) / np.exp(score[ends[1] == t]).sum(0)
        message[t] += expected[e][:, None] * left[s].reshape(2, 3)
    np.testing.assert_array_equal(returned.numpy(), ends)
    np.testing.assert_allclose(alpha.detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        out.detach().numpy(), message.reshape(4, 6) + weights["bias"], atol=1e-5
    )


# what attend returns


def test_edges_come_back_as_given(toy: dict[str, Any], trained: GraphAttention) -> None:
    np.testing.assert_array_equal(trained.genes.indptr, toy["tokens"].indptr)
    np.testing.assert_array_equal(trained.genes.indices, toy["tokens"].indices)
    assert trained.genes.dtype == np.float32
    assert trained.embedding.shape == (400, 32)


def test_unsorted_tokens_keep_their_order_and_values(toy: dict[str, Any]) -> None:
    tokens = toy["tokens"]
    turned = np.arange(tokens.nnz).reshape(-1, 15)[:, ::-1].ravel()
    reverse = csr_matrix(
        (tokens.data[turned], tokens.indices[turned], tokens.indptr), shape=tokens.shape
    )
    both = [run({**toy, "tokens": t}, held_out=1e-9, hide=1e-9) for t in (tokens, reverse)]
    np.testing.assert_array_equal(both[1].genes.indices, reverse.indices)
    np.testing.assert_allclose(both[1].genes.data, both[0].genes.data[turned], atol=1e-4)


def test_attention_of_a_cell_sums_to_its_tokens(trained: GraphAttention) -> None:
    np.testing.assert_allclose(trained.genes.sum(axis=1), 15, rtol=1e-5)
    assert (trained.genes.data > 0).all()


def test_metadata_attention_averages_to_one(toy: dict[str, Any], trained: GraphAttention) -> None:
    both = np.stack([trained.metadata["donor"], trained.metadata["batch"]])
    known = np.stack([toy["metadata"]["donor"], toy["metadata"]["batch"]]) >= 0
    np.testing.assert_array_equal(np.isfinite(both), known)
    np.testing.assert_allclose(np.nanmean(both, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(both[0, ~known[1]], 1, rtol=1e-5)


def test_the_gene_that_tells_the_code_is_attended(
    toy: dict[str, Any], trained: GraphAttention
) -> None:
    attention = trained.genes.toarray()
    own = attention[np.arange(400), toy["codes"]]
    others = trained.genes.data.sum() - own.sum()
    for group in range(GROUPS):
        assert own[toy["codes"] == group].mean() > 1.3
    assert own.mean() > 1.3 * others / (trained.genes.nnz - 400)


def test_hidden_edges_are_told_better_than_by_popularity(trained: GraphAttention) -> None:
    kept = trained.history[trained.history["kept"]].iloc[0]
    assert len(trained.history[trained.history["kept"]]) == 1
    assert kept["auroc"] > kept["auroc_popularity"] + 0.1
    assert kept["auroc"] == trained.history["auroc"].max()
    assert trained.history["code"].iloc[-1] < 0.5 * np.log(GROUPS)


def test_nothing_is_learned_where_genes_are_random(toy: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    columns = np.argsort(rng.random((400, GENES)), axis=1)[:, :15].ravel()
    tokens = csr_matrix((toy["tokens"].data, columns, toy["tokens"].indptr), shape=(400, GENES))
    history = run({**toy, "tokens": tokens}, epochs=4, held_out=0.2).history
    # 1,200 held-out edges: the standard error of an AUROC of 0.5 is 0.012.
    assert abs(history["auroc"].iloc[-1] - 0.5) < 0.06


# leakage


def test_targets_never_carry_messages(toy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the edges that reach the convolutions, and compare with what was to be predicted."""
    import torch

    steps: list[tuple[np.ndarray[Any, Any], batches.Step]] = []
    passed: list[list[np.ndarray[Any, Any]]] = []
    original = batches.hide

    def recorded(graph: Any, rows: Any, known: Any, **rest: Any) -> batches.Step:
        step = original(graph, rows, known, **rest)
        steps.append((rows, step))
        passed.append([])
        held.append(known)
        return step

    def watch(module: Any, inputs: Any) -> None:
        if isinstance(module, model.GATv2) and torch.is_grad_enabled():
            passed[-1].append(inputs[1].numpy().copy())

    held: list[Any] = []
    monkeypatch.setattr(training, "hide", recorded)
    handle = torch.nn.modules.module.register_module_forward_pre_hook(watch)
    try:
        run(toy, held_out=0.2)
    finally:
        handle.remove()
    assert len(steps) == 2 * 13
    tokens = toy["tokens"]
    cell_of = np.repeat(np.arange(400), np.diff(tokens.indptr))
    hidden_fields = set()
    for (rows, step), edges, known in zip(steps, passed, held, strict=True):
        genes = step.messages.genes.numpy()
        targets = set(zip(step.hidden.cell, step.hidden.gene, strict=True))
        secret = set(zip(cell_of[~known], tokens.indices[~known], strict=True))
        assert len(targets) > 10
        assert len(edges) == 6  # three types of edges in two layers
        for gene_edges, code_edges, value_edges in (edges[:3], edges[3:]):
            messages = set(zip(gene_edges[1], genes[gene_edges[0]], strict=True))
            assert not messages & targets
            assert not {(rows[cell], gene) for cell, gene in messages} & secret
            assert len(messages | targets) == known[np.isin(cell_of, rows)].sum()
            assert not set(code_edges[1]) & set(np.flatnonzero(step.codes >= 0))
            asked = np.flatnonzero(step.values >= 0)
            told = set(zip(value_edges[0], value_edges[1], strict=True))
            assert not told & set(zip(step.values[asked], asked, strict=True))
        hidden_fields.add(step.field)
        assert not {(c, g) for c, g in zip(step.absent.cell, step.absent.gene, strict=True)} & {
            (c, g) for c, r in enumerate(rows) for g in tokens[[r]].indices
        }
    assert hidden_fields == {0, 1}


def test_predictions_do_not_depend_on_hidden_values(toy: dict[str, Any]) -> None:
    import torch

    rows = np.arange(30)
    outputs = []
    for factor in (1.0, 100.0):
        graph, known, popularity = batch_of(toy)
        rng = np.random.default_rng(5)
        hidden = rng.random(30 * 15) < 0.15
        graph.tokens.data = graph.tokens.data.copy()
        graph.tokens.data[: 30 * 15][hidden] *= np.float32(factor)
        step = batches.hide(
            graph, rows, known, popularity=popularity, share=0.15, rng=np.random.default_rng(5)
        )
        assert len(step.hidden) == hidden.sum()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            network = model.Network(graph, SMALL).eval()
        with torch.inference_mode():
            outputs.append(network(step.messages)[0].numpy())
        toy = {**toy, "tokens": toy["tokens"].copy()}
    np.testing.assert_array_equal(outputs[0], outputs[1])


# determinism and independence


def test_the_same_seed_gives_the_same_bits(toy: dict[str, Any]) -> None:
    import torch

    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    first, second, other = run(toy), run(toy), run(toy, seed=1)
    np.testing.assert_array_equal(first.genes.data, second.genes.data)
    np.testing.assert_array_equal(first.embedding, second.embedding)
    assert first.history.equals(second.history)
    assert not np.array_equal(first.genes.data, other.genes.data)
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])
    assert torch.get_num_threads() == before[2]


def test_a_torch_generator_serves_as_well(toy: dict[str, Any]) -> None:
    import torch

    data = {name: value for name, value in toy.items() if name != "cells"}
    config = replace(SMALL, epochs=1)
    results = [
        attend(
            toy["cells"], generator=torch.Generator().manual_seed(4), config=config, **data
        ).genes.data
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*results)


def test_a_cell_does_not_depend_on_its_batch(toy: dict[str, Any]) -> None:
    import torch

    graph, known, popularity = batch_of(toy)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = model.Network(graph, SMALL).eval()
    read = [
        TrainedNetwork(graph, network, popularity, replace(SMALL, batch_cells=size)).read()
        for size in (400, 37, 7)
    ]
    for genes, fields, states in read[1:]:
        np.testing.assert_allclose(genes, read[0][0], atol=1e-5)
        np.testing.assert_allclose(states, read[0][2], atol=1e-5)
        for field, weights in fields.items():
            np.testing.assert_allclose(weights, read[0][1][field], atol=1e-5)
    assert known.all()


def test_the_code_is_told_by_its_gene_and_withheld(toy: dict[str, Any]) -> None:
    """Without its telling gene the code of a cell is lost, though the cell has a code edge."""
    network = run(toy, epochs=10).network
    assert network is not None
    given = network.code_log_probability()
    np.testing.assert_allclose(np.exp(given).sum(axis=1), 1, rtol=1e-4)
    assert (given.argmax(axis=1) == toy["codes"]).mean() > 0.9
    tokens = toy["tokens"].tocoo()
    kept = tokens.col >= GROUPS
    cut = csr_matrix((tokens.data[kept], (tokens.row[kept], tokens.col[kept])), shape=tokens.shape)
    lost = network.code_log_probability(cut)
    assert (lost.argmax(axis=1) == toy["codes"]).mean() < 0.7
    rows = np.array([5, 3])
    np.testing.assert_allclose(network.code_log_probability(cut, rows), lost[rows], atol=1e-5)


def test_importing_the_package_part_does_not_load_torch() -> None:
    code = "import sys, scypher.kg.attention; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# cases at the edge


def test_no_metadata(toy: dict[str, Any]) -> None:
    result = run({**toy, "metadata": {}})
    assert result.metadata == {}
    assert result.history["metadata"].isna().all()


def test_a_field_of_one_value_is_not_predicted(toy: dict[str, Any]) -> None:
    result = run({**toy, "metadata": {"sex": np.zeros(400, int)}})
    np.testing.assert_allclose(result.metadata["sex"], 1, rtol=1e-6)
    assert result.history["metadata"].isna().all()


def test_a_field_without_known_values(toy: dict[str, Any]) -> None:
    result = run({**toy, "metadata": {"sex": np.full(400, -1)}})
    assert np.isnan(result.metadata["sex"]).all()


def test_no_codes_and_one_code(toy: dict[str, Any]) -> None:
    for codes in (np.full(400, -1), np.zeros(400, int)):
        result = run({**toy, "codes": codes})
        assert result.history["code"].isna().all()
        assert np.isfinite(result.genes.data).all()


def test_cells_of_one_token_and_of_none(toy: dict[str, Any]) -> None:
    tokens = toy["tokens"]
    keep = np.ones(tokens.nnz, dtype=bool)
    keep[: 15 * 21] = False
    keep[: 15 * 20 : 15] = True
    indptr = np.concatenate([[0], np.cumsum(np.add.reduceat(keep, tokens.indptr[:-1]))])
    sparse = csr_matrix((tokens.data[keep], tokens.indices[keep], indptr), shape=tokens.shape)
    result = run({**toy, "tokens": sparse})
    np.testing.assert_allclose(result.genes.data[:20], 1, rtol=1e-6)
    assert result.genes.indptr[21] - result.genes.indptr[20] == 0
    assert np.isfinite(result.embedding).all()


def test_cells_with_every_gene_have_no_absent_ones() -> None:
    rng = np.random.default_rng(0)
    data = planted(40)
    data["tokens"] = csr_matrix(rng.uniform(1, 2, (40, 5)).astype(np.float32))
    data["gene_features"] = np.zeros((5, 4), np.float32)
    result = run(data)
    assert result.history["auroc"].isna().all()
    assert result.history["kept"].tolist() == [False, True]
    np.testing.assert_allclose(result.genes.sum(axis=1), 5, rtol=1e-5)


def test_one_cell() -> None:
    result = run(planted(1))
    np.testing.assert_allclose(result.genes.sum(), 15, rtol=1e-5)


@pytest.mark.parametrize("held_out", [1e-9, 1 - 1e-9])
def test_one_edge(held_out: float) -> None:
    data = planted(1)
    single = csr_matrix(([2.0], ([0], [3])), shape=(1, GENES), dtype=np.float32)
    result = run({**data, "tokens": single}, held_out=held_out)
    np.testing.assert_allclose(result.genes.data, [1])
    assert np.isfinite(result.embedding).all()


def test_progress_ends_at_its_total(toy: dict[str, Any]) -> None:
    seen: list[tuple[int, int]] = []
    data = {name: value for name, value in toy.items() if name != "cells"}
    attend(
        toy["cells"],
        generator=np.random.default_rng(0),
        config=SMALL,
        progress=lambda what, done, total: seen.append((done, total)),
        **data,
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cells": np.zeros((3, 8), np.float32)}, "cells of shape"),
        ({"cells": np.full((400, 8), np.nan, np.float32)}, "cells holds NaN"),
        ({"codes": np.full(400, GROUPS)}, "below 4"),
        ({"codes": np.zeros(400)}, "expected integers"),
        ({"metadata": {"donor": np.full(400, -2)}}, "expected -1 for unknown"),
        ({"metadata": {"donor": np.zeros(3, int)}}, "metadata 'donor' of shape"),
        ({"gene_features": np.zeros((3, 4), np.float32)}, "gene_features of shape"),
        ({"tokens": csr_matrix((400, GENES), dtype=np.float32)}, "without any entry"),
    ],
)
def test_wrong_input_is_refused(toy: dict[str, Any], change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run({**toy, **change})


@pytest.mark.parametrize(
    "change",
    [{"hidden": 10, "heads": 4}, {"epochs": 0}, {"hide": 0.0}, {"held_out": 1.0}, {"dropout": 1}],
)
def test_wrong_config_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        GraphAttentionConfig(**change)


# the parts


def test_attributes_follow_their_definition(toy: dict[str, Any]) -> None:

    graph, _, popularity = batch_of(toy)
    rows = np.array([7, 3, 11])
    edges = graph.edges(*graph.positions(rows))
    edges.value[:] = np.round(edges.value, 1)  # ties
    found = batches.attributes(edges, popularity)
    dense = toy["tokens"].toarray().astype(float)
    assert dense.any(axis=0).all()  # so that genes keep their numbers
    for e in range(len(edges)):
        same = edges.value[edges.cell == edges.cell[e]]
        column = dense[:, edges.gene[e]]
        z = (edges.value[e] - column.mean()) / column.std()
        expected = [edges.value[e], (same <= edges.value[e]).mean(), np.clip(z, -10, 10)]
        np.testing.assert_allclose(found[e], expected, rtol=1e-4, atol=1e-5)


def test_absent_genes_are_drawn_by_degree() -> None:

    degree = np.array([5.0, 1.0, 3.0, 0.0, 2.0])
    popularity = batches.Popularity(degree, np.zeros(5), np.ones(5))
    edges = batches.GeneEdges(np.array([0, 1]), np.array([0, 2]), np.ones(2, np.float32))
    cell = np.repeat([0, 1], 20_000)
    drawn = batches.absent_genes(edges, cell, popularity, np.random.default_rng(0))
    assert len(drawn) > 39_000
    for c, own in ((0, 0), (1, 2)):
        allowed = degree.copy()
        allowed[own] = 0
        share = np.bincount(drawn.gene[drawn.cell == c], minlength=5) / (drawn.cell == c).sum()
        np.testing.assert_allclose(share, allowed / allowed.sum(), atol=0.015)


# top_tokens


def moments(matrix: csr_matrix) -> dict[str, Any]:
    dense = matrix.toarray()
    return {"gene_mean": dense.mean(0), "gene_sd": dense.std(0)}


@pytest.mark.parametrize("n_tokens", [1, 4, 100])
def test_top_tokens_against_a_loop(n_tokens: int) -> None:
    rng = np.random.default_rng(1)
    full = random_array((60, 25), density=0.4, rng=rng, format="csr")
    matrix = csr_matrix(np.round(full.toarray() * 3, 1))
    found = top_tokens(matrix, n_tokens=n_tokens, sd_floor=0.5, **moments(matrix))
    dense, stats = matrix.toarray(), moments(matrix)
    score = (dense - stats["gene_mean"]) / np.maximum(stats["gene_sd"], 0.5)
    for cell in range(60):
        expressed = np.flatnonzero(dense[cell])
        ranked = sorted(expressed, key=lambda g: (-score[cell, g], g))[:n_tokens]
        row = found[[cell]]
        np.testing.assert_array_equal(row.indices, sorted(ranked))
        np.testing.assert_allclose(row.data, dense[cell, sorted(ranked)], rtol=1e-6)


def test_top_tokens_ties_go_to_the_lower_gene_across_chunks() -> None:
    matrix = csr_matrix(np.ones((5000, 6), np.float32))
    found = top_tokens(matrix, n_tokens=2, gene_mean=np.zeros(6), gene_sd=np.ones(6))
    np.testing.assert_array_equal(found.indices.reshape(-1, 2), np.tile([0, 1], (5000, 1)))


def test_top_tokens_leave_zeros_out_and_the_input_alone() -> None:
    matrix = csr_matrix(
        (np.array([0.0, 2.0, 1.0]), np.array([0, 2, 1]), np.array([0, 3, 3])), shape=(2, 3)
    )
    found = top_tokens(matrix, n_tokens=3, gene_mean=np.zeros(3), gene_sd=np.zeros(3))
    assert found.indices.tolist() == [1, 2]
    assert found.shape == (2, 3)
    assert matrix.nnz == 3


@pytest.mark.parametrize("change", [{"n_tokens": 0}, {"sd_floor": 0}, {"gene_mean": np.zeros(2)}])
def test_top_tokens_refuse(change: dict[str, Any]) -> None:
    given = {"n_tokens": 2, "gene_mean": np.zeros(3), "gene_sd": np.ones(3), **change}
    with pytest.raises(InputError, match="expected"):
        top_tokens(csr_matrix((2, 3)), **given)


# real data


def test_blood_cells_are_learned_from(data_dir: Path) -> None:
    import anndata

    counts = csr_matrix(anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad").X, dtype=np.float32)
    expression = counts.multiply(1e4 / counts.sum(axis=1).reshape(-1, 1)).tocsr().log1p()
    tokens = top_tokens(expression, n_tokens=64, **moments(expression))
    assert np.diff(tokens.indptr).max() <= 64
    rng = np.random.default_rng(0)
    dense = expression.toarray()
    left, _, right = np.linalg.svd(dense - dense.mean(axis=0), full_matrices=False)
    cells = left[:, :16].astype(np.float32)
    result = run(
        {
            "cells": cells,
            "tokens": tokens,
            "gene_features": right[:16].T.astype(np.float32),
            "codes": (cells[:, :3] > 0).astype(int) @ np.array([1, 2, 4]),
            "codebook": rng.normal(size=(8, 4)).astype(np.float32),
            "metadata": {},
        },
        epochs=8,
        hidden=32,
    )
    kept = result.history[result.history["kept"]].iloc[0]
    assert kept["auroc"] > kept["auroc_popularity"] + 0.05
    np.testing.assert_allclose(
        np.asarray(result.genes.sum(axis=1)).ravel(), np.diff(tokens.indptr), rtol=1e-4
    )
