"""Weights on disk: round trip, refusals, and the shipped model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from scypher.encoders.cellvq.config import CellVQConfig
from scypher.encoders.cellvq.model import CellVQ
from scypher.encoders.cellvq.weights import SHIPPED, load_model, save_model, state_hash
from scypher.encoders.errors import InputError
from scypher.encoders.vocabulary import gene_table

GENES = [f"ENSG{number:011d}" for number in range(60)]


@pytest.fixture
def folder(trained: CellVQ, tmp_path: Path) -> Path:
    save_model(trained, GENES, tmp_path / "deep" / "model", history=[{"epoch": 1}])
    return tmp_path / "deep" / "model"


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_small_models_come_back_exactly(trained: CellVQ, folder: Path) -> None:
    loaded = load_model(folder)
    assert loaded.genes == GENES
    assert loaded.model.config == trained.config
    assert not loaded.model.training
    for name, value in trained.state_dict().items():
        if not name.startswith("own_"):
            assert torch.equal(loaded.model.state_dict()[name], value), name
    assert json.loads((folder / "history.json").read_text()) == [{"epoch": 1}]


def test_components_of_a_data_set_are_not_saved(trained: CellVQ, tmp_path: Path) -> None:
    with torch.no_grad():
        trained.own_loadings.fill_(3)
        trained.own_centre.fill_(3)
    save_model(trained, GENES, tmp_path, history=[])
    loaded = load_model(tmp_path).model
    assert (loaded.own_loadings == 0).all()
    assert (loaded.own_centre == 0).all()


def test_large_tables_are_halved_and_come_back_as_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CellVQ(CellVQConfig(n_genes=7000, width=16, own_width=2, hidden=16, n_bits=3))
    with torch.no_grad():
        model.loadings.normal_()
    save_model(model, [], tmp_path, history=[])
    stored = load_file(tmp_path / "model.safetensors")
    assert [name for name, value in stored.items() if value.dtype == torch.float16] == ["loadings"]
    loaded = load_model(tmp_path).model
    assert loaded.loadings.dtype == torch.float32
    torch.testing.assert_close(loaded.loadings, model.loadings, rtol=1e-3, atol=1e-3)


def test_the_hash_is_stable_and_sees_every_tensor(trained: CellVQ, folder: Path) -> None:
    first = load_model(folder)
    assert first.weights_hash == load_model(folder).weights_hash == state_hash(first.model)
    hashes = {first.weights_hash}
    for name in first.model.state_dict():
        changed = load_model(folder).model
        with torch.no_grad():
            changed.state_dict()[name].view(-1)[0] += 1
        hashes.add(state_hash(changed))
    assert len(hashes) == 1 + len(first.model.state_dict())


def test_loading_leaves_the_global_generator_alone(folder: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_model(folder)
    assert torch.equal(torch.rand(3), expected)


def test_tensors_that_lack_or_do_not_belong_are_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["extra.weight"] = tensors.pop("query")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        InputError, match=r"missing tensors \['query'\], unexpected tensors \['extra\.weight'\]"
    ):
        load_model(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["query"] = torch.zeros(5, 5)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match="query"):
        load_model(folder)


@pytest.mark.parametrize("value", [2, "1", None])
def test_another_format_is_refused(folder: Path, value: object) -> None:
    rewrite(folder, format=value)
    with pytest.raises(InputError, match=f"model format {value!r}; this version reads 1"):
        load_model(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "gone", tmp_path / "file"):
        with pytest.raises(InputError, match=r"no readable CellVQ model .*expected config\.json"):
            load_model(path)


def test_a_broken_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="no readable CellVQ model"):
        load_model(folder)


def test_a_configuration_with_unknown_sizes_is_refused(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())["model"]
    rewrite(folder, model=sizes | {"n_wheels": 4})
    with pytest.raises(InputError, match="n_wheels"):
        load_model(folder)


def test_a_configuration_without_sizes_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="model"):
        load_model(folder)


@pytest.mark.parametrize("share", [0, 0.001, 0.5])
def test_a_truncated_file_of_tensors_is_refused(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="no readable CellVQ model"):
        load_model(folder)


def test_the_shipped_model_is_small_whole_and_reads_known_genes() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 8e6
    shipped = load_model()
    assert shipped.weights_hash == load_model().weights_hash
    assert len(shipped.genes) == len(set(shipped.genes)) == shipped.model.config.n_genes
    assert set(shipped.genes) <= set(gene_table()["ensembl_id"])
    for name, value in shipped.model.state_dict().items():
        assert torch.isfinite(value).all(), name
    assert (shipped.model.scale > 0).all()


def test_the_shipped_model_has_improved_while_training() -> None:
    history = json.loads((SHIPPED / "history.json").read_text())
    epochs = [row for row in history if "epoch" in row]
    assert epochs[-1]["held_out"] < epochs[0]["held_out"]
    assert history[-1]["active_codes"] > 100
