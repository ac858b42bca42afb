"""Weights on disk: what Scypher writes, and the published checkpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoint import check_tensors, guess_family, load_tensors, tensors_hash, without_prefixes
from ..errors import InputError
from .config import CellPatchConfig, make_config
from .decoder import PromptDecoder
from .model import PatchEncoder
from .public import encoder_part, n_tokens_of, public_name, sizes_of
from .sidecars import read_arguments, read_json, read_tokens

FORMAT = 1


@dataclass(frozen=True)
class Pretrained:
    """A loaded encoder.

    Attributes
    ----------
    model
        In evaluation mode.
    tokens
        Gene (symbol or Ensembl id) -> row of the gene table, 1 or more.
    weights_hash
        SHA-256 of the tensors of the encoder.
    notes
        What the files left open; sentences for the user.
    """

    model: PatchEncoder
    tokens: dict[str, int]
    weights_hash: str
    notes: list[str]


def load_pretrained(path: Path) -> Pretrained:
    """Read a folder that Scypher wrote, or a published checkpoint.

    Parameters
    ----------
    path
        Folder with ``config.json`` and ``model.safetensors``; or a checkpoint with
        ``gene2tok.json`` (name -> token) beside it, and ``<name of the checkpoint>_args.json``
        where there is one.

    Raises
    ------
    InputError
        A file is missing or of another kind; tensors are missing, unexpected or of another shape,
        each is named; or sizes, genes and tensors do not fit together.
    """
    return _load_native(path) if path.is_dir() else _load_public(path)


def save_model(
    model: PatchEncoder,
    decoder: PromptDecoder,
    genes: Sequence[str],
    folder: Path,
    *,
    history: list[dict[str, Any]],
) -> None:
    """Write ``model.safetensors``, ``config.json`` (sizes, genes) and ``history.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = model.state_dict() | decoder.state_dict(prefix="decoder.")
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        folder / "model.safetensors",
    )
    sizes = {name: value for name, value in asdict(model.config).items() if name != "n_tokens"}
    config = {"encoder": "cellpatch", "format": FORMAT, "model": sizes, "genes": list(genes)}
    (folder / "config.json").write_text(json.dumps(config, separators=(",", ":")))
    (folder / "history.json").write_text(json.dumps(history, indent=1))


def _load_native(folder: Path) -> Pretrained:
    config = read_json(folder / "config.json", "sizes and genes, as training writes it")
    wanted = {"encoder": "cellpatch", "format": FORMAT}
    for name, value in wanted.items():
        if config.get(name) != value:
            message = (
                f"{folder / 'config.json'} has {name} {config.get(name)!r}; expected {value!r}. "
                "Give a folder that training of CellPatch wrote."
            )
            raise InputError(message)
    genes, sizes = config.get("genes"), config.get("model")
    if (
        not isinstance(genes, list)
        or not isinstance(sizes, dict)
        or len(set(map(str, genes))) < len(genes)
    ):
        message = (
            f"{folder / 'config.json'} lacks the list 'genes' with each gene once, or the table "
            "'model'; expected both, as training writes them. Give an unchanged folder."
        )
        raise InputError(message)
    source = str(folder / "config.json")
    settings = make_config(sizes, n_tokens=len(genes) + 1, source=source)
    path = folder / "model.safetensors"
    given = load_tensors(path)
    # The decoder is for training; encoding needs none of it.
    encoder = {name: value for name, value in given.items() if not name.startswith("decoder.")}
    what = f"CellPatch (sizes and {len(genes)} genes of {source})"
    tokens = {str(gene): row for row, gene in enumerate(genes, start=1)}
    return _assemble(settings, encoder, tokens, path=path, what=what, notes=[])


def _load_public(path: Path) -> Pretrained:
    content = load_tensors(path)
    if isinstance(content, Mapping) and "model_state_dict" in content:
        content = content["model_state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        message = (
            f"{path} holds no table of named tensors; expected a state_dict, alone or under "
            "'model_state_dict'. Give a CellPatch checkpoint."
        )
        raise InputError(message)
    state = without_prefixes(content, ["module."])
    # Nothing of another model is ignored, so that the message can say whose it is.
    if guess_family(state) in (None, "CellPatch"):
        state = encoder_part(state)
    arguments = path.with_name(f"{path.stem}_args.json")
    claimed = read_arguments(arguments)
    sizes = sizes_of(state)
    wrong = [
        f"{name} {claimed[name]!r} instead of {size}"
        for name, size in sizes.items()
        if name in claimed and claimed[name] != size
    ]
    if wrong and guess_family(state) == "CellPatch":
        message = (
            f"{arguments} does not describe {path}: {', '.join(wrong)} as the tensors have it. "
            "Give the arguments of this checkpoint, or take the file away."
        )
        raise InputError(message)
    config = make_config(
        {**claimed, **sizes}, n_tokens=n_tokens_of(state), source=f"{arguments} and {path}"
    )
    expected = _expected(config)
    check_tensors(
        {public_name(name): value for name, value in expected.items()},
        state,
        what="CellPatch",
        source=path,
    )
    tokens = read_tokens(path.with_name("gene2tok.json"), config.n_tokens)
    own = {name: state[public_name(name)] for name in expected}
    notes = []
    if not arguments.is_file():
        notes.append(
            f"no {arguments.name} beside the checkpoint: {config.n_heads} attention heads taken, "
            "values neither clipped nor cut to whole numbers, as in the published pretraining"
        )
    return _assemble(config, own, tokens, path=path, what="CellPatch", notes=notes)


def _assemble(
    config: CellPatchConfig,
    tensors: Mapping[str, Any],
    tokens: dict[str, int],
    *,
    path: Path,
    what: str,
    notes: list[str],
) -> Pretrained:
    check_tensors(_expected(config), tensors, what=what, source=path)
    values = {name: value.to(torch.float32, copy=True) for name, value in tensors.items()}
    broken = [name for name, value in values.items() if not value.isfinite().all()]
    if broken:
        message = (
            f"{path}: NaN or infinite values in {', '.join(broken)}; weights are finite. Training "
            "diverged or the file is damaged: give another."
        )
        raise InputError(message)
    with torch.device("meta"):
        model = PatchEncoder(config)
    model.load_state_dict(values, assign=True)
    return Pretrained(model.eval(), tokens, tensors_hash(values), notes)


def _expected(config: CellPatchConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        return PatchEncoder(config).state_dict()
