from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from attention.toys import GENES, planted, run
from scipy.sparse import csr_matrix

from scypher.encoders.errors import InputError
from scypher.kg.attention import GraphAttention, batches
from scypher.kg.attention.attributions import integrated_gradients
from scypher.kg.attention.figures import draw_history
from scypher.kg.attention.trained import TrainedNetwork


def told_by_value(n_cells: int = 300, seed: int = 0) -> dict[str, Any]:
    """Cells of 12 genes each, genes 0 and 1 among them; the code is which of the two is higher."""
    data = planted(n_cells, seed)
    rng = np.random.default_rng(seed)
    genes = np.array([rng.choice(np.arange(2, 40), 10, replace=False) for _ in range(n_cells)])
    columns = np.sort(np.concatenate([np.tile([0, 1], (n_cells, 1)), genes], axis=1))
    values = rng.uniform(0.5, 1.5, columns.shape).astype(np.float32)
    code = rng.integers(0, 2, n_cells)
    values[np.arange(n_cells), code] = rng.uniform(2.5, 3.5, n_cells)
    tokens = csr_matrix(
        (values.ravel(), columns.ravel(), np.arange(0, columns.size + 1, 12)),
        shape=(n_cells, GENES),
    )
    codes = np.where(np.arange(n_cells) < 5, -1, code)
    return {**data, "tokens": tokens, "codes": codes, "codebook": np.eye(2, dtype=np.float32)}


@pytest.fixture(scope="module")
def result() -> GraphAttention:
    return run(told_by_value(), epochs=15, patience=15, hidden=16, heads=4)


@pytest.fixture(scope="module")
def network(result: GraphAttention) -> TrainedNetwork:
    assert result.network is not None
    return result.network


def own_code(network: TrainedNetwork, rows: np.ndarray, attributes: Any) -> torch.Tensor:
    """Log probability of the own codes, from the parts of the network, through PyG."""
    graph = network.graph
    batch = batches.see(
        graph,
        rows,
        graph.edges(*graph.positions(rows)),
        codes=np.full(len(rows), -1),
        values=graph.values[rows],
        blind=np.ones(len(rows), dtype=bool),
        popularity=network.popularity,
    )
    for module in network.network.modules():
        if hasattr(module, "path"):
            module.path = "pyg"
    cells, _, _ = network.network.eval()(replace(batch, gene_attributes=attributes))
    for module in network.network.modules():
        if hasattr(module, "path"):
            module.path = "auto"
    scores = network.network.code_scores(cells).log_softmax(1)
    return scores[torch.arange(len(rows)), torch.from_numpy(graph.codes[rows])]


# attributions


def test_attributions_are_complete_and_those_of_a_plain_path_integral(
    network: TrainedNetwork,
) -> None:
    rows = np.array([200, 17, 5, 93])
    found = network.attributions(rows)
    tokens = network.graph.tokens[rows]
    cell = np.repeat(np.arange(4), np.diff(tokens.indptr))
    mean, sd = network.popularity.mean[tokens.indices], network.popularity.sd[tokens.indices]
    rank = [(tokens.data[cell == c] <= v).mean() for c, v in zip(cell, tokens.data, strict=True)]
    given = np.stack([tokens.data, rank, (tokens.data - mean) / sd], axis=1).astype(np.float32)
    start = np.stack([0 * mean, 0 * mean, -mean / sd], axis=1).astype(np.float32)
    with torch.no_grad():
        ends = [own_code(network, rows, torch.from_numpy(x)).numpy() for x in (given, start)]
    gained = np.bincount(cell, weights=found)
    assert (np.abs(ends[0] - ends[1]) > 0.1).all()
    np.testing.assert_allclose(gained, ends[0] - ends[1], rtol=0.02, atol=2e-3)
    total = np.zeros_like(given)
    for step in range(200):
        at = torch.from_numpy(start + (step + 0.5) / 200 * (given - start)).requires_grad_()
        own_code(network, rows, at).sum().backward()
        total += at.grad.numpy() / 200
    np.testing.assert_allclose(found, (total * (given - start)).sum(1), rtol=0.02, atol=0.01)


def test_the_gene_whose_value_tells_the_code_gets_the_most(network: TrainedNetwork) -> None:
    edge = network.attributions(steps=8)
    tokens, codes = network.graph.tokens, network.graph.codes
    assert edge.shape == (tokens.nnz,)
    cell = np.repeat(np.arange(len(codes)), np.diff(tokens.indptr))
    np.testing.assert_array_equal(np.isnan(edge), codes[cell] < 0)
    by_gene = csr_matrix((edge, tokens.indices, tokens.indptr), shape=tokens.shape)[5:]
    best = np.asarray(by_gene.argmax(axis=1)).ravel()
    assert (best == codes[5:]).mean() > 0.9


