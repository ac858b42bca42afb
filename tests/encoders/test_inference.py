"""Embedding and attention over many cells in chunks: the compiled pass against the model."""

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq import inference
from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.inference import named_attention, read_cells
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.tokens import tokenise

Values = tuple[sparse.csr_matrix, np.ndarray]
GENES = [f"gene{number}" for number in range(60)]


def test_embedding_and_attention_agree_with_the_model(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    embedding, attention = read_cells(trained, values, totals)
    assert embedding.shape == (20, 16)
    assert embedding.dtype == attention.dtype == np.float32
    assert attention.shape == values.shape
    assert attention.has_sorted_indices
    for row in range(20):
        tokens = tokenise(sparse.csr_matrix(values[row]), totals[row : row + 1])
        with torch.no_grad():
            body = trained.read(tokens)
        np.testing.assert_allclose(embedding[row], body.cell[0].numpy(), rtol=1e-4, atol=1e-3)
        dense = np.zeros(60)
        dense[tokens.gene.numpy()] = body.attention.mean(dim=1).numpy() * len(tokens.gene)
        np.testing.assert_allclose(attention[row].toarray()[0], dense, rtol=1e-4, atol=1e-5)


def test_a_cell_does_not_depend_on_the_other_cells(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    embedding, attention = read_cells(trained, values, totals)
    for row in range(20):
        alone, own = read_cells(trained, sparse.csr_matrix(values[row]), totals[row : row + 1])
        scale = max(np.abs(embedding[row]).max(), 1)
        assert np.abs(alone[0] - embedding[row]).max() / scale < 1e-5
        np.testing.assert_allclose(own.toarray()[0], attention[row].toarray()[0], atol=1e-5)


def test_attention_over_the_genes_read_has_mean_one(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    attention = read_cells(trained, values, totals)[1]
    lengths = np.diff(values.indptr)
    np.testing.assert_allclose(np.asarray(attention.sum(axis=1)).ravel(), lengths, rtol=1e-4)


def test_only_the_most_attended_genes_are_kept(
    trained: CellVQ, tiny_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, totals = tiny_values
    everything = read_cells(trained, values, totals)[1].toarray()
    monkeypatch.setattr(inference, "TOP_ATTENDED", 5)
    kept = read_cells(trained, values, totals)[1]
    assert np.diff(kept.indptr).max() == 5
    for row in range(20):
        top = np.sort(everything[row])[::-1][:5]
        np.testing.assert_allclose(np.sort(kept[row].data)[::-1], top[top > 0], rtol=1e-4)


def test_ties_at_the_limit_go_to_the_lower_gene(
    untrained: CellVQ, tiny_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "TOP_ATTENDED", 5)
    values, totals = tiny_values
    kept = read_cells(untrained, values, totals)[1]
    for row in range(20):
        np.testing.assert_array_equal(kept[row].indices, values[row].indices[:5])
        np.testing.assert_allclose(kept[row].data, 1, rtol=1e-5)


def test_chunks_change_nothing(
    trained: CellVQ, tiny_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, totals = tiny_values
    embedding, attention = read_cells(trained, values, totals)
    said: list[tuple[str, int, int]] = []
    monkeypatch.setattr(inference, "NUMBERS_PER_CHUNK", 100 * trained.config.token_width)
    other, sparser = read_cells(trained, values, totals, progress=lambda *step: said.append(step))
    np.testing.assert_array_equal(other, embedding)
    np.testing.assert_array_equal(sparser.toarray(), attention.toarray())
    done = [0, *(step[1] for step in said)]
    assert done[-1] == 20
    assert len(done) > 5
    lengths = np.sort(np.diff(values.indptr))
    for start, stop in itertools.pairwise(done):
        assert stop - start == 1 or (stop - start) * lengths[stop - 1] <= 100
    assert {(what, total) for what, _, total in said} == {("encoding cells", 20)}


def test_a_cell_without_tokens_has_no_attention(trained: CellVQ, tiny_values: Values) -> None:
    dense = tiny_values[0].toarray()
    dense[[0, 7]] = 0
    embedding, attention = read_cells(trained, sparse.csr_matrix(dense), tiny_values[1])
    assert np.isfinite(embedding).all()
    assert attention[[0, 7]].nnz == 0
    nothing = sparse.csr_matrix((3, 60), dtype=np.float32)
    embedding, attention = read_cells(trained, nothing, np.ones(3))
    assert np.isfinite(embedding).all()
    assert attention.shape == (3, 60)
    assert attention.nnz == 0


def test_named_attention_is_whole_and_sums_to_one(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    table = named_attention(trained, values, totals, genes=GENES)
    latents = [f"latent_{place}" for place in range(4)]
    assert table.columns.tolist() == ["cell", "gene", *latents]
    assert len(table) == values.nnz
    np.testing.assert_allclose(table.groupby("cell")[latents].sum(), 1, rtol=1e-5)
    top = read_cells(trained, values, totals)[1]
    for row in (0, 11, 19):
        own = table[table["cell"] == row]
        assert own["gene"].tolist() == [GENES[gene] for gene in values[row].indices]
        expected = own[latents].to_numpy().mean(axis=1) * len(own)
        np.testing.assert_allclose(top[row].data, expected, rtol=1e-4)


def test_memory_does_not_grow_with_the_tokens_of_all_cells(
    tiny_config: CellVQConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(tiny_config, n_genes=2000)
    torch.manual_seed(0)
    model = CellVQ(config).eval()
    rng = np.random.default_rng(0)
    monkeypatch.setattr(inference, "NUMBERS_PER_CHUNK", 20_000 * config.token_width)

    def temporaries(n: int) -> int:
        """Return the peak of memory beyond the input and the result, bytes."""
        values = sparse.random(n, 2000, 0.5, format="csr", dtype=np.float32, random_state=rng)
        tracemalloc.start()
        embedding, attention = read_cells(model, values, np.full(n, 1e3))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        kept = attention.data.nbytes + attention.indices.nbytes
        # The result is joined from its parts, so for a moment it is held twice, and sorted.
        return peak - embedding.nbytes - 4 * kept

    temporaries(20)
    assert temporaries(400) < temporaries(100) + 2e5
