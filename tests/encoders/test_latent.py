"""The latent reader against its equations, written as loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import sparse, special

from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.tokens import Tokens, tokenise

Values = tuple[sparse.csr_matrix, np.ndarray]
State = dict[str, np.ndarray]


@pytest.fixture
def tokens(tiny_values: Values) -> Tokens:
    """Tokens of which some cells stand for more genes than are read."""
    values, totals = tiny_values
    length = np.diff(values.indptr) + np.arange(20) % 3 * 7
    return tokenise(values, totals, length=length)


def numbers(model: CellVQ) -> State:
    return {name: value.double().numpy() for name, value in model.state_dict().items()}


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) * weight + bias


def attend(state: State, name: str, query: np.ndarray, known: np.ndarray, heads: int) -> np.ndarray:
    """Return multi-head attention of rows of ``query`` to rows of ``known``."""
    width = query.shape[1]
    weight = state[f"{name}.in_proj_weight"].reshape(3, width, width)
    bias = state[f"{name}.in_proj_bias"].reshape(3, width)
    q, k, v = (x @ weight[i].T + bias[i] for i, x in enumerate((query, known, known)))
    mixed = np.zeros_like(query)
    size = width // heads
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        share = special.softmax(q[:, own] @ k[:, own].T / math.sqrt(size), axis=1)
        mixed[:, own] = share @ v[:, own]
    return mixed @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]


def mix(state: State, config: CellVQConfig, read: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return what the layers of self-attention make of one cell's latents (n_latents, slice)."""

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    latents = linear(read, "reader.enter") + state["reader.identity"]
    known = linear(depth[:, None], "reader.depth") + state["reader.depth_identity"]
    for number in range(config.n_layers):
        name = f"reader.layers.{number}"
        norms = [
            (state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"])
            for part in ("norm", "norm_hidden")
        ]
        query = layer_norm(latents, *norms[0])
        both = np.concatenate([query, known])
        latents = latents + attend(state, f"{name}.attend", query, both, config.n_heads)
        hidden = linear(layer_norm(latents, *norms[1]), f"{name}.hidden.0")
        gelu = hidden * special.ndtr(hidden)
        latents = latents + linear(gelu, f"{name}.hidden.2")
    return np.concatenate(list(read + np.tanh(linear(latents, "reader.leave"))))


def oracle(model: CellVQ, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
    """Return embedding and attention, cell by cell and gene by gene."""
    state, config = numbers(model), model.config
    loadings, scale = state["loadings"], state["scale"]
    positions = math.sqrt(config.n_genes) * loadings @ state["reader.gene_key.weight"].T
    prior = state["reader.prior.taken"] @ state["reader.prior.given"].T
    keys = positions + prior @ positions
    width = config.width // config.n_latents
    bound, per_key = config.bound, math.sqrt(config.key_width)
    gene, value = tokens.gene.tolist(), tokens.value.double().numpy()
    cells, attention = [], np.zeros((len(gene), config.n_latents))
    for cell, (start, stop) in enumerate(pairwise(tokens.indptr.tolist())):
        own = range(start, stop)
        read = np.zeros((config.n_latents, width))
        for latent, query in enumerate(state["reader.query"]):
            logits = []
            for p in own:
                place = value[p] / math.log1p(1e4) * (config.n_bins - 1)
                lower = min(int(place), config.n_bins - 2)
                of_bin = [
                    bound * math.tanh(query @ state["reader.value_key"][b] / per_key / bound)
                    for b in (lower, lower + 1)
                ]
                share = place - lower
                of_gene = bound * math.tanh(query @ keys[gene[p]] / per_key / bound)
                logits.append(of_gene + (1 - share) * of_bin[0] + share * of_bin[1])
            weights = special.softmax(logits) if logits else np.zeros(0)
            attention[start:stop, latent] = weights
            slice_ = slice(latent * width, (latent + 1) * width)
            for p, weight in zip(own, weights, strict=True):
                unit = value[p] / scale[gene[p]]
                read[latent] += weight * unit * loadings[gene[p], slice_]
            read[latent] *= float(tokens.length[cell])
            read[latent] -= state["centre"][slice_]
        cells.append(mix(state, config, read, tokens.depth[cell].double().numpy()))
    return np.array(cells), attention


@torch.no_grad()
def test_the_reader_follows_its_equations(trained: CellVQ, tokens: Tokens) -> None:
    embedding, attention = oracle(trained, tokens)
    body = trained.read(tokens)
    np.testing.assert_allclose(body.attention.numpy(), attention, atol=1e-5)
    np.testing.assert_allclose(body.cell.numpy(), embedding, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_attention_sums_to_one_in_every_cell_and_latent(trained: CellVQ, tokens: Tokens) -> None:
    attention = trained.read(tokens).attention
    assert attention.shape == (len(tokens.gene), 4)
    for start, stop in pairwise(tokens.indptr.tolist()):
        torch.testing.assert_close(attention[start:stop].sum(dim=0), torch.ones(4))


@torch.no_grad()
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_no_gene_outweighs_another_beyond_the_bound(
    trained: CellVQ, tokens: Tokens, size: float
) -> None:
    trained.reader.query *= size
    attention = trained.read(tokens).attention
    ratios = [
        float((attention[start:stop].amax(dim=0) / attention[start:stop].amin(dim=0)).max())
        for start, stop in pairwise(tokens.indptr.tolist())
    ]
    assert max(ratios) <= math.exp(4 * trained.config.bound) * (1 + 1e-4)
    assert max(ratios) > 1.1


@torch.no_grad()
def test_untrained_it_is_the_linear_embedding_with_uniform_attention(
    untrained: CellVQ, tokens: Tokens, tiny_values: Values
) -> None:
    dense = tiny_values[0].toarray().astype(np.float64)
    sampled = tokens.length.numpy() / np.diff(tiny_values[0].indptr)
    expected = dense / untrained.scale.numpy() @ untrained.loadings.numpy() * sampled[:, None]
    body = untrained.read(tokens)
    np.testing.assert_allclose(
        body.cell.numpy(), expected - untrained.centre.numpy(), rtol=1e-5, atol=1e-3
    )
    lengths = torch.from_numpy(np.diff(tiny_values[0].indptr))
    uniform = torch.repeat_interleave(1 / lengths, lengths)
    torch.testing.assert_close(body.attention, uniform[:, None].expand(-1, 4).float())


@torch.no_grad()
def test_depth_changes_a_trained_embedding_only(trained: CellVQ, tokens: Tokens) -> None:
    deeper = tokens._replace(depth=tokens.depth + 1)
    assert (trained.read(deeper).cell - trained.read(tokens).cell).abs().max() > 1e-2
    torch.testing.assert_close(trained.read(deeper).attention, trained.read(tokens).attention)
