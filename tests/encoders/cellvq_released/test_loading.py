"""Which checkpoints load, and what is said of those that do not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from scypher.encoders.cells import Cells
from scypher.encoders.cellvq_released.encoder import CellVQReleasedEncoder
from scypher.encoders.cellvq_released.layout import CELLVQ, SCFOUNDATION
from scypher.encoders.cellvq_released.scfoundation import ScFoundationEncoder
from scypher.encoders.cellvq_released.weights import load_published
from scypher.encoders.errors import InputError
from scypher.encoders.registry import find_encoder, get_encoder

PROPERTIES = ("cell_type", "tissue", "disease", "sex", "age")
GENE_LIST = "OS_scRNA_gene_index.19264.tsv"


def test_modes_are_chosen_by_name(mini: Any, toy_cells: Cells) -> None:
    path = mini.cellvq()
    default, first = load_published(path, None, CELLVQ), load_published(path, "m1", CELLVQ)
    second = get_encoder(f"cellvq-released:{path}#m2")
    assert default.mode == first.mode == "m1"
    assert default.weights_hash == first.weights_hash
    encoding = second.encode(toy_cells)
    assert encoding.weights_hash != first.weights_hash
    assert encoding.parameters["mode"] == "m2"
    with pytest.raises(InputError, match=r"no mode 'm3'; it has m1, m2"):
        get_encoder(f"cellvq-released:{path}#m3")


def test_both_encoders_are_in_the_catalogue(mini: Any) -> None:
    path, other = mini.cellvq(), mini.scfoundation()
    assert isinstance(get_encoder(f"cellvq-released:{path}"), CellVQReleasedEncoder)
    assert isinstance(get_encoder(f"scfoundation:{other}#rde"), ScFoundationEncoder)
    for name in ("cellvq-released", "scfoundation"):
        with pytest.raises(InputError, match=f"{name} comes without weights.*{name}:PATH"):
            get_encoder(name)


@pytest.mark.parametrize("mode", ["cell", "rde", "gene"])
def test_scfoundation_modes(mini: Any, mode: str) -> None:
    published = load_published(mini.scfoundation(), mode, SCFOUNDATION)
    state = mini.state(codes=False, seed=["cell", "rde", "gene"].index(mode))
    assert torch.equal(published.model.table, state["pos_emb.weight"])
    assert published.model.cell_vq is None
    assert published.model.sizes.heads == 4
    assert published.model.sizes.bin_alpha == 1.5
    assert published.heads == {}


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
@pytest.mark.parametrize("kind", ["tensors.pt", "weights.safetensors", "state_dict.ckpt"])
def test_tensors_of_one_model_load_with_the_configuration_beside(
    mini: Any, kind: str, prefix: str
) -> None:
    expected = load_published(mini.cellvq(), None, CELLVQ)
    state = {f"{prefix}{name}": value for name, value in mini.state().items()}
    path = mini.folder / kind
    if kind.endswith("safetensors"):
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save({"state_dict": state, "hyper": {}} if "state_dict" in kind else state, path)
    (mini.folder / "config.json").write_text(json.dumps(mini.config()))
    published = load_published(path, None, CELLVQ)
    assert published.weights_hash == expected.weights_hash
    assert published.mode == ""
    assert published.model.sizes == expected.model.sizes
    with pytest.raises(InputError, match="one model, so it has no mode 'm1'"):
        load_published(path, "m1", CELLVQ)


def test_a_folder_with_safetensors_loads_and_names_its_encoder(mini: Any) -> None:
    expected = load_published(mini.cellvq(), None, CELLVQ)
    save_file(mini.state(), mini.folder / "model.safetensors")
    config = {"encoder": "cellvq-released", "model": mini.config()}
    (mini.folder / "config.json").write_text(json.dumps(config))
    assert find_encoder(str(mini.folder))[0].name == "cellvq-released"
    found = load_published(mini.folder, None, CELLVQ)
    assert found.weights_hash == expected.weights_hash


def test_an_unreadable_configuration_is_an_error(mini: Any) -> None:
    torch.save(mini.state(), mini.folder / "one.pt")
    mini.genes()
    (mini.folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is no JSON"):
        load_published(mini.folder / "one.pt", None, CELLVQ)
    (mini.folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match="the configuration is a list; expected a dict"):
        load_published(mini.folder / "one.pt", None, CELLVQ)
    (mini.folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"encoder\.heads is not in the configuration.*16"):
        load_published(mini.folder / "one.pt", None, CELLVQ)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(mini: Any, kind: torch.dtype) -> None:
    def change(state: dict[str, Any]) -> None:
        for name, value in state.items():
            state[name] = value.to(kind) if value.is_floating_point() else value

    published = load_published(mini.cellvq(change), None, CELLVQ)
    dtypes = {value.dtype for value in published.model.state_dict().values()}
    assert dtypes == {torch.float32}
    wide = mini.state()["encoder.norm.weight"].to(kind).float()
    assert torch.equal(published.model.encoder.norm.weight, wide)


def test_decoder_and_heads_are_not_needed(mini: Any, toy_cells: Cells) -> None:
    whole = CellVQReleasedEncoder(mini.cellvq()).encode(toy_cells)
    needed = ("token_emb", "pos_emb", "encoder.", "cell_vq", "go")

    def change(state: dict[str, Any]) -> None:
        for name in list(state):
            if not name.startswith(needed):
                del state[name]

    encoder = CellVQReleasedEncoder(mini.cellvq(change))
    part = encoder.encode(toy_cells)
    assert part.weights_hash == whole.weights_hash
    np.testing.assert_array_equal(part.embedding, whole.embedding)
    with pytest.raises(InputError, match="no property heads"):
        encoder.property_logits(part.embedding)


def test_every_missing_tensor_of_the_encoder_is_named(mini: Any) -> None:
    needed = [name for name in mini.state() if not name.startswith(("decoder", "norm", "to_final"))]
    needed = [name for name in needed if not name.startswith(("mean", "disp", "pi."))]
    needed = [name for name in needed if name.split(".")[0] not in PROPERTIES]
    assert len(needed) == 79
    for gone in needed:
        path = mini.cellvq(lambda state, gone=gone: state.pop(gone))
        with pytest.raises(InputError) as caught:
            load_published(path, None, CELLVQ)
        assert gone in str(caught.value)
        assert "released CellVQ" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update({"extra.weight": torch.zeros(2)}), "unexpected: extra.weight"),
        (lambda s: s.update({"decoder.extra": torch.zeros(2)}), "unexpected: decoder.extra"),
        (lambda s: s.update({"step": 3}), "unexpected: step"),
        (
            lambda s: s.update({"go": torch.zeros(20, 22)}),
            r"another shape: go \(20, 22\) instead of \(22, 22\)",
        ),
        (
            lambda s: s.update({"encoder.transformer_encoder.1.linear1.bias": torch.zeros(7)}),
            r"linear1.bias \(7,\) instead of \(24,\)",
        ),
        (
            lambda s: s.update({"cell_type.weight": torch.zeros(6, 63)}),
            r"cell_type.weight \(6, 63\) instead of \(6, 64\)",
        ),
        (
            lambda s: s.update(
                {"decoder.performer.net.layers.0.0.fn.to_k.weight": torch.zeros(12, 7)}
            ),
            r"to_k.weight \(12, 7\) instead of \(12, 8\)",
        ),
        (
            lambda s: s.update({"cell_vq.embedding": torch.zeros(4, 3)}),
            r"cell_vq.embedding \(4, 3\) instead of \(8, 3\)",
        ),
        (
            lambda s: [s.pop(k) for k in list(s) if "transformer_encoder.0." in k],
            r"missing: encoder\.transformer_encoder\.0\.self_attn",
        ),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith("encoder.")], r"missing: encoder\."),
        (lambda s: s["encoder.norm.bias"].fill_(torch.nan), "encoder.norm.bias hold NaN"),
        (lambda s: s["go"][0].fill_(torch.inf), "go hold NaN or infinite"),
        (lambda s: s.update({"cell_vq.embedding": 1 - s["cell_vq.embedding"]}), "binary digits"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    mini: Any, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        load_published(mini.cellvq(change), None, CELLVQ)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"seq_len": 19_266}, r"seq_len is 19266 in the configuration and 22 in the weights"),
        ({"bin_num": 100}, "bin_num is 100 in the configuration and 5 in the weights"),
        ({"level": 12}, "level is 12 in the configuration and 3 in the weights"),
        ({"latent_dim": 32}, "latent_dim is 32 in the configuration and 4 in the weights"),
        ({"condition_layer": 3}, "condition_layer is 3 in the configuration and 6 in"),
        ({"bin_alpha": "1"}, "bin_alpha is '1' in the configuration, expected a number"),
        ({"encoder": {"hidden_dim": 768, "heads": 4}}, r"encoder.hidden_dim is 768 .* 16"),
        ({"encoder": {"depth": 12, "heads": 4}}, "encoder.depth is 12 .* 2 in the weights"),
        ({"encoder": {"heads": 5}}, "encoder.heads is 5 .* does not divide the width 16"),
        ({"encoder": {"heads": 0}}, "encoder.heads is 0"),
        ({"encoder": {"heads": 4, "module_type": "performer"}}, "module_type is 'performer'"),
        ({"encoder": {"heads": 4, "norm_first": True}}, "norm_first is True"),
        ({"encoder": "transformer"}, "encoder in the configuration is 'transformer'"),
    ],
)
def test_a_configuration_that_contradicts_the_weights_is_an_error(
    mini: Any, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        load_published(mini.cellvq(**config), None, CELLVQ)


def test_a_broken_scfoundation_configuration_is_an_error(mini: Any) -> None:
    path = mini.scfoundation()
    content = torch.load(path, weights_only=True)
    content["cell"]["config"].pop("dataset_config")
    torch.save(content, path)
    with pytest.raises(InputError, match="the configuration lacks 'dataset_config'"):
        load_published(path, None, SCFOUNDATION)
    content["cell"]["config"] = {}
    torch.save(content, path)
    with pytest.raises(InputError, match=r"encoder\.heads is not in the configuration"):
        load_published(path, None, SCFOUNDATION)


def test_other_families_are_named(mini: Any) -> None:
    ours, theirs = mini.cellvq(), mini.scfoundation()
    with pytest.raises(InputError, match=r"layout of scFoundation.*Use scfoundation:"):
        load_published(theirs, None, CELLVQ)
    with pytest.raises(InputError, match=r"layout of released CellVQ.*Use cellvq-released:"):
        load_published(ours, None, SCFOUNDATION)
    path = mini.folder / "other.pt"
    patch = {"encoder.pathway_token": torch.zeros(1, 4), "gene2vector.weight": torch.zeros(9, 4)}
    torch.save(patch, path)
    with pytest.raises(InputError, match=r"missing: .*They look like weights of CellPatch"):
        load_published(path, None, CELLVQ)
    torch.save(mini.state(codes=False), path)
    with pytest.raises(InputError, match=r"missing: .*go.*They look like weights of scFoundation"):
        load_published(path, None, CELLVQ)


def test_files_that_are_no_safe_weights_are_refused(mini: Any) -> None:
    path = mini.cellvq()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated"):
        load_published(path, None, CELLVQ)
    torch.save({"config": {}, "m1": Path("code")}, path)
    with pytest.raises(InputError, match="opening it would run code: refused"):
        load_published(path, None, CELLVQ)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds a list; expected the dict"):
        load_published(path, None, CELLVQ)
    torch.save({"config": [], "m1": mini.state()}, path)
    with pytest.raises(InputError, match="the configuration is a list"):
        load_published(path, None, CELLVQ)
    with pytest.raises(InputError, match="there is no weight file"):
        load_published(mini.folder / "none.pt", None, CELLVQ)
    with pytest.raises(InputError, match=r"there is no weight file .*model\.safetensors"):
        load_published(mini.folder, None, CELLVQ)


def test_a_codebook_without_batch_norm_loads(mini: Any, toy_cells: Cells) -> None:
    def change(state: dict[str, Any]) -> None:
        shallow = {}
        for old, new in ((0, 0), (3, 2), (15, 4)):
            for part in ("weight", "bias"):
                value = state[f"cell_vq.embedding_mlp.{old}.{part}"]
                shallow[f"cell_vq.embedding_mlp.{new}.{part}"] = value
        for name in list(state):
            if name.startswith("cell_vq.embedding_mlp"):
                del state[name]
        state.update(shallow)

    path = mini.cellvq(change, condition_layer=3)
    encoding = CellVQReleasedEncoder(path).encode(toy_cells)
    state = torch.load(path, weights_only=True)["m1"]
    x = state["cell_vq.embedding"]
    for layer in (0, 2, 4):
        prefix = f"cell_vq.embedding_mlp.{layer}."
        x = x.relu() @ state[f"{prefix}weight"].T + state[f"{prefix}bias"]
    expected = torch.nn.functional.normalize(x, dim=1).numpy()
    np.testing.assert_allclose(encoding.codebook, expected, atol=1e-5)


def table(names: list[str], index: list[int]) -> str:
    return pd.DataFrame({"gene_name": names, "index": index}).to_csv(sep="\t", index=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, rf"there is no {GENE_LIST} beside .*Put the list"),
        ("", "cannot be read as a table"),
        ("gene\tnumber\nCD3D\t0\n", "has the columns gene, number"),
        ("gene_name\tindex\nCD3D\tx\n", "an index that counts the genes from 0"),
        (table(["CD3D", "CD3E"], [0, 2]), "an index that counts the genes from 0"),
        (table(["CD3D", "CD3E"], [0, 1]), "lists 2 genes, the weights in .* read 20"),
        (table(["CD3D", "CD3D", *"ABCDEFGHIJKLMNOPQR"], list(range(20))), "repeats .*CD3D"),
    ],
)
def test_the_gene_list_is_checked(mini: Any, text: str | None, said: str) -> None:
    path = mini.cellvq()
    (mini.folder / GENE_LIST).unlink()
    if text is not None:
        (mini.folder / GENE_LIST).write_text(text)
    with pytest.raises(InputError, match=said):
        load_published(path, None, CELLVQ)


def test_the_gene_list_is_read_in_the_order_of_its_index(mini: Any, model_genes: list[str]) -> None:
    path = mini.cellvq()
    (mini.folder / GENE_LIST).write_text(table(model_genes[::-1], list(range(20))[::-1]))
    assert load_published(path, None, CELLVQ).genes == model_genes


def test_the_hash_sees_every_tensor_of_the_encoder(mini: Any) -> None:
    hashes = {load_published(mini.cellvq(), None, CELLVQ).weights_hash}
    changed = ("go", "token_emb.emb.weight", "cell_vq.embedding_mlp.1.num_batches_tracked")
    for name in changed:
        path = mini.cellvq(lambda state, name=name: state[name].view(-1)[0].add_(1))
        hashes.add(load_published(path, None, CELLVQ).weights_hash)
    assert len(hashes) == 1 + len(changed)


def test_loading_leaves_the_global_generator_alone(mini: Any) -> None:
    path = mini.cellvq()
    before = torch.get_rng_state()
    load_published(path, None, CELLVQ)
    assert torch.equal(torch.get_rng_state(), before)
