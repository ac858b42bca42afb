"""Read weight files of any origin safely, and say exactly what does not fit."""

import hashlib
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import InputError

FAMILIES: dict[str, tuple[str, ...]] = {
    "native Scypher CellVQ": ("loadings", "discretise.project.weight"),
    "released CellVQ": ("token_emb.emb", "cell_vq.proj.weight"),
    "scFoundation": ("token_emb.emb", "decoder.performer.net.layers.0.0.norm.weight"),
    "CellPatch": ("pathway_token", "gene2vector.weight"),
    "scDMC with MosaicBERT keys": ("embeddings.word_embeddings.weight", "attention.self.Wqkv"),
    "scDMC or another BERT": ("embeddings.word_embeddings.weight", "attention.self.query"),
    "GPT-NeoX": ("embed_in.weight", "attention.query_key_value"),
}
"""Family -> fragments that its tensor names hold; the first family that fits is the answer."""

_SHOWN = 20


def load_tensors(path: Path) -> Any:
    """Read a weight file: safetensors, or a PyTorch file without code in it.

    Parameters
    ----------
    path
        ``.safetensors``, or anything written by ``torch.save`` (``.pt``, ``.pth``, ``.ckpt``,
        ``.bin``).

    Returns
    -------
    Any
        A dict of tensors, or whatever plain containers the file holds; on the CPU.

    Raises
    ------
    InputError
        There is no such file, it is truncated or of another kind, or it holds Python code: a
        pickle that needs more than tensors and plain values is never opened.
    """
    if not path.is_file():
        message = f"there is no weight file {path}; give the path of a checkpoint."
        raise InputError(message)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            message = f"{path} is no whole safetensors file ({error}); fetch it again."
            raise InputError(message) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=_mappable(path))
    except pickle.UnpicklingError as error:
        message = (
            f"{path} holds more than tensors and plain values, so opening it would run code: "
            f"refused ({_first_line(error)}). Ask its authors for a safetensors file, or save its "
            "state_dict alone."
        )
        raise InputError(message) from error
    # A broken pickle raises almost any kind of error; the cause is kept.
    except Exception as error:
        message = (
            f"{path} cannot be read as PyTorch weights ({_first_line(error)}); it is truncated or "
            "of another kind. Fetch it again."
        )
        raise InputError(message) from error


def without_prefixes(state: Mapping[str, Any], prefixes: Iterable[str]) -> dict[str, Any]:
    """Return the mapping with the given prefixes taken off its keys, again and again.

    Wrappers of training frameworks add such prefixes (``module.``, ``model.``).
    """
    known = tuple(prefixes)
    result = {}
    for name, value in state.items():
        while name.startswith(known):
            name = next(name.removeprefix(item) for item in known if name.startswith(item))
        result[name] = value
    return result


def guess_family(names: Iterable[str]) -> str | None:
    """Return whose weights these tensor names look like, ``None`` when nothing fits."""
    given = list(names)
    for family, fragments in FAMILIES.items():
        if all(any(fragment in name for name in given) for fragment in fragments):
            return family
    return None


def check_tensors(
    expected: Mapping[str, Tensor], given: Mapping[str, Any], *, what: str, source: Path
) -> None:
    """Raise unless the given tensors have the expected names and shapes, all of them.

    Parameters
    ----------
    expected
        Name -> tensor of the right shape (its values are not looked at).
    given
        What the file holds, without what the caller knows it may ignore.
    what
        Name of the model, for the message.
    source
        The file, for the message.

    Raises
    ------
    InputError
        Names every missing, unexpected and misshapen tensor (the first twenty of each), and whose
        weights the file seems to hold when that is another family.
    """
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    misshapen = [
        f"{name} {_shape(given[name])} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and _shape(given[name]) != tuple(tensor.shape)
    ]
    if not (missing or unexpected or misshapen):
        return
    family = guess_family(given)
    parts = [
        f"{label}: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''} ({len(names)})"
        for label, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if names
    ]
    looks = f" They look like weights of {family}." if family else ""
    message = f"{source} does not hold {what} weights; {'; '.join(parts)}.{looks}"
    raise InputError(message)


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names and values of tensors, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        # Flat, because a scalar cannot be viewed as bytes; not copied, because tables are large.
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _mappable(path: Path) -> bool:
    """Only the zip layout of ``torch.save`` can be mapped instead of read."""
    return zipfile.is_zipfile(path)


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
