"""The body of the model: its start as a linear encoder, padding, attention, decoder."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.tokens import Tokens, tokenise

Values = tuple[sparse.csr_matrix, np.ndarray]


@pytest.fixture
def tokens(tiny_values: Values) -> Tokens:
    return tokenise(*tiny_values)


def alone(tiny_values: Values, row: int) -> Tokens:
    values, totals = tiny_values
    return tokenise(sparse.csr_matrix(values[row]), totals[row : row + 1])


def test_sizes_survive_json(tiny_config: CellVQConfig) -> None:
    assert CellVQConfig.from_json(tiny_config.to_json()) == tiny_config
    assert tiny_config.n_codes == 16


@torch.no_grad()
def test_the_untrained_embedding_is_that_of_the_svd(
    untrained: CellVQ, tiny_values: Values, tokens: Tokens
) -> None:
    dense = tiny_values[0].toarray().astype(np.float64)
    expected = dense / untrained.scale.numpy() @ untrained.loadings.numpy()
    expected -= untrained.centre.numpy()
    body = untrained.read(tokens)
    np.testing.assert_allclose(body.cell.numpy(), expected, atol=2e-5)
    for latent in range(3):
        np.testing.assert_allclose(body.latents[:, latent].numpy(), expected, atol=2e-5)


@torch.no_grad()
def test_untrained_attention_is_uniform(untrained: CellVQ, tokens: Tokens) -> None:
    expected = tokens.present / tokens.length
    for latent in range(3):
        torch.testing.assert_close(untrained.read(tokens).attention[:, latent], expected)


@torch.no_grad()
def test_trained_attention_is_not_uniform_and_sums_to_one(trained: CellVQ, tokens: Tokens) -> None:
    attention = trained.read(tokens).attention
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(20, 3))
    assert (attention >= 0).all()
    uniform = (tokens.present / tokens.length).unsqueeze(1)
    assert (attention - uniform).abs().max() > 0.02


@torch.no_grad()
def test_padding_gets_exactly_no_attention(trained: CellVQ, tokens: Tokens) -> None:
    attention = trained.read(tokens).attention
    padded = ~tokens.present.unsqueeze(1).expand_as(attention)
    assert padded.any()
    assert (attention[padded] == 0).all()


@torch.no_grad()
def test_a_cell_alone_equals_the_cell_in_a_padded_batch(
    trained: CellVQ, tiny_values: Values, tokens: Tokens
) -> None:
    trained.own_loadings.normal_(generator=torch.Generator().manual_seed(0))
    together = trained.read(tokens)
    whole = trained.whole(together, tokens)
    codes = trained.discretise(whole, 0.1, None).code
    weights = trained.latent_weights(together)
    for row in range(20):
        single = alone(tiny_values, row)
        length = single.gene.shape[1]
        body = trained.read(single)
        own = trained.whole(body, single)
        scale = whole[row].abs().max().clamp_min(1)
        assert ((own[0] - whole[row]).abs() / scale).max() < 1e-5
        assert (body.attention[0] - together.attention[row, :, :length]).abs().max() < 1e-5
        assert (trained.latent_weights(body)[0] - weights[row]).abs().max() < 1e-5
        assert trained.discretise(own, 0.1, None).code.item() == codes[row].item()


@torch.no_grad()
def test_a_cell_without_tokens_gives_no_nan(trained: CellVQ, tiny_values: Values) -> None:
    dense = tiny_values[0].toarray()
    dense[4] = 0
    for values in (sparse.csr_matrix(dense), sparse.csr_matrix((1, 60), dtype=np.float32)):
        tokens = tokenise(values, np.full(values.shape[0], 50.0))
        body = trained.read(tokens)
        result = trained.discretise(trained.whole(body, tokens), 0.1, None)
        for item in (*body, *result, trained.latent_weights(body)):
            assert torch.isfinite(item).all()
        empty = min(4, values.shape[0] - 1)
        assert (body.attention[empty] == 0).all()


def test_a_cell_without_tokens_gives_finite_gradients(trained: CellVQ) -> None:
    tokens = tokenise(sparse.csr_matrix((2, 60), dtype=np.float32), np.ones(2))
    trained.read(tokens).cell.sum().backward()
    for name, value in trained.named_parameters():
        assert value.grad is None or torch.isfinite(value.grad).all(), name


@torch.no_grad()
def test_order_of_the_tokens_does_not_matter(trained: CellVQ, tokens: Tokens) -> None:
    order = torch.randperm(tokens.gene.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = Tokens(
        tokens.gene[:, order], tokens.value[:, order], tokens.present[:, order], tokens.depth
    )
    body, other = trained.read(tokens), trained.read(shuffled)
    torch.testing.assert_close(body.cell, other.cell, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(body.attention[:, :, order], other.attention, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_shares_of_the_latents_sum_to_one(trained: CellVQ, tokens: Tokens) -> None:
    weights = trained.latent_weights(trained.read(tokens))
    assert weights.shape == (20, 3)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(20))


@torch.no_grad()
def test_own_components_are_linear_in_the_scaled_values(
    trained: CellVQ, tiny_values: Values, tokens: Tokens
) -> None:
    assert trained.own_loadings.shape == (60, 4)
    generator = torch.Generator().manual_seed(1)
    trained.own_loadings.normal_(generator=generator)
    trained.own_centre.normal_(generator=generator)
    scaled = tiny_values[0].toarray() / trained.scale.numpy()
    expected = scaled @ trained.own_loadings.numpy() - trained.own_centre.numpy()
    np.testing.assert_allclose(trained.own(tokens).numpy(), expected, atol=1e-3, rtol=1e-4)
    whole = trained.whole(trained.read(tokens), tokens)
    assert whole.shape == (20, 20)
    assert torch.equal(whole[:, 16:], trained.own(tokens))


@torch.no_grad()
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_decoded_parameters_lie_in_their_ranges(trained: CellVQ, size: float) -> None:
    cell = torch.randn(7, 16, generator=torch.Generator().manual_seed(0)) * size
    totals = torch.logspace(0, 6, 7).unsqueeze(1)
    genes = torch.tensor([3, 59, 0, 17])
    trained.gene_log_dispersion[:4] = torch.tensor([-50.0, 50.0, 0.0, 1.0])
    mean, dispersion, dropout = trained.decode(cell, genes, totals)
    assert mean.shape == dropout.shape == (7, 4)
    assert dispersion.shape == (4,)
    assert (mean > 0).all()
    assert (mean <= totals * (1 + 1e-6)).all()
    assert (dispersion >= np.exp(-6) * (1 - 1e-6)).all()
    assert (dispersion <= np.exp(6) * (1 + 1e-6)).all()
    assert torch.isfinite(dropout).all()


@torch.no_grad()
def test_the_mean_grows_with_depth_and_genes_are_picked(trained: CellVQ) -> None:
    cell = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    everything = trained.decode(cell, torch.arange(60), torch.full((5, 1), 100.0))
    some = trained.decode(cell, torch.tensor([7, 2]), torch.full((5, 1), 100.0))
    torch.testing.assert_close(some[0], everything[0][:, [7, 2]])
    torch.testing.assert_close(some[1], everything[1][[7, 2]])
    deeper = trained.decode(cell, torch.tensor([7, 2]), torch.full((5, 1), 1000.0))
    torch.testing.assert_close(deeper[0], some[0] * 10)


def test_every_trained_parameter_gets_a_gradient(trained: CellVQ, tokens: Tokens) -> None:
    body = trained.read(tokens)
    result = trained.discretise(trained.whole(body, tokens), 0.5, torch.Generator().manual_seed(0))
    parts = trained.decode(result.quantised, torch.arange(60), torch.full((20, 1), 1e3))
    (body.cell.sum() + sum(part.log().sum() for part in parts[:2]) + parts[2].sum()).backward()
    for name, value in trained.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, name
            assert torch.isfinite(value.grad).all(), name


def test_more_layers_start_neutral_too(tiny_config: CellVQConfig, tokens: Tokens) -> None:
    torch.manual_seed(0)
    model = CellVQ(dataclasses.replace(tiny_config, n_layers=3))
    with torch.no_grad():
        model.loadings.normal_()
        body = model.read(tokens)
    torch.testing.assert_close(body.latents[:, 0], body.cell, atol=1e-4, rtol=1e-4)
