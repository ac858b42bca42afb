"""Weights on disk: those of our own training, and checkpoints of the authors' two layouts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoint import check_tensors, load_tensors, tensors_hash, without_prefixes
from ..errors import InputError
from .config import ScDMCConfig
from .model import Body, Prediction
from .published import published_sizes
from .vocabulary import Vocabulary, read_json, read_vocabulary

NAME = "scdmc"
FORMAT = 1

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names under which weights are looked for in a folder."""

PREFIXES = ("module.", "model.", "bert.", "encoder.")
"""What stands before the names of encoder tensors, in any order and number."""

IGNORED = ("cls.", "pooler.", "classifier.")
"""Heads that encoding does not need."""

_COUNTERS = ("embeddings.position_ids", "embeddings.token_type_ids")
"""Constants that some writers of BERT checkpoints store."""

_WRAPPERS = ("state_dict", "model_state_dict")


@dataclass(frozen=True)
class Pretrained:
    """A loaded encoder.

    Attributes
    ----------
    body
        The network, ready to read.
    vocabulary
        The genes it reads.
    weights_hash
        SHA-256 of the tensors in use.
    notes
        Sentences for the user.
    """

    body: Body
    vocabulary: Vocabulary
    weights_hash: str
    notes: list[str]


def save_pretrained(body: Body, head: Prediction, vocabulary: Vocabulary, *, folder: Path) -> None:
    """Write ``model.safetensors`` (tensors named as in MosaicBERT) and ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        **{f"bert.{_published(name)}": value for name, value in body.state_dict().items()},
        **{f"cls.predictions.{name}": value for name, value in head.state_dict().items()},
    }
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        folder / WEIGHT_FILES[0],
    )
    config = {
        "encoder": NAME,
        "format": FORMAT,
        "model": asdict(body.config),
        "genes": vocabulary.genes,
        "medians": vocabulary.medians.tolist(),
    }
    (folder / "config.json").write_text(json.dumps(config, separators=(",", ":")))


def load_pretrained(path: Path) -> Pretrained:
    """Read weights with what lies beside them.

    Parameters
    ----------
    path
        A folder, or the weight file in it. Beside the weights lies ``config.json``: the one that
        training wrote, or that of a published checkpoint (``hidden_size``, ``num_hidden_layers``,
        ``num_attention_heads``, ``intermediate_size``, ``vocab_size``), then also a vocabulary
        (see :func:`~scypher.encoders.scdmc.vocabulary.read_vocabulary`).

    Raises
    ------
    InputError
        Something is missing, is of another family or format, or does not fit the rest. Tensors
        that are missing, unexpected or of another shape are named; nothing is loaded in part.
    """
    file = _weight_file(path)
    config = read_json(file.parent / "config.json")
    given = _encoder_tensors(file)
    notes: list[str] = []
    if "encoder" in config:
        sizes, vocabulary = _own(config, file.parent / "config.json")
        what = "scDMC"
    else:
        sizes = published_sizes(config, given, file)
        vocabulary, has_medians = read_vocabulary(file.parent)
        what = f"scDMC (layout {sizes.layout})"
        if not has_medians:
            notes.append("no medians of genes beside the weights: all taken as 1")
    with torch.device("meta"):
        body = Body(sizes)
    check_tensors(body.state_dict(), given, what=what, source=file)
    highest = int(vocabulary.token.max(initial=0))
    if highest >= sizes.n_tokens:
        message = (
            f"{file} has vectors of {sizes.n_tokens} tokens, the vocabulary beside it has ids up "
            f"to {highest}; expected ids below {sizes.n_tokens}. Give the vocabulary that the "
            "weights were trained with."
        )
        raise InputError(message)
    body.load_state_dict({name: value.float() for name, value in given.items()}, assign=True)
    body.requires_grad_(False)
    return Pretrained(body.eval(), vocabulary, tensors_hash(given), notes)


def _published(name: str) -> str:
    return f"encoder.{name}" if name.startswith("layer.") else name


def _weight_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = next((path / name for name in WEIGHT_FILES if (path / name).is_file()), None)
    if found is None:
        message = (
            f"{path} holds no weights; expected {' or '.join(WEIGHT_FILES)}. Give the folder of a "
            "checkpoint, or the file itself."
        )
        raise InputError(message)
    return found


def _encoder_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors without wrappers, prefixes and the parts that encoding does not need."""
    state = load_tensors(file)
    while isinstance(state, Mapping) and any(name in state for name in _WRAPPERS):
        state = next(state[name] for name in _WRAPPERS if name in state)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        message = (
            f"{file} holds a {type(state).__name__} instead of tensors by name; give the weights "
            "of an scDMC encoder, as its state_dict."
        )
        raise InputError(message)
    bare = without_prefixes(state, PREFIXES)
    if len(bare) != len(state):
        message = (
            f"{file} holds {len(state)} tensors of which only {len(bare)} differ once prefixes "
            f"({', '.join(PREFIXES)}) are off: it holds more than one encoder. Save one of them."
        )
        raise InputError(message)
    return {
        name: value
        for name, value in bare.items()
        if not name.startswith(IGNORED) and name not in _COUNTERS
    }


def _own(config: dict[str, Any], path: Path) -> tuple[ScDMCConfig, Vocabulary]:
    if config["encoder"] != NAME or config.get("format") != FORMAT:
        message = (
            f"{path} describes encoder {config['encoder']!r}, format {config.get('format')!r}; "
            f"expected {NAME!r}, format {FORMAT}. Give weights made for this version."
        )
        raise InputError(message)
    try:
        sizes = ScDMCConfig(**config["model"])
        vocabulary = Vocabulary.of(config["genes"], config["medians"])
    except (KeyError, TypeError, ValueError) as error:
        message = (
            f"{path} lacks sizes, genes or medians, or has unknown ones ({error}); expected what "
            "training writes. Give weights made for this version."
        )
        raise InputError(message) from error
    if len(vocabulary.genes) != len(vocabulary.medians):
        message = (
            f"{path} lists {len(vocabulary.genes)} genes and {len(vocabulary.medians)} medians; "
            "expected as many. Give the file that training wrote."
        )
        raise InputError(message)
    return sizes, vocabulary
