"""Cell2Sentence: embeddings, gene embeddings and attention against transformers, and the rules."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scypher.encoders import registry
from scypher.encoders.cell2sentence.encoder import Cell2SentenceEncoder
from scypher.encoders.cell2sentence.pieces import Pieces, Prompt, to_pieces
from scypher.encoders.cell2sentence.reading import Rollout, read
from scypher.encoders.cell2sentence.sentences import sentences_of
from scypher.encoders.cell2sentence.weights import load_language_model
from scypher.encoders.cells import Cells, prepare, read_h5ad
from scypher.encoders.coded import Features
from scypher.encoders.errors import InputError
from scypher.encoders.reading import TOP_ATTENDED

transformers = pytest.importorskip("transformers", reason="needs scypher[language]")


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@pytest.fixture
def cells(make_cells: Callable[[int], Cells]) -> Cells:
    return make_cells(60)


def features(folder: Path, cells: Cells, **options: Any) -> Features:
    return Cell2SentenceEncoder(folder, device="cpu", **options).embed(cells, 0, silent)


@cache
def loaded(folder: Path) -> tuple[Any, Any]:
    """Model with head and tokeniser, read by transformers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    file = str(folder / "tokenizer.json")
    return model.eval(), transformers.PreTrainedTokenizerFast(tokenizer_file=file)


def reference(
    folder: Path, cells: Cells, row: int, most: int
) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray], np.ndarray]:
    """Last states, rollout of the last sentence piece, and the places of every gene's pieces.

    One prompt at a time, without padding, by the classes of transformers.
    """
    model, tokenizer = loaded(folder)
    values = cells.counts[row].toarray()[0]
    genes = np.lexsort((np.arange(len(values)), -values))[: (values > 0).sum()][:most]
    names = cells.genes["symbol"].str.upper().to_numpy()[genes]
    before, after = Prompt().around(len(genes))
    text = before + " ".join(names) + after
    made = tokenizer(
        text, return_offsets_mapping=True, add_special_tokens=False, truncation=False, padding=False
    )
    spans, start = [], len(before)
    for name in names:
        end = start + len(name)
        spans.append(
            np.array(
                [
                    place
                    for place, (left, right) in enumerate(made["offset_mapping"])
                    if start < right <= end and left >= start - 1
                ]
            )
        )
        start = end + 1
    with torch.inference_mode():
        output = model(
            input_ids=torch.tensor([made["input_ids"]]),
            output_hidden_states=True,
            output_attentions=True,
        )
    rollout = torch.eye(len(made["input_ids"]))
    for attention in output.attentions:
        rollout = (attention[0].mean(dim=0) + torch.eye(len(rollout))) / 2 @ rollout
    return output.hidden_states[-1][0], rollout[spans[-1][-1]], spans, genes


def test_the_features_equal_those_computed_with_transformers(
    checkpoint: Path, cells: Cells
) -> None:
    found = features(checkpoint, cells, most=12)
    total = np.zeros_like(found.gene_embedding, dtype=np.float64)
    seen = np.zeros(len(total))
    for row in range(60):
        hidden, rollout, spans, genes = reference(checkpoint, cells, row, 12)
        pooled = hidden[np.concatenate(spans)].mean(dim=0)
        np.testing.assert_allclose(found.embedding[row], pooled, atol=1e-5)
        share = np.array([float(rollout[span].sum()) for span in spans])
        expected = np.zeros(len(total))
        expected[genes] = share / share.sum() * len(genes)
        np.testing.assert_allclose(found.attention[row].toarray()[0], expected, atol=1e-5)
        for gene, span in zip(genes, spans, strict=True):
            total[gene] += hidden[span].mean(dim=0).numpy()
            seen[gene] += 1
    read_ = seen > 0
    assert 0 < read_.sum() < len(seen)
    expected = total[read_] / seen[read_, None]
    np.testing.assert_allclose(found.gene_embedding[read_], expected, atol=1e-5)
    assert not found.gene_embedding[~read_].any()


def test_the_whole_prompt_can_be_pooled(checkpoint: Path, cells: Cells) -> None:
    found = features(checkpoint, cells, most=12, whole_prompt=True)
    for row in (0, 7):
        hidden, *_ = reference(checkpoint, cells, row, 12)
        np.testing.assert_allclose(found.embedding[row], hidden.mean(dim=0), atol=1e-5)


