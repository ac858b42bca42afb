"""The network against torch's own modules, and the compiled cross-attention against the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from scypher.encoders.cellpatch.config import CellPatchConfig
from scypher.encoders.cellpatch.decoder import PromptDecoder
from scypher.encoders.cellpatch.inference import Reading, patches_after, read_genes
from scypher.encoders.cellpatch.kernel import Tables, cross_read, make_tables
from scypher.encoders.cellpatch.model import PatchEncoder
from scypher.encoders.cellpatch.tokens import pad
from scypher.encoders.cellpatch.weights import load_pretrained

TOKENS = np.arange(40)[::-1] + 3
"""Rows of the gene table that the forty genes of ``ragged`` stand for."""


def padded(values: sparse.csr_matrix) -> Any:
    row = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    return pad(row, TOKENS[values.indices], values.data, values.shape[0])


def random_model(**sizes: Any) -> PatchEncoder:
    torch.manual_seed(1)
    return PatchEncoder(CellPatchConfig(n_tokens=50, **sizes)).eval()


def test_it_has_the_published_number_of_parameters() -> None:
    config = CellPatchConfig(n_tokens=70_000)
    encoder, decoder = PatchEncoder(config), PromptDecoder(config)
    table = encoder.gene.weight.numel()
    count = sum(value.numel() for part in (encoder, decoder) for value in part.parameters())
    unused_norm = 2 * config.width
    assert table == 2_240_000
    # 45.6 thousand
    assert count + unused_norm - table == 45_611


def test_patches_are_those_of_the_reference(
    make_reference: Callable[..., Any], save_public: Callable[..., Path], ragged: sparse.csr_matrix
) -> None:
    model = load_pretrained(save_public()).model
    reference = make_reference(n_tokens=220)
    gene, value, present = padded(ragged)
    with torch.no_grad():
        patches = model(gene, value, present)
        start = model.start.expand(len(gene), -1, -1)
        weights = model.read.attn.weights(start, model.tokens(gene, value), present)
    for cell in range(1, 23):
        there = present[cell]
        wanted, attention = reference.cell(gene[cell, there], value[cell, there])
        torch.testing.assert_close(patches[cell], wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(weights[cell, :, there], attention, atol=1e-6, rtol=0)
        assert (weights[cell, :, ~there] == 0).all()
    assert patches[0].isfinite().all()
    assert (weights[0] == 0).all()


def test_a_cell_without_genes_reads_the_output_bias_alone() -> None:
    model = random_model()
    with torch.no_grad():
        model.read.attn.out_proj.bias.normal_()
        empty = model(torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3), torch.zeros(1, 3) > 0)
        update = model.read.attn.out_proj.bias.expand_as(model.start)
        wanted = model.exchange(model.read.finish(model.start, update))
    torch.testing.assert_close(empty, wanted)


def test_padding_changes_nothing(ragged: sparse.csr_matrix) -> None:
    model = random_model()
    with torch.no_grad():
        together = model(*padded(ragged))
        for cell in range(ragged.shape[0]):
            alone = model(*padded(ragged[cell]))
            torch.testing.assert_close(alone[0], together[cell], atol=1e-5, rtol=0)


def test_values_of_the_decoder_are_those_of_the_reference(
    make_reference: Callable[..., Any],
) -> None:
    reference = make_reference(n_tokens=60)
    state = reference.state_dict()
    config = CellPatchConfig(60, n_patches=5, width=8, hidden=12)
    decoder = PromptDecoder(config).eval()
    stems = {
        "narrow.": "encoder_projection.",
        "widen.": "decoder_reverse_projection.",
        "out.": "decoder_projection.",
    }
    for part in ("attn", "attn_norm", "mlp", "mlp_norm"):
        stems[f"ask.{part}."] = f"decoder_extract_blocks_{part}."
        stems[f"settle.{part}."] = f"decoder_selfattn_blocks_{part}.0."
    decoder.load_state_dict(
        {
            own + name.removeprefix(public): value
            for own, public in stems.items()
            for name, value in state.items()
            if name.startswith(public)
        }
    )
    genes = [torch.tensor([4, 9, 31]), torch.tensor([7]), torch.arange(1, 12)]
    patches = torch.randn(3, 5, 8)
    rows = np.repeat(np.arange(3), [len(item) for item in genes])
    asked = pad(rows, torch.cat(genes).numpy(), np.zeros(len(rows)), 3)
    with torch.no_grad():
        prompt = reference.gene2vector(asked.gene)
        values = decoder(patches, prompt, asked.present)
    for cell, gene in enumerate(genes):
        wanted = reference.decode(patches[cell], gene)
        torch.testing.assert_close(values[cell, : len(gene)], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"n_patches": 3, "width": 6, "n_heads": 2, "hidden": 5, "n_layers": 0},
        {"n_patches": 7, "width": 9, "n_heads": 3, "hidden": 5, "n_layers": 1},
        {"n_patches": 1, "width": 4, "n_heads": 1, "hidden": 5},
    ],
)
def test_the_kernel_gives_the_numbers_of_the_network(
    sizes: dict[str, Any], ragged: sparse.csr_matrix
) -> None:
    model = random_model(**sizes)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn(value.shape))
    gene, value, present = padded(ragged)
    (chunk,) = read_genes(model, Reading(ragged, np.arange(40), TOKENS))
    finished = patches_after(model, chunk.update)
    # Float64 leaves the rounding of one side only.
    model, value = model.double(), value.double()
    with torch.no_grad():
        start = model.start.expand(len(gene), -1, -1)
        tokens = model.tokens(gene, value)
        update = model.read.attn(start, tokens, present)
        weights = model.read.attn.weights(start, tokens, present).mean(dim=1)
        patches = model(gene, value, present)
    torch.testing.assert_close(chunk.update.double(), update, atol=1e-5, rtol=0)
    torch.testing.assert_close(finished.double(), patches, atol=1e-5, rtol=0)
    np.testing.assert_allclose(chunk.attention.data, weights[present].numpy(), atol=1e-6)
    sums = np.asarray(chunk.attention.sum(axis=1)).ravel()
    np.testing.assert_allclose(sums, [0] + [1] * 22, atol=1e-5)


def test_the_kernel_stands_large_logits() -> None:
    rng = np.random.default_rng(0)
    n_genes, n_patches = 30, 4
    tables = Tables(
        logit=rng.normal(0, 60, (n_genes, 2 * n_patches)).astype(np.float32),
        slope=rng.normal(0, 9, 2 * n_patches).astype(np.float32),
        gene=rng.normal(size=(n_genes, 4)).astype(np.float32),
        value=rng.normal(size=4).astype(np.float32),
        offset=rng.normal(size=4).astype(np.float32),
        n_heads=2,
        depth=2,
    )
    values = sparse.csr_matrix(rng.gamma(2.0, size=(3, n_genes)).astype(np.float32))
    context, attention = cross_read(values, tables)
    dense = values.toarray().astype(float)
    for cell in range(3):
        logits = tables.logit.astype(float) + dense[cell][:, None] * tables.slope
        weights = np.exp(logits - logits.max(axis=0))
        weights /= weights.sum(axis=0)
        read = tables.gene + dense[cell][:, None] * tables.value + tables.offset
        for patch in range(n_patches):
            for head in range(2):
                part = slice(2 * head, 2 * head + 2)
                wanted = weights[:, head * n_patches + patch] @ read[:, part]
                np.testing.assert_allclose(context[cell, patch, part], wanted, atol=2e-5)
        mean = attention.reshape(3, n_genes)[cell]
        np.testing.assert_allclose(mean, weights.mean(axis=1), atol=1e-6)


def test_the_kernel_does_not_depend_on_threads_or_neighbours(ragged: sparse.csr_matrix) -> None:
    tables = make_tables(random_model(), TOKENS)
    context, attention = cross_read(ragged, tables)
    torch.set_num_threads(2)
    try:
        both = cross_read(ragged, tables)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(both[0], context)
    np.testing.assert_array_equal(both[1], attention)
    for cell in (0, 5, 22):
        alone = cross_read(ragged[cell], tables)
        np.testing.assert_array_equal(alone[0][0], context[cell])


def test_no_cells_are_no_error() -> None:
    context, attention = cross_read(
        sparse.csr_matrix((0, 40), dtype=np.float32), make_tables(random_model(), TOKENS)
    )
    assert context.shape == (0, 64, 32)
    assert attention.shape == (0,)
