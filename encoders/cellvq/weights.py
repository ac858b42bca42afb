"""Weights on disk: safetensors, a JSON configuration, and the genes they read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..checkpoint import check_tensors, tensors_hash
from ..errors import InputError
from ..vocabulary import vocabulary_hash
from .config import CellVQConfig
from .model import CellVQ

FORMAT = 2
SHIPPED = Path(__file__).with_name("mini")
"""The weights that come with the package."""


@dataclass(frozen=True)
class Pretrained:
    """A loaded model, Ensembl ids of its genes, its hash, and the data sets it was trained on."""

    model: CellVQ
    genes: list[str]
    weights_hash: str
    trained_on: list[str]


def save_model(
    model: CellVQ,
    genes: list[str],
    folder: Path,
    *,
    trained_on: list[str],
    history: list[dict[str, Any]],
) -> None:
    """Write ``model.safetensors`` (float16 for tables), ``config.json`` and ``history.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.dim() == 2 and value.numel() > 1e5 else value).contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith("own_")
    }
    save_file(tensors, folder / "model.safetensors")
    config = {
        "encoder": "cellvq",
        "format": FORMAT,
        "model": asdict(model.config),
        "vocabulary": vocabulary_hash(),
        "genes": genes,
        "trained_on": trained_on,
    }
    (folder / "config.json").write_text(json.dumps(config, separators=(",", ":")))
    (folder / "history.json").write_text(json.dumps(history, indent=1))


def load_model(folder: Path = SHIPPED) -> Pretrained:
    """Read what :func:`save_model` wrote.

    Raises
    ------
    InputError
        The folder holds no such model, one of another format, or tensors that are missing,
        unexpected or of another shape; each is named.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        tensors = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        message = (
            f"{folder} holds no readable CellVQ model ({error}); expected config.json and "
            "model.safetensors as written by pretraining."
        )
        raise InputError(message) from error
    if not isinstance(config, dict) or config.get("encoder", "cellvq") != "cellvq":
        message = (
            f"{folder} holds weights of another encoder; expected config.json as pretraining of "
            "cellvq writes it. Name the folder alone, or as NAME:FOLDER with its own encoder."
        )
        raise InputError(message)
    if config.get("format") != FORMAT:
        message = (
            f"{folder} has model format {config.get('format')!r}; this version reads {FORMAT}. "
            "Give weights made for this version."
        )
        raise InputError(message)
    try:
        sizes, genes = CellVQConfig(**config["model"]), config["genes"]
    except (KeyError, TypeError) as error:
        message = (
            f"{folder}: config.json lacks sizes or genes, or has unknown ones ({error}); expected "
            "what pretraining writes. Give weights made for this version."
        )
        raise InputError(message) from error
    if len(genes) != sizes.n_genes:
        message = (
            f"{folder}: config.json lists {len(genes)} genes for a model of {sizes.n_genes}; "
            "expected as many as n_genes says. Fetch both files of the same model again."
        )
        raise InputError(message)
    with torch.random.fork_rng(devices=[]):
        model = CellVQ(sizes)
    # Own components belong to a data set, never to a file.
    expected = {k: v for k, v in model.state_dict().items() if not k.startswith("own_")}
    check_tensors(expected, tensors, what="native CellVQ", source=folder / "model.safetensors")
    model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)
    model.eval()
    return Pretrained(
        model,
        genes,
        tensors_hash(model.state_dict()),
        [str(name) for name in config.get("trained_on", [])],
    )