def test_a_prompt_does_not_depend_on_those_beside_it(checkpoint: Path, cells: Cells) -> None:
    language = load_language_model(checkpoint)
    names = [str(name) for name in cells.genes["symbol"]]
    sentences = sentences_of(cells.counts, names)
    texts = [sentences.text(row).split() for row in range(8)]
    texts[0] = texts[0][:1]
    together = to_pieces(language.tokenizer, Prompt(), texts, 512)
    assert len(set(together.length)) > 3
    batch = read(language.model, together, whole_prompt=False)
    ends = np.cumsum(together.n_words)
    for row, text in enumerate(texts):
        pieces = to_pieces(language.tokenizer, Prompt(), [text], 512)
        alone = read(language.model, pieces, whole_prompt=False)
        span = slice(ends[row] - len(text), ends[row])
        torch.testing.assert_close(alone.embedding[0], batch.embedding[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.state, batch.state[span], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.share, batch.share[span], atol=1e-5, rtol=0)


def test_the_side_of_the_padding_changes_nothing(checkpoint: Path) -> None:
    """Padding on the left, with mask and positions, gives the states of padding on the right."""
    model = load_language_model(checkpoint).model
    ids = torch.arange(20, 40)[None]
    pad = torch.zeros(1, 6, dtype=torch.long)
    with torch.inference_mode():
        right = model(
            input_ids=torch.cat([ids, pad], dim=1),
            attention_mask=torch.cat([torch.ones_like(ids), pad], dim=1),
            position_ids=torch.arange(26)[None],
        )[0][:, :20]
        left = model(
            input_ids=torch.cat([pad, ids], dim=1),
            attention_mask=torch.cat([pad, torch.ones_like(ids)], dim=1),
            position_ids=torch.cat([pad, torch.arange(20)[None]], dim=1),
        )[0][:, 6:]
    torch.testing.assert_close(left, right, atol=1e-5, rtol=0)


def test_chunks_and_blocks_change_nothing(
    checkpoint: Path, cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = features(checkpoint, cells)
    monkeypatch.setattr("scypher.encoders.cell2sentence.encoder.SCORES", 1)
    monkeypatch.setattr("scypher.encoders.cell2sentence.encoder.BLOCK", 7)
    single = features(checkpoint, cells)
    np.testing.assert_allclose(single.embedding, whole.embedding, atol=1e-5)
    np.testing.assert_allclose(single.gene_embedding, whole.gene_embedding, atol=1e-5)
    difference = abs(single.attention - whole.attention)
    assert difference.max() < 1e-4


def test_the_encoding_keeps_the_contract(checkpoint: Path, cells: Cells) -> None:
    encoder = Cell2SentenceEncoder(checkpoint, device="cpu")
    first, again = encoder.encode(cells, seed=3), encoder.embed(cells, 3, silent)
    assert np.array_equal(first.embedding, again.embedding)
    assert np.array_equal(first.gene_embedding, again.gene_embedding)
    assert np.array_equal(first.attention.toarray(), again.attention.toarray())
    assert first.embedding.shape == (60, 32)
    assert first.embedding.dtype == first.gene_embedding.dtype == np.float32
    assert np.diff(first.attention.indptr).max() <= TOP_ATTENDED
    assert first.attention.data.min() > 0
    expressed = cells.counts > 0
    assert (first.attention > 0).multiply(expressed).nnz == first.attention.nnz
    narrow = np.diff(first.attention.indptr) < TOP_ATTENDED
    assert narrow.any()
    np.testing.assert_allclose(
        first.attention.sum(axis=1).A1[narrow], np.diff(first.attention.indptr)[narrow], rtol=1e-4
    )
    assert first.parameters["encoder"] == "c2s"
    assert first.parameters["pretrained"] == first.weights_hash
    assert first.dropped_genes == []


def test_the_caps_are_told(
    checkpoint: Path, make_checkpoint: Callable[..., Path], cells: Cells
) -> None:
    notes = " ".join(features(checkpoint, cells, most=5).notes)
    assert "hold 5 to 5 genes (median 5)" in notes
    assert "60 cells express more than 5 genes: their 5 most expressed ones read" in notes
    narrow = make_checkpoint(name="narrow", max_position_embeddings=160)
    assert any("longer than the model reads" in note for note in features(narrow, cells).notes)


def test_chosen_genes_alone_are_read_and_the_rest_named(checkpoint: Path, cells: Cells) -> None:
    names = [str(name) for name in cells.genes["name"]]
    found = features(checkpoint, cells, genes=names[:4])
    assert found.dropped_genes == names[4:]
    assert set(found.attention.indices) <= {0, 1, 2, 3}
    empty = np.flatnonzero(np.asarray(cells.counts[:, :4].sum(axis=1)).ravel() == 0)
    assert len(empty)
    assert not found.embedding[empty].any()
    notes = " ".join(found.notes)
    assert f"{len(empty)} cells express none of the chosen genes" in notes
    assert f"{len(names) - 4} genes were not chosen" in notes
    with pytest.raises(InputError, match="none of the 1 chosen genes"):
        features(checkpoint, cells, genes=["NOSUCH"])


def test_variable_genes_are_chosen_on_the_cells(checkpoint: Path, cells: Cells) -> None:
    found = features(checkpoint, cells, genes=20)
    assert len(found.dropped_genes) == len(cells.genes) - 20
    assert found.parameters["genes"] == "variable: 20"


def test_the_catalogue_makes_it(checkpoint: Path, cells: Cells, tmp_path: Path) -> None:
    encoder = registry.get_encoder(f"c2s:{checkpoint},genes=15")
    assert isinstance(encoder, Cell2SentenceEncoder)
    assert len(encoder.embed(cells, 0, silent).dropped_genes) == len(cells.genes) - 15
    listed = tmp_path / "genes.txt"
    listed.write_text("CD3D\nLYZ\nCD79A\n")
    encoder = registry.get_encoder(f"c2s:{checkpoint},genes={listed}", adapt=False)
    assert isinstance(encoder, Cell2SentenceEncoder)
    assert len(encoder.embed(cells, 0, silent).dropped_genes) == len(cells.genes) - 3
    with pytest.raises(InputError, match="may not fit itself"):
        registry.get_encoder(f"c2s:{checkpoint},genes=15", adapt=False)
    with pytest.raises(InputError, match="comes without weights"):
        registry.get_encoder("c2s")
    with pytest.raises(InputError, match="0 words of a cell"):
        Cell2SentenceEncoder(checkpoint, most=0)


def test_progress_reaches_its_end(checkpoint: Path, cells: Cells) -> None:
    told: list[tuple[str, int, int]] = []
    Cell2SentenceEncoder(checkpoint, device="cpu").embed(
        cells, 0, lambda what, done, total: told.append((what, done, total))
    )
    assert told[-1] == ("reading cell sentences", 60, 60)


def test_a_rollout_before_the_model_ran_is_refused(checkpoint: Path) -> None:
    rollout = Rollout(load_language_model(checkpoint).model)
    with pytest.raises(InputError, match="no attention was seen"):
        rollout.of(torch.zeros(1, dtype=torch.long))


def test_hooks_are_taken_off_the_model(checkpoint: Path) -> None:
    model = load_language_model(checkpoint).model
    one = Pieces([np.arange(1, 5)], [np.array([-1, 0, 0, 1])], np.array([2]))
    read(model, one, whole_prompt=False)
    assert not any(layer._forward_hooks for layer in model.modules())


def test_real_cells_are_read(checkpoint: Path, data_dir: Path) -> None:
    cells = prepare(read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")[:250].copy())
    found = features(checkpoint, cells, most=20)
    assert np.isfinite(found.embedding).all()
    assert found.attention.shape == cells.counts.shape
    types = cells.adata.obs["cell_type"].astype(str)
    # Sentences of one type share words, so even random weights place them nearer to each other.
    unit = found.embedding - found.embedding.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = np.equal.outer(types.to_numpy(), types.to_numpy())
    np.fill_diagonal(same, False)
    other = ~np.equal.outer(types.to_numpy(), types.to_numpy())
    assert cosine[same].mean() > cosine[other].mean() + 0.02
