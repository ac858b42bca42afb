"""Checkpoint folders: whole ones are read, all others named and refused."""

import builtins
import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scypher.encoders.cell2sentence.weights import find_folder, load_language_model
from scypher.encoders.errors import InputError

transformers = pytest.importorskip("transformers", reason="needs scypher[language]")

Maker = Callable[..., Path]
DENSE = "gpt_neox.layers.1.attention.dense.weight"


def test_every_layout_gives_the_same_model(checkpoint: Path) -> None:
    expected = load_language_model(checkpoint)
    assert (expected.width, expected.max_pieces) == (32, 512)
    state = load_file(checkpoint / "model.safetensors")
    source = checkpoint / "model.safetensors"
    # A shard list, then a PyTorch file, then names as a bare model writes them.
    source.unlink()
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, checkpoint / file)
    index = checkpoint / "model.safetensors.index.json"
    shards = {name: file for file, part in parts.items() for name in part}
    index.write_text(json.dumps({"weight_map": shards}))
    assert load_language_model(checkpoint).weights_hash == expected.weights_hash
    index.unlink()
    torch.save(state, checkpoint / "pytorch_model.bin")
    assert load_language_model(checkpoint).weights_hash == expected.weights_hash
    bare = {name.removeprefix("gpt_neox."): value for name, value in state.items()}
    bare = {name: value for name, value in bare.items() if name != "embed_out.weight"}
    save_file(bare, source)
    assert load_language_model(checkpoint).weights_hash == expected.weights_hash


def test_the_model_is_the_one_that_transformers_reads(checkpoint: Path) -> None:
    ours = load_language_model(checkpoint).model
    theirs = transformers.GPTNeoXModel.from_pretrained(checkpoint)
    ids = torch.randint(0, 400, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        difference = ours(input_ids=ids)[0] - theirs(input_ids=ids)[0]
    assert difference.abs().max() < 1e-5
    assert not ours.training


def test_training_leftovers_are_never_opened(checkpoint: Path) -> None:
    for name in ("rng_state.pth", "scheduler.pt", "training_args.bin"):
        (checkpoint / name).write_bytes(b"\x80\x04cos\nsystem\n.")
    load_language_model(checkpoint)


def test_half_precision_weights_are_read_in_single_precision(
    make_checkpoint: Maker, state: dict[str, Tensor]
) -> None:
    halves = {name: value.half() for name, value in state.items() if value.dtype == torch.float32}
    model = load_language_model(make_checkpoint(halves)).model
    assert {value.dtype for value in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("tensors", "settings", "message"),
    [
        ({DENSE: None}, {}, r"missing: layers\.1\.attention\.dense\.weight \(1\)"),
        ({"gpt_neox.extra": torch.ones(2)}, {}, r"unexpected: extra \(1\)"),
        ({DENSE: torch.ones(3, 32)}, {}, r"dense\.weight \(3, 32\) instead of \(32, 32\)"),
        ({}, {"hidden_size": 16}, r"of the sizes in .*config\.json.*\(400, 32\) instead of"),
        ({}, {"num_hidden_layers": 3}, r"missing: layers\.2\."),
        ({}, {"num_hidden_layers": 1}, r"unexpected: layers\.1\."),
        ({}, {"model_type": "gpt2"}, "of type 'gpt2'; Cell2Sentence reads 'gpt_neox'"),
        ({}, {"hidden_size": 30, "num_attention_heads": 4}, "does not describe a GPT-NeoX"),
        ({}, {"hidden_act": "no such"}, "does not describe a GPT-NeoX"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    make_checkpoint: Maker, tensors: dict[str, Tensor], settings: dict[str, Any], message: str
) -> None:
    folder = make_checkpoint(tensors, **settings)
    with pytest.raises(InputError, match=message):
        load_language_model(folder)


def test_a_tokeniser_of_another_model_is_refused(
    make_checkpoint: Maker, state: dict[str, Tensor]
) -> None:
    rows = state["gpt_neox.embed_in.weight"][:300].clone()
    folder = make_checkpoint({"gpt_neox.embed_in.weight": rows}, vocab_size=300)
    with pytest.raises(InputError, match=r"has \d+ pieces, the weights embed 300"):
        load_language_model(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, r"config\.json cannot be read as JSON"),
        ("config.json", "{", r"config\.json cannot be read as JSON"),
        ("config.json", "[]", r"config\.json holds a list; expected an object"),
        ("tokenizer.json", None, r"there is no .*tokenizer\.json"),
        ("tokenizer.json", "{}", r"tokenizer\.json cannot be read as a tokeniser"),
        ("model.safetensors", None, r"holds no weights; expected model\.safetensors"),
        ("model.safetensors", "half a file", "no whole safetensors file"),
    ],
)
def test_missing_and_broken_files_are_named(
    checkpoint: Path, name: str, content: str | None, message: str
) -> None:
    if content is None:
        (checkpoint / name).unlink()
    else:
        (checkpoint / name).write_text(content)
    with pytest.raises(InputError, match=message):
        load_language_model(checkpoint)


def test_lists_of_shards_are_checked(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint.parent / "outside.safetensors")
    index = checkpoint / "model.safetensors.index.json"
    index.write_text("{}")
    with pytest.raises(InputError, match="lists no weight files"):
        load_language_model(checkpoint)
    index.write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(InputError, match=r"there is no weight file .*model/outside\.safetensors"):
        load_language_model(checkpoint)


def test_a_file_that_holds_no_tensors_by_name_is_refused(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    torch.save([torch.ones(2)], checkpoint / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds a list; expected tensors by name"):
        load_language_model(checkpoint)


def test_nothing_is_fetched_for_a_path(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked: list[str] = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **options: asked.append(name)
    )
    monkeypatch.chdir(tmp_path)
    assert find_folder(checkpoint) == checkpoint
    for name in ("nothing", "/no/such", "./no", "model/nothing", "model/config.json", "a/b/c"):
        with pytest.raises(InputError, match="is no folder; expected one with config"):
            find_folder(name)
    assert asked == []


def test_a_name_of_the_hub_fetches_weights_and_text_alone(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    files = [*(path.name for path in checkpoint.iterdir()), "scheduler.pt", "pytorch_model.bin"]

    def fetch(name: str, allow_patterns: list[str]) -> str:
        assert name == "someone/c2s"
        wanted = sorted(
            name for name in files if any(fnmatch(name, pattern) for pattern in allow_patterns)
        )
        assert wanted == ["config.json", "model.safetensors", "tokenizer.json"]
        return str(checkpoint)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert load_language_model("someone/c2s").width == 32

    def refuse(name: str, allow_patterns: list[str]) -> str:
        message = "no connection"
        raise ConnectionError(message)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"could not be fetched .*\(no connection\)"):
        find_folder("someone/c2s")


def test_without_the_extra_the_user_is_told_what_to_install(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "transformers":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "scypher\[language\]"'):
        load_language_model(checkpoint)


def test_the_folder_may_lie_anywhere(checkpoint: Path, tmp_path: Path) -> None:
    moved = tmp_path / "an other" / "place"
    shutil.copytree(checkpoint, moved)
    assert (
        load_language_model(str(moved)).weights_hash == load_language_model(checkpoint).weights_hash
    )
