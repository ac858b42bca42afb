"""The network against plain arithmetic and against an independent BERT."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax
from torch import Tensor

from scypher.encoders.scdmc.attention import alibi_slopes
from scypher.encoders.scdmc.config import read_settings
from scypher.encoders.scdmc.model import Body, Prediction
from scypher.encoders.scdmc.values import SoftBins

Maker = Callable[..., Body]

TOKEN = torch.tensor([[2, 9, 4, 17, 29, 3, 0, 0], [2, 5, 6, 7, 8, 10, 11, 3], [2, 3] + [0] * 6])


def normed(x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return np.asarray(scaled * state[f"{name}.weight"] + state[f"{name}.bias"])


def mosaic_by_hand(body: Body, tokens: list[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the last layer and the head-mean weights of each layer, of one unpadded cell."""
    state = {name: value.double().numpy() for name, value in body.state_dict().items()}
    slopes, n_heads = alibi_slopes(4).double().numpy(), 4
    x = normed(state["embeddings.word_embeddings.weight"][tokens], state, "embeddings.LayerNorm")
    length, width = x.shape
    size = width // n_heads
    gap = np.abs(np.arange(length)[:, None] - np.arange(length))
    shown = []
    for number in range(body.config.n_layers):
        name = f"layer.{number}"
        fused = x @ state[f"{name}.attention.self.Wqkv.weight"].T
        fused = fused + state[f"{name}.attention.self.Wqkv.bias"]
        mixed, seen = np.empty_like(x), np.zeros((length, length))
        for head in range(n_heads):
            q, k, v = (
                fused[:, part * width + head * size : part * width + (head + 1) * size]
                for part in range(3)
            )
            weights = softmax(q @ k.T / np.sqrt(size) - slopes[head] * gap, axis=1)
            mixed[:, head * size : (head + 1) * size] = weights @ v
            seen += weights / n_heads
        shown.append(seen)
        out = mixed @ state[f"{name}.attention.output.dense.weight"].T
        out = out + state[f"{name}.attention.output.dense.bias"]
        x = normed(x + out, state, f"{name}.attention.output.LayerNorm")
        gate, carried = np.split(x @ state[f"{name}.mlp.gated_layers.weight"].T, 2, axis=1)
        inner = 0.5 * gate * (1 + erf(gate / np.sqrt(2))) * carried
        out = inner @ state[f"{name}.mlp.wo.weight"].T + state[f"{name}.mlp.wo.bias"]
        x = normed(x + out, state, f"{name}.mlp.layernorm")
    return x, shown


@torch.no_grad()
def test_the_mosaic_layout_is_its_arithmetic(make_body: Maker) -> None:
    body = make_body(epe_mode="weight")
    hidden, (cell, weights) = body(TOKEN), body.read(TOKEN)
    first, last = body.attention(TOKEN, layer=0), body.attention(TOKEN)
    for row, n in enumerate((6, 8, 2)):
        wanted, shown = mosaic_by_hand(body, TOKEN[row, :n].tolist())
        np.testing.assert_allclose(hidden[row, :n], wanted, atol=2e-5)
        np.testing.assert_allclose(cell[row], wanted[0], atol=2e-5)
        np.testing.assert_allclose(weights[row, :n], shown[-1][0], atol=1e-5)
        np.testing.assert_allclose(first[row, :n, :n], shown[0], atol=1e-5)
        np.testing.assert_allclose(last[row, :n, :n], shown[-1], atol=1e-5)
        assert (weights[row, n:] == 0).all()


