"""Weights on disk: the published layout, what training writes, and refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from scypher.encoders.cellpatch.config import CellPatchConfig, make_config
from scypher.encoders.cellpatch.decoder import PromptDecoder
from scypher.encoders.cellpatch.model import PatchEncoder
from scypher.encoders.cellpatch.weights import load_pretrained, save_model
from scypher.encoders.errors import InputError

GENES = [f"ENSG{number:011d}" for number in range(40)]
State = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    config = CellPatchConfig(41, n_patches=4, width=8, hidden=6, clip=5.0, max_tokens=20)
    model, decoder = PatchEncoder(config), PromptDecoder(config)
    save_model(model, decoder, GENES, tmp_path / "deep" / "own", history=[{"epoch": 1}])
    return tmp_path / "deep" / "own"


def same(one: PatchEncoder, two: PatchEncoder) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    result = {}
    for name, value in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        result[name] = value
    return result


def test_what_training_writes_comes_back(folder: Path) -> None:
    loaded = load_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    assert loaded.model.config.clip == 5.0
    assert loaded.model.config.max_tokens == 20
    assert not loaded.model.training
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(stored[name], value), name
    assert loaded.tokens == {gene: row for row, gene in enumerate(GENES, start=1)}
    assert len(loaded.weights_hash) == 64
    assert json.loads((folder / "config.json").read_text())["encoder"] == "cellpatch"
    assert json.loads((folder / "history.json").read_text()) == [{"epoch": 1}]


def test_the_published_layout_is_read(
    save_public: Callable[..., Path], make_reference: Callable[..., Any], genes: list[str]
) -> None:
    loaded = load_pretrained(save_public())
    reference = make_reference(n_tokens=220)
    model, state = loaded.model, reference.state_dict()
    assert torch.equal(model.gene.weight, state["gene2vector.weight"])
    assert torch.equal(
        model.get_parameter("mix.1.mlp.2.bias"), state["self_extract_blocks_mlp.1.2.bias"]
    )
    assert loaded.tokens == {name: row for row, name in enumerate(genes, start=1)}
    assert "no CellPatch_toy_args.json" in loaded.notes[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: renamed(
            state,
            *(
                (f"cross_extract_blocks_{part}.", f"cross_extract_blocks_{part}.0.")
                for part in ("attn", "attn_norm", "mlp", "mlp_norm")
            ),
        ),
        lambda state: renamed(
            state,
            ("cross_extract_blocks_mlp.2", "cross_extract_blocks_mlp.3"),
            ("self_extract_blocks_mlp.0.2", "self_extract_blocks_mlp.0.3"),
            ("self_extract_blocks_mlp.1.2", "self_extract_blocks_mlp.1.3"),
        ),
        lambda state: renamed(
            state,
            ("cross_extract_blocks_mlp.0", "cross_extract_blocks_mlp.0.0"),
            ("cross_extract_blocks_mlp.2", "cross_extract_blocks_mlp.0.3"),
        ),
        lambda state: {name: value for name, value in state.items() if "decoder" not in name},
        lambda state: (
            {
                name: value
                for name, value in state.items()
                if not name.startswith(("count2vector_norm", "encoder_projection"))
            }
            | {"lp_fc1.weight": torch.zeros(3), "lp_linear_probe_0.bias": torch.zeros(1)}
        ),
    ],
    ids=["module", "numbered-cross", "mlp-dropout", "numbered-mlp", "no-decoder", "fine-tuned"],
)
def test_variants_of_the_layout_are_the_same_model(
    change: Callable[[State], State], save_public: Callable[..., Path]
) -> None:
    plain = load_pretrained(save_public()).model
    path = save_public(change=change)
    assert same(load_pretrained(path).model, plain)


def test_a_bare_state_and_safetensors_are_read(save_public: Callable[..., Path]) -> None:
    plain = load_pretrained(save_public())
    path = save_public(wrap=False)
    assert same(load_pretrained(path).model, plain.model)
    state = torch.load(path, weights_only=True)
    save_file(state, path.with_suffix(".safetensors"))
    again = load_pretrained(path.with_suffix(".safetensors"))
    assert again.weights_hash == plain.weights_hash


def test_the_arguments_beside_the_checkpoint_count(save_public: Callable[..., Path]) -> None:
    path = save_public(arguments={"num_heads": 4, "clip": 5, "long": True, "lr": 1e-4})
    loaded = load_pretrained(path)
    config = loaded.model.config
    assert (config.n_heads, config.clip, config.whole) == (4, 5, True)
    assert loaded.model.read.attn.n_heads == 4
    assert loaded.notes == []
    path = save_public(arguments={"clip": False})
    assert load_pretrained(path).model.config.clip is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: {n: v for n, v in s.items() if "self_extract_blocks_attn.1" not in n},
            r"missing: self_extract_blocks_attn\.1\.in_proj_weight, .*\(4\)",
        ),
        (
            lambda s: {n: v for n, v in s.items() if "pathway" not in n},
            "missing: pathway_token",
        ),
        (lambda s: s | {"extra.weight": torch.zeros(1)}, "unexpected: extra.weight"),
        (
            lambda s: s | {"count2vector.weight": torch.zeros(8, 2)},
            r"count2vector.weight \(8, 2\) instead of \(8, 1\)",
        ),
        (lambda s: s | {"gene2vector.weight": 3}, "gene2vector.weight None"),
        (
            lambda s: {
                "embed_in.weight": s["gene2vector.weight"],
                "layers.0.attention.query_key_value.weight": torch.zeros(1),
            },
            "look like weights of GPT-NeoX",
        ),
        (
            lambda s: s | {"pathway_token": s["pathway_token"] * torch.nan},
            "NaN or infinite values in start",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: Callable[[State], State], said: str, save_public: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=said):
        load_pretrained(save_public(change=change))


def test_a_third_linear_layer_is_not_guessed_away(save_public: Callable[..., Path]) -> None:
    def change(state: State) -> State:
        return state | {"cross_extract_blocks_mlp.5.weight": torch.zeros(2, 2)}

    with pytest.raises(InputError, match=r"unexpected: cross_extract_blocks_mlp\.5\.weight"):
        load_pretrained(save_public(change=change))


def test_wrong_side_files_are_refused(save_public: Callable[..., Path]) -> None:
    path = save_public(arguments={"width": 32})
    with pytest.raises(InputError, match=r"_args.json does not describe .* width 32 instead of 8"):
        load_pretrained(path)
    with pytest.raises(InputError, match="width 8 cannot be shared by 3 heads"):
        load_pretrained(save_public(arguments={"num_heads": 3}))
    with pytest.raises(InputError, match="clip is True; expected a positive number or none"):
        load_pretrained(save_public(arguments={"clip": True}))
    path = save_public(arguments={})
    vocabulary = path.with_name("gene2tok.json")
    for content, said in (
        ('{"A": 1, "B": 1}', "2 names share 1 tokens"),
        ('{"A": 220}', "no rows of the gene table: A: 220"),
        ('{"A": "1"}', "no rows of the gene table: A: '1'"),
        ('["A"]', "holds no table"),
        ("{", "cannot be read"),
    ):
        vocabulary.write_text(content)
        with pytest.raises(InputError, match=said):
            load_pretrained(path)
    vocabulary.unlink()
    with pytest.raises(InputError, match=r"there is no .*gene2tok.json; .* Copy"):
        load_pretrained(path)


def test_padding_in_the_vocabulary_is_no_gene(save_public: Callable[..., Path]) -> None:
    path = save_public()
    path.with_name("gene2tok.json").write_text('{"<pad>": 0, "CD3D": 1}')
    assert load_pretrained(path).tokens == {"CD3D": 1}


def test_other_files_are_refused(tmp_path: Path, save_public: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="there is no weight file"):
        load_pretrained(tmp_path / "nothing.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no table of named tensors"):
        load_pretrained(tmp_path / "list.pth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"config.json cannot be read"):
        load_pretrained(tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "scdmc"}, "has encoder 'scdmc'; expected 'cellpatch'"),
        ({"format": 2}, "has format 2; expected 1"),
        ({"genes": None}, "lacks the list 'genes'"),
        ({"genes": ["A", "A"]}, "lacks the list 'genes' with each gene once"),
        ({"genes": GENES[:-1]}, r"39 genes of .*gene.weight \(41, 8\) instead of \(40, 8\)"),
        ({"model": {"n_patches": 4}}, r"start \(1, 4, 8\) instead of \(1, 4, 32\)"),
        ({"model": {"depth": 4}}, "no setting 'depth'; known: n_patches"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    folder: Path, changes: dict[str, Any], said: str
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=said):
        load_pretrained(folder)


def test_a_folder_with_tensors_missing_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["mix.0.attn.in_proj_bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"missing: mix.0.attn.in_proj_bias \(1\)"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("n_patches", 0, "a whole number, 1 or more, such as 64"),
        ("n_layers", -1, "a whole number, 0 or more, such as 2"),
        ("width", 32.0, "a whole number"),
        ("dropout", 1, "from 0 to below 1"),
        ("whole", 1, "true or false"),
        ("clip", 0, "a positive number or none"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=rf"\[model\]: {name} is {value!r}; expected .*{said}"):
        make_config({name: value}, n_tokens=5, source="[model]")
