"""The model as a whole: sizes, independence of cells, own components, decoder."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellvq.config import PRESETS, CellVQConfig
from scypher.encoders.cellvq.latent import LatentReader
from scypher.encoders.cellvq.model import OWN_MOST, CellVQ
from scypher.encoders.cellvq.tokens import Tokens, tokenise
from scypher.encoders.errors import InputError

Values = tuple[sparse.csr_matrix, np.ndarray]


@pytest.fixture
def tokens(tiny_values: Values) -> Tokens:
    return tokenise(*tiny_values)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_fits_together(preset: str) -> None:
    config = CellVQConfig.from_settings({"preset": preset, "n_layers": 1}, 40)
    model = CellVQ(config).eval()
    with torch.no_grad():
        body = model.read(tokenise(sparse.csr_matrix(np.eye(3, 40, dtype=np.float32)), np.ones(3)))
    assert body.cell.shape == (3, config.width)
    assert torch.isfinite(body.cell).all()


def test_settings_replace_sizes_of_the_preset() -> None:
    config = CellVQConfig.from_settings({"preset": "tiny", "n_bits": 3}, 50)
    assert (config.n_genes, config.width, config.n_bits, config.n_codes) == (50, 32, 3, 8)
    assert CellVQConfig.from_settings({}, 50) == CellVQConfig(50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "huge"}, "no preset 'huge' of cellvq; known: tiny, mini, small, base"),
        ({"n_wheels": 4}, r"unknown model settings \['n_wheels'\]; known: .*width"),
        ({"n_genes": 4}, r"unknown model settings \['n_genes'\]"),
        ({"reader": "fast"}, "reader is 'fast'; expected latent or full"),
        ({"n_latents": 3}, "width is 128, n_latents 3"),
        ({"n_heads": 7}, "token_width is 64, n_heads 7"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CellVQConfig.from_settings(settings, 50)


@torch.no_grad()
def test_a_cell_alone_equals_the_cell_in_a_batch(
    trained: CellVQ, tiny_values: Values, tokens: Tokens
) -> None:
    values, totals = tiny_values
    together = trained.read(tokens)
    for row in range(20):
        single = tokenise(sparse.csr_matrix(values[row]), totals[row : row + 1])
        body = trained.read(single)
        scale = together.cell[row].abs().max().clamp_min(1)
        assert ((body.cell[0] - together.cell[row]).abs() / scale).max() < 1e-5
        own = slice(int(tokens.indptr[row]), int(tokens.indptr[row + 1]))
        assert (body.attention - together.attention[own]).abs().max() < 1e-5


@torch.no_grad()
def test_a_cell_without_tokens_gives_no_nan(trained: CellVQ, tiny_values: Values) -> None:
    dense = tiny_values[0].toarray()
    dense[4] = 0
    for values in (sparse.csr_matrix(dense), sparse.csr_matrix((1, 60), dtype=np.float32)):
        body = trained.read(tokenise(values, np.full(values.shape[0], 50.0)))
        for item in body:
            assert torch.isfinite(item).all()
        assert len(body.attention) == values.nnz


def test_a_cell_without_tokens_gives_finite_gradients(trained: CellVQ) -> None:
    tokens = tokenise(sparse.csr_matrix((2, 60), dtype=np.float32), np.ones(2))
    trained.read(tokens).cell.sum().backward()
    for name, value in trained.named_parameters():
        assert value.grad is None or torch.isfinite(value.grad).all(), name


@torch.no_grad()
def test_order_of_the_tokens_does_not_matter(trained: CellVQ, tiny_values: Values) -> None:
    values, totals = tiny_values
    tokens = tokenise(sparse.csr_matrix(values[-1]), totals[-1:])
    order = torch.randperm(len(tokens.gene), generator=torch.Generator().manual_seed(0))
    shuffled = tokens._replace(gene=tokens.gene[order], value=tokens.value[order])
    body, other = trained.read(tokens), trained.read(shuffled)
    torch.testing.assert_close(body.cell, other.cell, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(body.attention[order], other.attention, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_own_components_are_linear_in_bounded_values(
    trained: CellVQ, tiny_values: Values, tokens: Tokens
) -> None:
    assert trained.own_loadings.shape == (60, 4)
    trained.own_scale.copy_(torch.linspace(0.2, 3, 60))
    scaled = np.minimum(tiny_values[0].toarray() / trained.own_scale.numpy(), OWN_MOST)
    assert (scaled == OWN_MOST).mean() > 0.1
    expected = scaled @ trained.own_loadings.numpy() - trained.own_centre.numpy()
    np.testing.assert_allclose(trained.own(tokens).numpy(), expected, atol=1e-3, rtol=1e-4)


def ragged(n: int, genes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return indptr and genes where every cell asks for the same genes."""
    return torch.arange(n + 1) * len(genes), torch.tensor(genes * n)