def test_attributions_come_in_the_order_of_the_rows(network: TrainedNetwork) -> None:
    every = network.attributions(np.arange(20), steps=4).reshape(20, 12)
    some = network.attributions(np.array([9, 6, 19]), steps=4).reshape(3, 12)
    np.testing.assert_allclose(some, every[[9, 6, 19]], atol=1e-5)
    assert network.attributions(np.zeros(0, int)).shape == (0,)
    with pytest.raises(InputError, match="steps = 0"):
        network.attributions(steps=0)


def test_a_stored_zero_has_no_attribution(network: TrainedNetwork) -> None:
    tokens = network.graph.tokens.copy()
    tokens.data[3::12] = 0
    other = replace(network, graph=replace(network.graph, tokens=tokens))
    edge = other.attributions(np.arange(10, 60), steps=4).reshape(50, 12)
    np.testing.assert_allclose(edge[:, 3], 0, atol=1e-7)


def test_quadrature_is_exact_for_polynomials() -> None:
    rng = np.random.default_rng(0)
    x, b = (torch.from_numpy(rng.normal(size=(3, 2))) for _ in range(2))
    found = integrated_gradients(lambda y: (y**3).sum(), x, b, steps=2)
    np.testing.assert_allclose(found, (x**3 - b**3).sum(1))


# randomised


def test_a_randomised_network_knows_nothing(network: TrainedNetwork) -> None:
    before = torch.random.get_rng_state()
    first, same, other = (network.randomised(seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.graph is network.graph
    np.testing.assert_array_equal(first.read()[0], same.read()[0])
    assert not np.array_equal(first.read()[0], other.read()[0])
    asked = np.arange(5, 300)
    own = network.graph.codes[asked]
    known = [n.code_log_probability(rows=asked).argmax(1) == own for n in (network, first)]
    assert known[0].mean() > 0.9
    assert known[1].mean() < 0.75


# embeddings


def test_embeddings_are_the_states_that_cells_draw_on(result: GraphAttention) -> None:
    assert result.network is not None
    graph, network = result.network.graph, result.network.network
    cells = np.bincount(graph.tokens.indices, minlength=GENES)
    assert result.gene_embedding.shape == (GENES, 16)
    np.testing.assert_array_equal(result.gene_embedding.any(axis=1), cells > 0)
    with torch.inference_mode():
        batch = batches.see(
            graph,
            np.arange(10),
            graph.edges(*graph.positions(np.arange(10))),
            codes=graph.codes[:10],
            values=graph.values[:10],
            blind=np.zeros(10, dtype=bool),
            popularity=result.network.popularity,
        )
        _, genes, _ = network(batch)
    numbers = np.flatnonzero(graph.gene_number >= 0)[batch.genes.numpy()]
    np.testing.assert_allclose(result.gene_embedding[numbers], genes.numpy(), atol=1e-5)
    np.testing.assert_array_equal(result.code_numbers, [0, 1])
    assert result.code_embedding.shape == (2, 16)


def test_metadata_embeddings_keep_the_numbers_of_the_caller() -> None:
    data = planted(60)
    data["metadata"] = {
        "donor": np.where(np.arange(60) % 2, 4, 1),
        "batch": np.full(60, -1),
        "sex": np.zeros(60, int),
    }
    result = run({**data, "codes": np.where(data["codes"] > 1, 3, 1)})
    found = result.metadata_embedding
    assert {name: states.shape for name, states in found.items()} == {
        "donor": (5, 16),
        "batch": (0, 16),
        "sex": (1, 16),
    }
    assert found["donor"].any(axis=1).tolist() == [False, True, False, False, True]
    own = result.network.network.value_own.weight.detach().numpy()
    np.testing.assert_array_equal(np.concatenate([found["donor"][[1, 4]], found["sex"]]), own)
    np.testing.assert_array_equal(result.code_numbers, [1, 3])


# history


def test_history_is_drawn(tmp_path: Path, result: GraphAttention) -> None:
    draw_history(result.history, tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 5000
    draw_history(run(planted(1), epochs=1).history, tmp_path / "short.svg")


def test_a_history_of_nothing_is_refused(tmp_path: Path, result: GraphAttention) -> None:
    for wrong in (pd.DataFrame(), result.history.iloc[:0], result.history.drop(columns="auroc")):
        with pytest.raises(InputError, match="expected the history"):
            draw_history(wrong, tmp_path / "history.png")
