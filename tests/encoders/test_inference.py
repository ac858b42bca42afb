"""Embedding, attention and codes over many cells in chunks."""

import numpy as np
import pytest
import torch
from scipy import sparse, special

from scypher.encoders.cellvq import inference
from scypher.encoders.cellvq.inference import assign_codes, embed
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.tokens import tokenise

Values = tuple[sparse.csr_matrix, np.ndarray]


def test_embedding_and_attention_agree_with_a_loop(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    embedding, attention = embed(trained, values, totals)
    assert embedding.shape == (20, 20)
    assert embedding.dtype == np.float32
    assert attention.shape == values.shape
    for row in range(20):
        tokens = tokenise(sparse.csr_matrix(values[row]), totals[row : row + 1])
        with torch.no_grad():
            body = trained.read(tokens)
            expected = trained.whole(body, tokens)[0].numpy()
            weights = trained.latent_weights(body)[0].numpy()
        np.testing.assert_allclose(embedding[row], expected, rtol=1e-4, atol=1e-4)
        dense = np.zeros(60)
        genes = tokens.gene[0].numpy()
        dense[genes] = weights @ body.attention[0].numpy() * len(genes)
        np.testing.assert_allclose(attention[row].toarray()[0], dense, rtol=1e-4, atol=1e-5)


def test_attention_over_the_genes_read_has_mean_one(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    attention = embed(trained, values, totals)[1]
    lengths = np.diff(values.indptr)
    np.testing.assert_allclose(np.asarray(attention.sum(axis=1)).ravel(), lengths, rtol=1e-4)


def test_only_the_most_attended_genes_are_kept(
    trained: CellVQ, tiny_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, totals = tiny_values
    everything = embed(trained, values, totals)[1].toarray()
    monkeypatch.setattr(inference, "TOP_ATTENDED", 5)
    kept = embed(trained, values, totals)[1]
    assert np.diff(kept.indptr).max() == 5
    for row in range(20):
        top = np.sort(everything[row])[::-1][:5]
        np.testing.assert_allclose(np.sort(kept[row].data)[::-1], top[top > 0], rtol=1e-4)


def test_chunks_change_nothing(
    trained: CellVQ, tiny_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, totals = tiny_values
    embedding, attention = embed(trained, values, totals)
    codes = assign_codes(trained, embedding)
    said: list[tuple[str, int, int]] = []
    monkeypatch.setattr(inference, "TOKENS_PER_CHUNK", 200)
    other, sparser = embed(trained, values, totals, lambda *step: said.append(step))
    np.testing.assert_allclose(other, embedding, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sparser.toarray(), attention.toarray(), rtol=1e-4, atol=1e-5)
    assert [done for _, done, _ in said] == [3, 6, 9, 12, 15, 18, 20]
    assert {total for _, _, total in said} == {20}
    for whole, parts in zip(codes, assign_codes(trained, other, chunk=3), strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-4)


def test_a_cell_without_tokens_has_no_attention(trained: CellVQ, tiny_values: Values) -> None:
    dense = tiny_values[0].toarray()
    dense[[0, 7]] = 0
    embedding, attention = embed(trained, sparse.csr_matrix(dense), tiny_values[1])
    assert np.isfinite(embedding).all()
    assert attention[[0, 7]].nnz == 0
    nothing = sparse.csr_matrix((3, 60), dtype=np.float32)
    embedding, attention = embed(trained, nothing, np.ones(3))
    assert np.isfinite(embedding).all()
    assert attention.shape == (3, 60)
    assert attention.nnz == 0


def test_codes_agree_with_numpy(trained: CellVQ) -> None:
    embedding = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    code, second, probability, entropy = assign_codes(trained, embedding)
    scd = trained.discretise
    with torch.no_grad():
        z = scd.project(torch.from_numpy(embedding)).numpy().astype(np.float64)
        codebook = scd.codebook().numpy().astype(np.float64)
    cosine = z / np.linalg.norm(z, axis=1, keepdims=True) @ codebook.T
    order = np.argsort(-cosine, axis=1)
    soft = special.softmax(2 * cosine / inference.SOFT_TEMPERATURE, axis=1)
    np.testing.assert_array_equal(code, order[:, 0])
    np.testing.assert_array_equal(second, order[:, 1])
    np.testing.assert_allclose(probability, soft.max(axis=1), rtol=1e-3)
    np.testing.assert_allclose(entropy, -special.xlogy(soft, soft).sum(axis=1), atol=1e-3)


def test_ties_go_to_the_lowest_index(trained: CellVQ) -> None:
    with torch.no_grad():
        trained.discretise.condition[-1].weight.zero_()
    embedding = np.random.default_rng(0).normal(size=(40, 20)).astype(np.float32)
    code, second, probability, entropy = assign_codes(trained, embedding)
    assert (code == 0).all()
    assert (second == 1).all()
    np.testing.assert_allclose(probability, 1 / 16, rtol=1e-4)
    np.testing.assert_allclose(entropy, np.log(16), rtol=1e-4)
