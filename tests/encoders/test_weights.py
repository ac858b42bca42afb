"""Weights on disk: round trip, refusals, and the shipped model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.weights import FORMAT, load_model, save_model
from scypher.encoders.checkpoint import tensors_hash
from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import gene_table

GENES = [f"ENSG{number:011d}" for number in range(60)]


@pytest.fixture
def folder(trained: CellVQ, tmp_path: Path) -> Path:
    save_model(
        trained, GENES, tmp_path / "deep" / "model", trained_on=["one"], history=[{"epoch": 1}]
    )
    return tmp_path / "deep" / "model"


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_small_models_come_back_exactly(trained: CellVQ, folder: Path) -> None:
    loaded = load_model(folder)
    assert loaded.genes == GENES
    assert loaded.trained_on == ["one"]
    assert loaded.model.config == trained.config
    assert not loaded.model.training
    for name, value in trained.state_dict().items():
        if not name.startswith("own_"):
            assert torch.equal(loaded.model.state_dict()[name], value), name
    assert json.loads((folder / "history.json").read_text()) == [{"epoch": 1}]
    config = json.loads((folder / "config.json").read_text())
    assert config["encoder"] == "cellvq"
    assert config["format"] == FORMAT


def test_components_of_a_data_set_are_not_saved(trained: CellVQ, tmp_path: Path) -> None:
    with torch.no_grad():
        for name in ("own_loadings", "own_centre", "own_scale"):
            getattr(trained, name).fill_(3)
    save_model(trained, GENES, tmp_path, trained_on=[], history=[])
    loaded = load_model(tmp_path).model
    assert (loaded.own_loadings == 0).all()
    assert (loaded.own_centre == 0).all()
    assert (loaded.own_scale == 1).all()


def test_models_with_properties_and_self_attention_come_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"reader": "full", "token_width": 8, "hidden": 8, "n_bits": 3}
    config = CellVQConfig(
        60, width=16, properties={"cell.type": ["B", "T"], "type": ["x"]}, **sizes
    )
    model = CellVQ(config)
    save_model(model, GENES, tmp_path, trained_on=[], history=[])
    loaded = load_model(tmp_path).model
    assert loaded.config == config
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())


def test_large_tables_are_halved_and_come_back_as_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CellVQ(CellVQConfig(n_genes=7000, width=16, own_width=2, hidden=16, n_bits=3))
    with torch.no_grad():
        model.loadings.normal_()
    save_model(model, [str(n) for n in range(7000)], tmp_path, trained_on=[], history=[])
    stored = load_file(tmp_path / "model.safetensors")
    assert [name for name, value in stored.items() if value.dtype == torch.float16] == ["loadings"]
    loaded = load_model(tmp_path).model
    assert loaded.loadings.dtype == torch.float32
    torch.testing.assert_close(loaded.loadings, model.loadings, rtol=1e-3, atol=1e-3)


def test_the_hash_is_stable_and_sees_every_tensor(folder: Path) -> None:
    first = load_model(folder)
    again = load_model(folder)
    assert first.weights_hash == again.weights_hash == tensors_hash(first.model.state_dict())
    hashes = {first.weights_hash}
    for name in first.model.state_dict():
        changed = load_model(folder).model
        with torch.no_grad():
            changed.state_dict()[name].view(-1)[0] += 1
        hashes.add(tensors_hash(changed.state_dict()))
    assert len(hashes) == 1 + len(first.model.state_dict())


def test_loading_leaves_the_global_generator_alone(folder: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_model(folder)
    assert torch.equal(torch.rand(3), expected)


def test_tensors_that_lack_or_do_not_belong_are_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["extra.weight"] = tensors.pop("reader.query")
    tensors["scale"] = torch.zeros(61)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError) as caught:
        load_model(folder)
    for part in ("missing: reader.query", "unexpected: extra.weight", "scale (61,) instead of"):
        assert part in str(caught.value)


def test_weights_of_another_family_are_told(folder: Path) -> None:
    tensors = {"pathway_token": torch.zeros(1, 4), "gene2vector.weight": torch.zeros(6, 4)}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"missing: loadings.*look like weights of CellPatch"):
        load_model(folder)


def test_a_folder_of_another_encoder_is_told(folder: Path) -> None:
    rewrite(folder, encoder="cellpatch")
    with pytest.raises(InputError, match="another encoder"):
        load_model(folder)


def test_sizes_that_do_not_fit_the_tensors_are_told_with_both_shapes(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())["model"]
    rewrite(folder, model=sizes | {"n_bits": 5})
    with pytest.raises(InputError, match=r"condition\.0\.weight \(16, 4\) instead of \(16, 5\)"):
        load_model(folder)
    rewrite(folder, model=sizes | {"n_latents": 3})
    with pytest.raises(InputError, match="width is 16, n_latents 3"):
        load_model(folder)


def test_another_number_of_genes_than_the_model_reads_is_told(folder: Path) -> None:
    rewrite(folder, genes=GENES[:-1])
    with pytest.raises(InputError, match="59 genes for a model of 60"):
        load_model(folder)


@pytest.mark.parametrize("value", [1, "2", None])
def test_another_format_is_refused(folder: Path, value: object) -> None:
    rewrite(folder, format=value)
    with pytest.raises(InputError, match=f"model format {value!r}; this version reads {FORMAT}"):
        load_model(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(InputError, match=r"no readable CellVQ model .*expected config\.json"):
            load_model(path)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"format": 2}', '{"format": 2, "model": 1}'])
def test_a_broken_configuration_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(folder)


def test_a_configuration_with_unknown_sizes_is_refused(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())["model"]
    rewrite(folder, model=sizes | {"n_wheels": 4})
    with pytest.raises(InputError, match="n_wheels"):
        load_model(folder)


@pytest.mark.parametrize("share", [0, 0.001, 0.5])
def test_a_truncated_file_of_tensors_is_refused(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="no readable CellVQ model"):
        load_model(folder)


@pytest.mark.parametrize("place", [0, 3, 7, 9, 12, 40])
def test_a_tampered_header_is_refused(folder: Path, place: int) -> None:
    path = folder / "model.safetensors"
    whole = bytearray(path.read_bytes())
    whole[place] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError):
        load_model(folder)


def test_the_shipped_model_is_small_whole_and_reads_known_genes(shipped: Path) -> None:
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= 8e6
    found = load_model(shipped)
    assert found.weights_hash == load_model(shipped).weights_hash
    assert len(found.genes) == len(set(found.genes)) == found.model.config.n_genes
    assert set(found.genes) <= set(gene_table()["ensembl_id"])
    for name, value in found.model.state_dict().items():
        assert torch.isfinite(value).all(), name
    assert (found.model.scale > 0).all()
    assert not found.model.config.properties


def test_the_shipped_model_has_improved_while_training(shipped: Path) -> None:
    history = json.loads((shipped / "history.json").read_text())
    epochs = [row for row in history if "epoch" in row]
    assert epochs[-1]["held_out"] < epochs[0]["held_out"]
    assert history[-1]["active_codes"] > 100
