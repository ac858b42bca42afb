"""The forward pass against loops written from the equations, and against torch's own layers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scypher.encoders.base import Encoding
from scypher.encoders.cells import Cells
from scypher.encoders.cellvq_released.config import CodeSizes, Sizes
from scypher.encoders.cellvq_released.encoder import CellVQReleasedEncoder
from scypher.encoders.cellvq_released.layers import Layer
from scypher.encoders.cellvq_released.model import PublishedModel
from scypher.encoders.cellvq_released.tokens import Tokens
from scypher.encoders.cellvq_released.weights import Published

HEADS, ALPHA = 4, 1.5


def softmax(values: np.ndarray) -> np.ndarray:
    shifted = np.exp(values - values.max())
    result: np.ndarray = shifted / shifted.sum()
    return result


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    result: np.ndarray = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * weight + bias
    return result


def value_embedding(w: dict[str, np.ndarray], value: float) -> np.ndarray:
    u = w["token_emb.mlp.weight"][:, 0] * value + w["token_emb.mlp.bias"]
    u = np.array([item if item > 0 else 0.1 * item for item in u])
    logits = ALPHA * u + w["token_emb.mlp2.weight"] @ u + w["token_emb.mlp2.bias"]
    result: np.ndarray = softmax(logits) @ w["token_emb.emb.weight"]
    return result


def attend(w: dict[str, np.ndarray], prefix: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (length, width) attended values and (heads, length, length) weights."""
    length, width = x.shape
    joined = x @ w[f"{prefix}in_proj_weight"].T + w[f"{prefix}in_proj_bias"]
    each = width // HEADS
    out, weights = np.zeros((length, width)), np.zeros((HEADS, length, length))
    for head in range(HEADS):
        part = slice(head * each, (head + 1) * each)
        q, k, v = (joined[:, place * width :][:, part] for place in range(3))
        for row in range(length):
            weights[head, row] = softmax(
                np.array([q[row] @ k[column] / math.sqrt(each) for column in range(length)])
            )
            out[row, part] = sum(weights[head, row, column] * v[column] for column in range(length))
    return out @ w[f"{prefix}out_proj.weight"].T + w[f"{prefix}out_proj.bias"], weights


