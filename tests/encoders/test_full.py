"""The reader with self-attention among all genes."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn.attention import SDPBackend, sdpa_kernel

from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.full import FullLayer, FullReader
from scypher.encoders.cellvq.inference import named_attention, read_cells
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.tokens import Tokens, tokenise

Values = tuple[sparse.csr_matrix, np.ndarray]


@pytest.fixture
def start(tiny_config: CellVQConfig, untrained: CellVQ) -> CellVQ:
    """A model with self-attention as training starts it."""
    torch.manual_seed(1)
    model = CellVQ(dataclasses.replace(tiny_config, reader="full", n_layers=2))
    with torch.no_grad():
        for name in ("loadings", "scale", "centre"):
            getattr(model, name).copy_(getattr(untrained, name))
    return model.eval()


@pytest.fixture
def moved(start: CellVQ) -> CellVQ:
    """The same, moved far from its start."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in start.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return start


@pytest.fixture
def tokens(tiny_values: Values) -> Tokens:
    return tokenise(*tiny_values)


@torch.no_grad()
def test_untrained_it_is_the_linear_embedding(start: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    length = np.diff(values.indptr) * np.linspace(1, 2, 20)
    dense = values.toarray().astype(np.float64) * np.linspace(1, 2, 20)[:, None]
    expected = dense / start.scale.numpy() @ start.loadings.numpy() - start.centre.numpy()
    body = start.read(tokenise(values, totals, length=length))
    np.testing.assert_allclose(body.cell.numpy(), expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_a_cell_alone_equals_the_cell_in_a_padded_batch(
    moved: CellVQ, tiny_values: Values, tokens: Tokens
) -> None:
    values, totals = tiny_values
    together = moved.read(tokens)
    for row in range(20):
        alone = moved.read(tokenise(sparse.csr_matrix(values[row]), totals[row : row + 1]))
        scale = together.cell[row].abs().max().clamp_min(1)
        assert ((alone.cell[0] - together.cell[row]).abs() / scale).max() < 1e-5
        own = slice(int(tokens.indptr[row]), int(tokens.indptr[row + 1]))
        torch.testing.assert_close(alone.attention, together.attention[own], atol=1e-5, rtol=0)


@torch.no_grad()
def test_attention_over_genes_sums_to_one(moved: CellVQ, tokens: Tokens) -> None:
    attention = moved.read(tokens).attention
    assert attention.shape == (len(tokens.gene), 1)
    assert (attention >= 0).all()
    for start, stop in pairwise(tokens.indptr.tolist()):
        torch.testing.assert_close(attention[start:stop].sum(), torch.tensor(1.0))
    lengths = tokens.indptr.diff()
    uniform = torch.repeat_interleave(1 / lengths, lengths)
    assert (attention[:, 0] - uniform).abs().max() > 1e-3


@torch.no_grad()
def test_the_order_of_the_genes_does_not_matter(moved: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    tokens = tokenise(sparse.csr_matrix(values[-1]), totals[-1:])
    order = torch.randperm(len(tokens.gene), generator=torch.Generator().manual_seed(0))
    shuffled = tokens._replace(gene=tokens.gene[order], value=tokens.value[order])
    one, other = moved.read(tokens), moved.read(shuffled)
    torch.testing.assert_close(one.cell, other.cell, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.attention[order], other.attention, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_weights_are_those_of_the_fused_kernel(moved: CellVQ, tokens: Tokens) -> None:
    reader = moved.reader
    assert isinstance(reader, FullReader)
    layer = reader.layers[0]
    assert isinstance(layer, FullLayer)
    states, present = reader.states(tokens)
    # With the identity as value, what the kernel returns are the weights themselves.
    query, key, _ = layer._split(states)
    length = states.shape[1]
    identity = torch.eye(length).expand(len(states), layer.n_heads, length, length)
    with sdpa_kernel(SDPBackend.MATH):
        expected = torch.nn.functional.scaled_dot_product_attention(
            query, key, identity, attn_mask=present[:, None, None, :]
        ).mean(dim=1)
    found = layer.weights(states, present, slice(0, 2))
    torch.testing.assert_close(found, expected[:, :2], atol=1e-5, rtol=1e-4)
    assert (found[~present[:, None].expand_as(found)] == 0).all()


@torch.no_grad()
def test_reported_attention_is_that_of_the_depth_tokens(moved: CellVQ, tokens: Tokens) -> None:
    reader = moved.reader
    assert isinstance(reader, FullReader)
    states, present = reader.states(tokens)
    first, last = reader.layers
    assert isinstance(first, FullLayer)
    assert isinstance(last, FullLayer)
    weights = last.weights(first(states, present), present, slice(0, 2)).mean(dim=1)[:, 2:]
    found = moved.read(tokens).attention[:, 0]
    for row, (start, stop) in enumerate(pairwise(tokens.indptr.tolist())):
        own = weights[row, : stop - start]
        torch.testing.assert_close(found[start:stop], own / own.sum(), atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_cells_without_genes_are_read(moved: CellVQ, tiny_values: Values) -> None:
    dense = tiny_values[0].toarray()
    dense[[0, 7]] = 0
    for values in (sparse.csr_matrix(dense), sparse.csr_matrix((2, 60), dtype=np.float32)):
        body = moved.read(tokenise(values, np.full(values.shape[0], 50.0)))
        assert torch.isfinite(body.cell).all()
        assert torch.isfinite(body.attention).all()


def test_every_part_gets_a_gradient(moved: CellVQ, tokens: Tokens) -> None:
    moved.read(tokens).cell.square().sum().backward()
    for name, value in moved.reader.named_parameters():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name


def test_reading_in_chunks_gives_the_same(
    moved: CellVQ, tiny_values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scypher.encoders.cellvq import inference

    values, totals = tiny_values
    embedding, attention = read_cells(moved, values, totals)
    monkeypatch.setattr(inference, "NUMBERS_PER_CHUNK", 100 * moved.config.token_width)
    other, sparser = read_cells(moved, values, totals)
    np.testing.assert_allclose(other, embedding, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(sparser.toarray(), attention.toarray(), rtol=1e-3, atol=1e-4)
    table = named_attention(moved, values, totals, genes=[f"g{i}" for i in range(60)])
    lengths = np.diff(values.indptr)
    dense = np.zeros((20, 60))
    dense[table["cell"], [int(name[1:]) for name in table["gene"]]] = table["latent_0"]
    np.testing.assert_allclose(attention.toarray(), dense * lengths[:, None], rtol=1e-3, atol=1e-4)
