"""Weights on disk: both published layouts, our own, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scypher.encoders.errors import InputError
from scypher.encoders.scdmc.model import Body, Prediction
from scypher.encoders.scdmc.vocabulary import Vocabulary
from scypher.encoders.scdmc.weights import load_pretrained, save_pretrained

from .conftest import SIZES, Checkpoint, published_tensors

GENES = [f"ENSG{number:011d}" for number in range(26)]


def test_own_weights_come_back_exactly(make_body: Callable[..., Body], tmp_path: Path) -> None:
    body = make_body()
    medians = np.linspace(0.5, 3, 26)
    vocabulary = Vocabulary.of(GENES, medians)
    save_pretrained(body, Prediction(body.config), vocabulary, folder=tmp_path / "a" / "b")
    loaded = load_pretrained(tmp_path / "a" / "b")
    assert loaded.body.config == body.config
    assert loaded.vocabulary.genes == GENES
    np.testing.assert_array_equal(loaded.vocabulary.medians, medians)
    np.testing.assert_array_equal(loaded.vocabulary.token, np.arange(26) + 4)
    assert not loaded.body.training
    for name, value in body.state_dict().items():
        assert torch.equal(loaded.body.state_dict()[name], value), name
    names = set(load_file(tmp_path / "a" / "b" / "model.safetensors"))
    assert {
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.1.attention.self.Wqkv.weight",
        "bert.encoder.layer.1.mlp.gated_layers.weight",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.bias",
    } <= names


@pytest.mark.parametrize("layout", ["mosaic", "stock"])
@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "model.encoder."])
def test_published_layouts_are_read(
    make_checkpoint: Checkpoint, layout: str, file: str, prefix: str
) -> None:
    tensors = published_tensors(layout, 204)
    named = {f"{prefix}{name}": value for name, value in tensors.items()}
    loaded = load_pretrained(make_checkpoint(layout, tensors=named, file=file))
    assert loaded.body.config.layout == layout
    assert loaded.body.config.max_tokens == (64 if layout == "stock" else 2048)
    assert loaded.body.config.epe_mode == "weight"
    assert len(loaded.vocabulary.genes) == 200
    state = loaded.body.state_dict()
    for name, value in tensors.items():
        if name.startswith("bert.") and "pooler" not in name:
            own = name.removeprefix("bert.").removeprefix("encoder.")
            assert torch.equal(state.pop(own), value)
    assert not state


def test_names_without_bert_a_wrapper_and_a_file_are_read(make_checkpoint: Checkpoint) -> None:
    tensors = {
        name.removeprefix("bert."): v for name, v in published_tensors("mosaic", 204).items()
    }
    folder = make_checkpoint(tensors={"state_dict": tensors})
    whole = make_checkpoint()
    first = load_pretrained(folder / "pytorch_model.bin")
    assert first.weights_hash == load_pretrained(whole).weights_hash


def test_half_precision_is_read_as_float32(make_checkpoint: Checkpoint) -> None:
    halved = {name: value.half() for name, value in published_tensors("mosaic", 204).items()}
    body = load_pretrained(make_checkpoint(tensors=halved)).body
    assert {value.dtype for value in body.state_dict().values()} == {torch.float32}


def test_missing_unexpected_and_misshapen_tensors_are_all_named(
    make_checkpoint: Checkpoint,
) -> None:
    tensors = published_tensors("mosaic", 204)
    del tensors["bert.encoder.layer.1.mlp.layernorm.bias"]
    tensors["bert.encoder.layer.0.adapter.weight"] = torch.zeros(3)
    tensors["bert.encoder.layer.0.mlp.wo.bias"] = torch.zeros(3)
    with pytest.raises(InputError) as error:
        load_pretrained(make_checkpoint(tensors=tensors))
    assert "missing: layer.1.mlp.layernorm.bias (1)" in str(error.value)
    assert "unexpected: layer.0.adapter.weight (1)" in str(error.value)
    assert "layer.0.mlp.wo.bias (3,) instead of (16,)" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 32}, "hidden_size 32 against 16"),
        ({"num_hidden_layers": 3}, "num_hidden_layers 3 against 2"),
        ({"intermediate_size": 25}, "intermediate_size 25 against 24"),
        ({"vocab_size": 300}, "vocab_size 300 against 204"),
    ],
)
@pytest.mark.parametrize("layout", ["mosaic", "stock"])
def test_a_configuration_of_other_weights_is_refused(
    make_checkpoint: Checkpoint, layout: str, changes: dict[str, int], said: str
) -> None:
    with pytest.raises(InputError, match=r"config.json does not describe pytorch_model.bin") as it:
        load_pretrained(make_checkpoint(layout, **changes))
    assert said in str(it.value)


def test_an_incomplete_configuration_is_refused(make_checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="no whole number for intermediate_size"):
        load_pretrained(make_checkpoint(intermediate_size="24"))
    with pytest.raises(InputError, match="activation 'relu'"):
        load_pretrained(make_checkpoint(hidden_act="relu"))
    with pytest.raises(InputError, match="width is 16, expected a multiple of 5"):
        load_pretrained(make_checkpoint(num_attention_heads=5))


def test_weights_of_another_family_are_refused(make_checkpoint: Checkpoint) -> None:
    other = {"token_emb.emb": torch.zeros(4, 2), "cell_vq.proj.weight": torch.zeros(2, 2)}
    with pytest.raises(InputError, match="look like weights of released CellVQ"):
        load_pretrained(make_checkpoint(tensors=other))


def test_more_than_one_encoder_is_refused(make_checkpoint: Checkpoint) -> None:
    tensors = published_tensors("mosaic", 204)
    both = tensors | {f"model.{name}": value for name, value in tensors.items()}
    with pytest.raises(InputError, match="more than one encoder"):
        load_pretrained(make_checkpoint(tensors=both))


def test_a_folder_without_weights_or_vocabulary_is_refused(
    make_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no weights"):
        load_pretrained(tmp_path / "empty")
    folder = make_checkpoint()
    (folder / "vocab.json").unlink()
    with pytest.raises(InputError, match="holds no vocabulary"):
        load_pretrained(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="holds a JSON list, expected an object"):
        load_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="cannot be read as JSON"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    "ids",
    [
        {"<mask>": 0, "<pad>": 1, "<cls>": 2, "<eos>": 3, "ENSG00000000003": 4},
        {"<pad>": 0, "<mask>": 1, "ENSG00000000003": 2, "ENSG00000000005": 3, "ENSG1": 4},
        {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3, "ENSG1": 4, "ENSG2": 4},
        {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3, "ENSG1": "4"},
        {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3},
    ],
)
def test_a_vocabulary_of_another_kind_is_refused(
    make_checkpoint: Checkpoint, ids: dict[str, int]
) -> None:
    folder = make_checkpoint()
    (folder / "vocab.json").write_text(json.dumps(ids))
    with pytest.raises(InputError, match="is no scDMC vocabulary"):
        load_pretrained(folder)


def test_a_vocabulary_beyond_the_word_table_is_refused(make_checkpoint: Checkpoint) -> None:
    folder = make_checkpoint()
    ids = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(ids | {"ENSG99999999999": 204}))
    with pytest.raises(InputError, match=r"vectors of 204 tokens.*ids up to 204"):
        load_pretrained(folder)


def test_medians_are_read_and_wrong_ones_refused(
    make_checkpoint: Checkpoint, ensembl_ids: list[str]
) -> None:
    given = load_pretrained(make_checkpoint(medians={ensembl_ids[3]: 2.5, "ENSG1": 7.0}))
    assert given.vocabulary.medians[3] == 2.5
    assert (np.delete(given.vocabulary.medians, 3) == 1).all()
    assert given.notes == []
    assert load_pretrained(make_checkpoint()).notes == [
        "no medians of genes beside the weights: all taken as 1"
    ]
    with pytest.raises(InputError, match="no positive number"):
        load_pretrained(make_checkpoint(medians={ensembl_ids[0]: 0.0}))


def test_own_folders_of_another_kind_are_refused(
    make_body: Callable[..., Body], tmp_path: Path
) -> None:
    body = make_body()
    save_pretrained(body, Prediction(body.config), Vocabulary.of(GENES), folder=tmp_path)
    good = json.loads((tmp_path / "config.json").read_text())
    for change, said in (
        ({"encoder": "cellvq"}, "describes encoder 'cellvq'"),
        ({"format": 99}, "format 99"),
        ({"genes": GENES[:5]}, "lists 5 genes and 26 medians"),
        ({"model": good["model"] | {"depth": 3}}, "has unknown ones"),
        ({"model": good["model"] | {"width": 32}}, r"\(30, 16\) instead of \(30, 32\)"),
        ({"model": good["model"] | {"n_layers": 1}}, "unexpected: layer.1"),
        ({"model": good["model"] | {"epe_mode": "weight"}}, "embeddings.value_embeddings"),
        ({"genes": [*GENES, "ENSG1"], "medians": [1.0] * 27}, "ids up to 30"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=said):
            load_pretrained(tmp_path)


def test_a_file_of_something_else_is_refused(make_checkpoint: Checkpoint) -> None:
    folder = make_checkpoint()
    torch.save([torch.zeros(2)], folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds a list instead of tensors by name"):
        load_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"pytorch_model\.bin"):
        load_pretrained(folder)


def test_positions_belong_to_one_layout_only(make_checkpoint: Checkpoint) -> None:
    tensors = published_tensors("stock", 204)
    tensors["bert.embeddings.position_ids"] = torch.arange(64)[None]
    assert load_pretrained(make_checkpoint("stock", tensors=tensors)).body.config.n_positions == 64
    mosaic = published_tensors("mosaic", 204)
    mosaic["bert.embeddings.position_embeddings.weight"] = torch.zeros(64, SIZES["width"])
    with pytest.raises(InputError, match=r"unexpected: embeddings\.position"):
        load_pretrained(make_checkpoint(tensors=mosaic))


def test_the_hash_follows_the_weights(make_checkpoint: Checkpoint) -> None:
    tensors = published_tensors("mosaic", 204)
    first = load_pretrained(make_checkpoint(tensors=tensors)).weights_hash
    tensors["cls.predictions.bias"] += 1
    assert load_pretrained(make_checkpoint(tensors=tensors)).weights_hash == first
    tensors["bert.encoder.layer.0.mlp.wo.bias"] += 1
    folder = make_checkpoint(tensors=tensors)
    assert load_pretrained(folder).weights_hash != first
    save_file(tensors, folder / "model.safetensors")
    assert (
        load_pretrained(folder).weights_hash
        == load_pretrained(folder / "pytorch_model.bin").weights_hash
    )