def run_cell(
    w: dict[str, np.ndarray], genes: list[int], values: list[float], source: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return cell embedding, highest values, attention to genes, and head-mean maps by layer.

    Genes first and the depths last, as published.
    """
    n = len(w["pos_emb.weight"]) - 3
    tokens = [*zip(genes, values, strict=True), (n, 4.0), (n + 1, source)]
    rows = []
    for position, value in tokens:
        row = value_embedding(w, value) + w["pos_emb.weight"][position]
        if "go" in w:
            row = row + w["go_embed.weight"] @ w["go"][position] + w["go_embed.bias"]
        rows.append(row)
    x, maps = np.array(rows), []
    for number in range(2):
        prefix = f"encoder.transformer_encoder.{number}."
        attended, weights = attend(w, f"{prefix}self_attn.", x)
        maps.append(weights.mean(axis=0))
        for row in range(len(x)):
            one = layer_norm(
                x[row] + attended[row], w[f"{prefix}norm1.weight"], w[f"{prefix}norm1.bias"]
            )
            hidden = np.maximum(w[f"{prefix}linear1.weight"] @ one + w[f"{prefix}linear1.bias"], 0)
            more = w[f"{prefix}linear2.weight"] @ hidden + w[f"{prefix}linear2.bias"]
            x[row] = layer_norm(one + more, w[f"{prefix}norm2.weight"], w[f"{prefix}norm2.bias"])
    x = np.array([layer_norm(row, w["encoder.norm.weight"], w["encoder.norm.bias"]) for row in x])
    read = x[:-2]
    pooled = [read.max(axis=0), read.mean(axis=0)] if len(read) else [np.zeros(x.shape[1])] * 2
    to_genes = (maps[-1][-1] + maps[-1][-2])[:-2]
    attention = to_genes / to_genes.sum() if len(read) else to_genes
    return np.concatenate([x[-1], x[-2], *pooled]), x.max(axis=0), attention, maps


def make_codebook(w: dict[str, np.ndarray]) -> np.ndarray:
    rows = []
    for number in range(8):
        x = np.array([float(digit) for digit in format(number, "03b")])
        for layer in (0, 3, 6, 9, 12):
            x = w[f"cell_vq.embedding_mlp.{layer}.weight"] @ x
            x = x + w[f"cell_vq.embedding_mlp.{layer}.bias"]
            prefix = f"cell_vq.embedding_mlp.{layer + 1}."
            x = (x - w[f"{prefix}running_mean"]) / np.sqrt(w[f"{prefix}running_var"] + 1e-5)
            x = np.maximum(x * w[f"{prefix}weight"] + w[f"{prefix}bias"], 0)
        x = w["cell_vq.embedding_mlp.15.weight"] @ x + w["cell_vq.embedding_mlp.15.bias"]
        rows.append(x / np.sqrt((x**2).sum()))
    return np.array(rows)


@pytest.fixture
def encoder(mini: Any) -> CellVQReleasedEncoder:
    return CellVQReleasedEncoder(mini.cellvq())


@pytest.fixture
def encoding(encoder: CellVQReleasedEncoder, toy_cells: Cells) -> Encoding:
    return encoder.encode(toy_cells)


@pytest.fixture
def numbers(mini: Any, as_numbers: Any) -> dict[str, np.ndarray]:
    result: dict[str, np.ndarray] = as_numbers(mini.state())
    return result


@pytest.fixture
def read_cells(
    toy_cells: Cells, model_genes: list[str]
) -> list[tuple[list[int], list[float], float]]:
    """Genes of the model, values and source depth of every cell, straight from the data."""
    counts = toy_cells.counts.toarray().astype(float)
    names = list(toy_cells.genes["name"])
    order = [names.index(name) for name in model_genes]
    found = []
    for row in counts[:, order]:
        genes = [gene for gene in range(20) if row[gene] > 0]
        values = [math.log(1 + row[gene] / row.sum() * 1e4) for gene in genes]
        found.append((genes, values, math.log10(max(row.sum(), 1))))
    return found


def test_the_encoder_agrees_with_loops_over_tokens(
    encoding: Encoding,
    numbers: dict[str, np.ndarray],
    read_cells: list[tuple[list[int], list[float], float]],
    toy_cells: Cells,
    model_genes: list[str],
) -> None:
    names = list(toy_cells.genes["name"])
    codebook = make_codebook(numbers)
    np.testing.assert_allclose(encoding.codebook, codebook, atol=1e-5)
    assert len(np.unique(encoding.code)) > 1
    assert encoding.bits == [format(number, "03b") for number in range(8)]
    for cell, (genes, values, source) in enumerate(read_cells):
        embedding, highest, attention, _ = run_cell(numbers, genes, values, source)
        np.testing.assert_allclose(encoding.embedding[cell], embedding, atol=1e-5)
        given = np.zeros(len(names))
        for gene, weight in zip(genes, attention, strict=True):
            given[names.index(model_genes[gene])] = weight * len(genes)
        np.testing.assert_allclose(encoding.attention[[cell]].toarray()[0], given, atol=1e-5)
        z = numbers["cell_vq.proj.weight"] @ highest + numbers["cell_vq.proj.bias"]
        cosine = codebook @ (z / np.sqrt((z**2).sum()))
        order = np.argsort(-cosine)
        assert np.diff(-cosine[order[:3]]).min() > 1e-5  # else the code would be a coin toss
        assert (encoding.code[cell], encoding.second[cell]) == (order[0], order[1])
        probability = softmax(2 * cosine / 0.1)
        assert encoding.probability[cell] == pytest.approx(probability[order[0]], abs=1e-5)
        entropy = -sum(p * math.log(max(p, 1e-12)) for p in probability)
        assert encoding.entropy[cell] == pytest.approx(entropy, abs=1e-4)


def test_a_gene_is_its_position_and_its_prior(
    encoding: Encoding, numbers: dict[str, np.ndarray], toy_cells: Cells, model_genes: list[str]
) -> None:
    for row, name in enumerate(toy_cells.genes["name"]):
        if name not in model_genes:
            assert not encoding.gene_embedding[row].any()
            continue
        gene = model_genes.index(name)
        prior = numbers["go_embed.weight"] @ numbers["go"][gene] + numbers["go_embed.bias"]
        expected = numbers["pos_emb.weight"][gene] + prior
        np.testing.assert_allclose(encoding.gene_embedding[row], expected, atol=1e-5)


def test_whole_maps_agree_with_loops_and_carry_names(
    encoder: CellVQReleasedEncoder,
    numbers: dict[str, np.ndarray],
    read_cells: list[tuple[list[int], list[float], float]],
    toy_cells: Cells,
    model_genes: list[str],
) -> None:
    genes, values, source = read_cells[30]
    *_, expected = run_cell(numbers, genes, values, source)
    maps = encoder.attention(toy_cells, 30, [0, -1])
    assert list(maps) == [0, -1]
    names = [*(model_genes[gene] for gene in genes), "target depth", "source depth"]
    for layer, found in maps.items():
        assert list(found.index) == list(found.columns)
        np.testing.assert_allclose(found.loc[names, names], expected[layer], atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_layer_is_that_of_torch(padding: int) -> None:
    torch.manual_seed(0)
    reference = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True).eval()
    layer = Layer(16, 4, 24)
    layer.load_state_dict(reference.state_dict())
    x, present = torch.randn(3, 9, 16), torch.ones(3, 9, dtype=torch.bool)
    present[1, 9 - padding :] = False
    with torch.no_grad():
        expected = reference(x, src_key_padding_mask=~present)
        found = layer(x, present if padding else None)
        _, weights = reference.self_attn(x, x, x, key_padding_mask=~present)
        rows = layer.self_attn.weights(x, present, slice(2))
    torch.testing.assert_close(found[present], expected[present], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rows, weights[:, :2], atol=1e-6, rtol=1e-5)


def test_padding_changes_nothing(encoder: CellVQReleasedEncoder) -> None:
    published: Published = encoder._published
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 4, 20]
    position = torch.full((3, 22), 22)
    value = torch.zeros(3, 22)
    present = torch.zeros(3, 22, dtype=torch.bool)
    for row, length in enumerate(lengths):
        position[row, :2] = torch.tensor([20, 21])
        position[row, 2 : 2 + length] = torch.randperm(20, generator=generator)[:length]
        value[row, : 2 + length] = 5 * torch.rand(2 + length, generator=generator)
        present[row, : 2 + length] = True
    batch = published.model.describe(Tokens(position, value, present))
    for row, length in enumerate(lengths):
        alone = Tokens(*(item[[row], : 2 + length] for item in (position, value, present)))
        one = published.model.describe(alone)
        torch.testing.assert_close(batch.cell[[row]], one.cell, atol=1e-5, rtol=0)
        torch.testing.assert_close(batch.highest[[row]], one.highest, atol=1e-5, rtol=0)
        torch.testing.assert_close(batch.attention[[row], :length], one.attention)
        assert (batch.attention[row, length:] == 0).all()


def test_the_published_sizes_have_the_published_number_of_parameters() -> None:
    codes = CodeSizes(12, 32, 1024, 6, normed=True)
    with torch.device("meta"):
        model = PublishedModel(Sizes(19_264, 768, 3072, 100, 12, heads=12, codes=codes))
    counted = {
        name: sum(value.numel() for value in model.get_submodule(name).parameters())
        for name in ("token_emb", "pos_emb", "encoder", "cell_vq", "go_embed")
    }
    assert counted == {
        "token_emb": 100 * 2 + 100 * 101 + 102 * 768,
        "pos_emb": 19_267 * 768,
        "encoder": 12 * (12 * 768**2 + 13 * 768) + 2 * 768,
        "cell_vq": 13 * 1024 + 4 * 1025 * 1024 + 10 * 1024 + 1025 * 32 + 769 * 32 + 33 * 768,
        "go_embed": 19_267 * 768,
    }
    assert model.go is not None
    assert model.go.numel() == 19_266**2