@torch.no_grad()
def test_the_decoder_follows_its_formula(trained: CellVQ) -> None:
    state = {name: value.double().numpy() for name, value in trained.state_dict().items()}
    cell = np.random.default_rng(0).normal(size=(5, 16))
    indptr, gene = ragged(5, [7, 2, 59])
    totals = torch.full((15,), 100.0)
    found = trained.decode(torch.from_numpy(cell).float(), indptr, gene, totals)
    hidden = cell @ state["decoder.layers.0.0.weight"].T + state["decoder.layers.0.0.bias"]
    gelu = torch.nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    weights = cell + gelu @ state["decoder.layers.0.2.weight"].T + state["decoder.layers.0.2.bias"]
    for p, g in enumerate(gene.tolist()):
        logit = weights[p // 3] @ state["loadings"][g] * np.sqrt(60 / 16) + state["gene_bias"][g]
        mean = 100 * np.exp(np.clip(logit, -25, 0))
        dropout = state["gene_dropout"][g] - state["dropout_slope"][0] * np.log(mean)
        assert found[0][p].item() == pytest.approx(max(mean, 1e-6), rel=1e-4)
        dispersion = np.exp(np.clip(state["gene_log_dispersion"][g], -6, 6))
        assert found[1][p].item() == pytest.approx(dispersion, rel=1e-5)
        assert found[2][p].item() == pytest.approx(dropout, rel=1e-4, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_decoded_parameters_lie_in_their_ranges(trained: CellVQ, size: float) -> None:
    cell = torch.randn(7, 16, generator=torch.Generator().manual_seed(0)) * size
    totals = torch.logspace(0, 6, 7).repeat_interleave(4)
    trained.gene_log_dispersion[:4] = torch.tensor([-50.0, 50.0, 0.0, 1.0])
    mean, dispersion, dropout = trained.decode(cell, *ragged(7, [3, 59, 0, 17]), totals)
    assert mean.shape == dropout.shape == dispersion.shape == (28,)
    assert (mean > 0).all()
    assert (mean <= totals * (1 + 1e-6)).all()
    assert (dispersion >= np.exp(-6) * (1 - 1e-6)).all()
    assert (dispersion <= np.exp(6) * (1 + 1e-6)).all()
    assert torch.isfinite(dropout).all()


@torch.no_grad()
def test_the_mean_grows_with_depth(trained: CellVQ) -> None:
    cell = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    some = trained.decode(cell, *ragged(5, [7, 2]), torch.full((10,), 100.0))
    deeper = trained.decode(cell, *ragged(5, [7, 2]), torch.full((10,), 1000.0))
    torch.testing.assert_close(deeper[0], some[0] * 10)


def test_every_trained_parameter_gets_a_gradient(trained: CellVQ, tokens: Tokens) -> None:
    body = trained.read(tokens)
    padded = torch.nn.functional.pad(body.cell, (0, 4))
    result = trained.discretise(padded, 0.5, torch.Generator().manual_seed(0))
    indptr, gene = ragged(20, list(range(60)))
    parts = trained.decode(result.quantised[:, :16], indptr, gene, torch.full((1200,), 1e3))
    (body.cell.sum() + sum(part.log().sum() for part in parts[:2]) + parts[2].sum()).backward()
    for name, value in trained.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, name
            assert torch.isfinite(value.grad).all(), name


def test_more_layers_start_neutral_too(tiny_config: CellVQConfig, tokens: Tokens) -> None:
    torch.manual_seed(0)
    model = CellVQ(dataclasses.replace(tiny_config, n_layers=3))
    assert isinstance(model.reader, LatentReader)
    assert len(model.reader.layers) == 3
    with torch.no_grad():
        model.loadings.normal_()
        lengths = tokens.indptr.diff()
        linear = torch.zeros(20, 16).index_add(
            0,
            torch.repeat_interleave(torch.arange(20), lengths),
            tokens.value[:, None] * model.loadings[tokens.gene],
        )
        torch.testing.assert_close(model.read(tokens).cell, linear, atol=1e-3, rtol=1e-4)
