"""Weight files of any origin: read without running code, checked name by name."""

import contextlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scypher.encoders.checkpoint import (
    FAMILIES,
    check_tensors,
    guess_family,
    load_tensors,
    tensors_hash,
    without_prefixes,
)
from scypher.encoders.errors import InputError


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "body.weight": torch.randn(3, 4, generator=generator),
        "scale": torch.tensor(2.5),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "index": torch.arange(6),
        "nothing": torch.zeros(0, 3),
    }


def same(found: Any, wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype
        for name, value in wanted.items()
    )


@pytest.mark.parametrize("suffix", ["pt", "pth", "ckpt", "bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_come_back(
    tensors: dict[str, Tensor], tmp_path: Path, suffix: str, zipped: bool
) -> None:
    path = tmp_path / f"weights.{suffix}"
    content = {"state_dict": tensors, "epoch": 3, "names": ["a", "b"]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = load_tensors(path)
    assert same(found["state_dict"], tensors)
    assert found["epoch"] == 3
    assert found["names"] == ["a", "b"]


def test_safetensors_come_back(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "weights.safetensors")
    assert same(load_tensors(tmp_path / "weights.safetensors"), tensors)


class Trap:
    """A pickle of this writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    path, sprung = tmp_path / "weights.pt", tmp_path / "sprung"
    content = {"weight": torch.zeros(2), "trap": Trap(sprung)}
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps({"trap": Trap(sprung)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(InputError, match=r"would run code: refused.*safetensors"):
        load_tensors(path)
    assert not sprung.exists()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pt", tmp_path):
        with pytest.raises(InputError, match="there is no weight file"):
            load_tensors(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "zip.pt", "legacy.pt"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_told(
    tensors: dict[str, Tensor], tmp_path: Path, name: str, share: float
) -> None:
    path = tmp_path / name
    if name == "weights.safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=name == "zip.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=name):
        load_tensors(path)


@pytest.mark.parametrize("name", ["text.pt", "text.safetensors", "noise.pt", "noise.safetensors"])
def test_a_file_of_another_kind_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = torch.randint(0, 256, (999,), generator=torch.Generator().manual_seed(0))
    path.write_bytes(b"cell,gene\n" if "text" in name else bytes(noise.tolist()))
    with pytest.raises(InputError, match=name):
        load_tensors(path)


def test_flipped_bytes_never_raise_anything_but_an_input_error(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    for suffix, zipped in (("safetensors", True), ("pt", True), ("pth", False)):
        path = tmp_path / f"weights.{suffix}"
        if suffix == "safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        for place in torch.randint(0, len(whole), (60,), generator=generator).tolist():
            broken = bytearray(whole)
            broken[place] ^= 0x5A
            path.write_bytes(broken)
            # Some bytes are padding or values: the file is then read, and no error is due.
            with contextlib.suppress(InputError):
                load_tensors(path)


def test_prefixes_are_taken_off_again_and_again() -> None:
    given = {"module.model.a.weight": 1, "model.module.b": 2, "c.model.d": 3}
    assert without_prefixes(given, ["module.", "model."]) == {
        "a.weight": 1,
        "b": 2,
        "c.model.d": 3,
    }
    assert without_prefixes(given, []) == given


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (["loadings", "discretise.project.weight"], "native Scypher CellVQ"),
        (["model.token_emb.emb", "cell_vq.proj.weight"], "released CellVQ"),
        (["x.pathway_token", "gene2vector.weight"], "CellPatch"),
        (["gpt_neox.embed_in.weight", "l.0.attention.query_key_value.bias"], "GPT-NeoX"),
        (["bert.embeddings.word_embeddings.weight", "l.attention.self.query.weight"], "BERT"),
        (["bert.embeddings.word_embeddings.weight", "l.attention.self.Wqkv.weight"], "Mosaic"),
        (["conv1.weight"], None),
        ([], None),
    ],
)
def test_families_are_known_by_their_names(names: list[str], family: str | None) -> None:
    found = guess_family(names)
    assert found == family or (family is not None and found is not None and family in found)
    assert found is None or found in FAMILIES


def test_whole_weights_pass(tensors: dict[str, Tensor]) -> None:
    check_tensors(tensors, dict(tensors), what="toy", source=Path("file.pt"))


def test_all_that_does_not_fit_is_named(tensors: dict[str, Tensor]) -> None:
    given: dict[str, Any] = dict(tensors)
    del given["body.weight"]
    given |= {"scale": torch.zeros(1), "index": 3, "more.weight": torch.zeros(2)}
    with pytest.raises(InputError) as caught:
        check_tensors(tensors, given, what="toy", source=Path("file.pt"))
    text = str(caught.value)
    assert text.startswith("file.pt does not hold toy weights; ")
    for part in (
        "missing: body.weight (1)",
        "unexpected: more.weight (1)",
        "scale (1,) instead of ()",
        "index None instead of (6,)",
    ):
        assert part in text
    assert "look like" not in text


def test_many_names_are_cut_but_counted() -> None:
    expected = {f"layer{number:02d}": torch.zeros(1) for number in range(25)}
    with pytest.raises(InputError, match=r"layer19 … \(25\)") as caught:
        check_tensors(expected, {}, what="toy", source=Path("file.pt"))
    assert "layer20" not in str(caught.value)


def test_weights_of_another_family_are_told() -> None:
    given = {"pathway_token": torch.zeros(1), "gene2vector.weight": torch.zeros(1)}
    with pytest.raises(InputError, match="They look like weights of CellPatch"):
        check_tensors({"a": torch.zeros(1)}, given, what="toy", source=Path("file.pt"))


def test_the_hash_is_of_names_and_values_in_any_order(tensors: dict[str, Tensor]) -> None:
    wanted = tensors_hash(tensors)
    assert len(wanted) == 64
    assert tensors_hash(dict(reversed(tensors.items()))) == wanted
    parameter = {name: value.clone() for name, value in tensors.items()}
    parameter["body.weight"] = tensors["body.weight"].T.contiguous().T.requires_grad_()
    assert tensors_hash(parameter) == wanted
    hashes = {wanted, tensors_hash({**tensors, "scale": torch.tensor(2.75)})}
    for name in ("body.weight", "half", "index"):
        changed = {key: value.clone() for key, value in tensors.items()}
        changed[name].view(-1)[-1] += 1
        hashes.add(tensors_hash(changed))
    hashes.add(tensors_hash({("renamed" if k == "half" else k): v for k, v in tensors.items()}))
    assert len(hashes) == 6


def test_the_hash_does_not_depend_on_the_file(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "one.safetensors")
    torch.save(tensors, tmp_path / "two.pt")
    hashes = {tensors_hash(load_tensors(path)) for path in sorted(tmp_path.iterdir())}
    assert hashes == {tensors_hash(tensors)}