@torch.no_grad()
def test_the_stock_layout_is_that_of_transformers(make_body: Maker) -> None:
    transformers = pytest.importorskip("transformers")
    body = make_body(layout="stock", n_types=2, n_positions=10, epe_mode="weight")
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=10,
        attn_implementation="eager",
    )
    peer = transformers.BertModel(config, add_pooling_layer=False).eval()
    names = {
        (f"encoder.{name}" if name.startswith("layer.") else name): value
        for name, value in body.state_dict().items()
    }
    peer.load_state_dict(names)
    said = peer(TOKEN, attention_mask=(TOKEN != 0).long(), output_attentions=True)
    mean = [weights.mean(dim=1) for weights in said.attentions]
    present = TOKEN != 0
    hidden, (cell, weights) = body(TOKEN), body.read(TOKEN)
    torch.testing.assert_close(hidden[present], said.last_hidden_state[present])
    torch.testing.assert_close(cell, said.last_hidden_state[:, 0])
    torch.testing.assert_close(weights, mean[-1][:, 0])
    torch.testing.assert_close(body.attention(TOKEN, layer=0)[present], mean[0][present])


@pytest.mark.parametrize("layout", ["mosaic", "stock"])
@torch.no_grad()
def test_padding_changes_nothing(make_body: Maker, layout: str) -> None:
    body = make_body(layout=layout, n_positions=8 if layout == "stock" else 0)
    value = torch.rand(TOKEN.shape, generator=torch.Generator().manual_seed(0))
    for row, n in enumerate((6, 8, 2)):
        for ordered in (True, False):
            alone = body(TOKEN[row : row + 1, :n], value[row : row + 1, :n], ordered=ordered)
            together = body(TOKEN, value, ordered=ordered)[row, :n]
            torch.testing.assert_close(alone[0], together, atol=1e-5, rtol=0)
        cell, weights = body.read(TOKEN[row : row + 1, :n])
        torch.testing.assert_close(cell[0], body.read(TOKEN)[0][row], atol=1e-5, rtol=0)
        torch.testing.assert_close(weights[0], body.read(TOKEN)[1][row, :n], atol=1e-5, rtol=0)


@torch.no_grad()
def test_only_an_ordered_stream_has_an_order(make_body: Maker) -> None:
    body = make_body()
    order = torch.tensor([0, 4, 2, 1, 3, 5])
    token, value = TOKEN[:1, :6], torch.tensor([[1.0, 0.5, 2.0, 3.0, 0.1, 1.0]])
    free = body(token, value, ordered=False)
    torch.testing.assert_close(
        body(token[:, order], value[:, order], ordered=False), free[:, order]
    )
    ranked = body(token)
    assert (body(token[:, order]) - ranked[:, order]).abs().max() > 1e-2


@torch.no_grad()
def test_values_enter_where_they_should(make_body: Maker) -> None:
    token, value = TOKEN[:1, :6], torch.tensor([[1.0, 0.5, 2.0, 3.0, 0.1, 1.0]])
    body = make_body()
    assert (body(token, value) - body(token, value + 1)).abs().max() > 1e-3
    published = make_body(epe_mode="weight")
    assert published.embeddings.value_embeddings is None
    torch.testing.assert_close(published(token, value), published(token))


def test_soft_bins_are_their_formula() -> None:
    torch.manual_seed(0)
    bins = SoftBins(5, 3, spread=1.0)
    state = {name: value.numpy() for name, value in bins.state_dict().items()}
    for v in (0.0, 1.3, 7.0):
        u = state["stretch.weight"][:, 0] * v + state["stretch.bias"]
        u = np.where(u > 0, u, 0.1 * u)
        weights = softmax(u + state["mix.weight"] @ u + state["mix.bias"])
        found = bins(torch.tensor([[v]])).detach().numpy()[0, 0]
        np.testing.assert_allclose(found, weights @ state["bins"], atol=1e-6)


def test_the_base_preset_has_the_published_number_of_parameters() -> None:
    settings = {"preset": "base", "epe_mode": "weight"}
    config = replace(read_settings(settings, 60_530)[0], n_types=2)
    with torch.device("meta"):
        body, head = Body(config), Prediction(config)

    def count(values: list[Tensor]) -> float:
        return sum(value.numel() for value in values) / 1e6

    # The publication's 62.8 million, of which 31.0 are the word table, tied to the prediction.
    assert round(count([*body.parameters(), *head.parameters()]), 1) == 62.8
    assert round(count([body.embeddings.word_embeddings.weight]), 1) == 31.0
