"""Weights on disk: safetensors, a JSON configuration, and the genes they read."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import InputError
from ..vocabulary import vocabulary_hash
from .config import CellVQConfig
from .model import CellVQ

FORMAT = 1
SHIPPED = Path(__file__).with_name("mini")
"""The weights that come with the package."""


@dataclass(frozen=True)
class Pretrained:
    """A loaded model with the Ensembl ids of its genes and the hash of its weights."""

    model: CellVQ
    genes: list[str]
    weights_hash: str


def save_model(
    model: CellVQ, genes: list[str], folder: Path, *, history: list[dict[str, Any]]
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
        "format": FORMAT,
        "model": asdict(model.config),
        "vocabulary": vocabulary_hash(),
        "genes": genes,
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
    if config.get("format") != FORMAT:
        message = (
            f"{folder} has model format {config.get('format')!r}; this version reads {FORMAT}."
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
    with torch.random.fork_rng(devices=[]):
        model = CellVQ(sizes)
    expected = {key for key in model.state_dict() if not key.startswith("own_")}
    missing, unexpected = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
    if missing or unexpected:
        message = f"{folder}: missing tensors {missing}, unexpected tensors {unexpected}."
        raise InputError(message)
    try:
        model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)
    except RuntimeError as error:
        message = f"{folder}: {error}"
        raise InputError(message) from error
    model.eval()
    return Pretrained(model, genes, state_hash(model))


def state_hash(model: CellVQ) -> str:
    """Return a SHA-256 over the names and values of all tensors."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
