"""The file layouts of published checkpoints: which tensors and configuration a mode has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint import load_tensors, without_prefixes
from ..errors import InputError

WRAPPERS = ("module.", "model.")
"""Prefixes that training frameworks put before every name."""

SCFOUNDATION_MODES = ("cell", "rde", "gene")
"""Modes of scFoundation: cell embedding, read-depth enhancement, gene embedding."""


@dataclass(frozen=True)
class Family:
    """Whose checkpoints these are.

    Attributes
    ----------
    name
        Name for the user.
    encoder
        Name of the encoder that reads them.
    mode
        Mode that is read when none is named.
    with_codes
        Whether the model has a discretisation.
    """

    name: str
    encoder: str
    mode: str
    with_codes: bool


CELLVQ = Family("released CellVQ", "cellvq-released", "m1", True)
SCFOUNDATION = Family("scFoundation", "scfoundation", "cell", False)


@dataclass(frozen=True)
class Checkpoint:
    """One mode of a checkpoint.

    Attributes
    ----------
    state
        Name -> tensor, without prefixes of wrappers.
    config
        Flat configuration, empty where the file has none.
    mode
        Name of the mode, empty for a file of one model.
    path
        The file.
    """

    state: dict[str, Any]
    config: Mapping[str, Any]
    mode: str
    path: Path

    @property
    def source(self) -> str:
        """File and mode, for messages."""
        return f"{self.path}#{self.mode}" if self.mode else str(self.path)


def split_argument(argument: str) -> tuple[Path, str | None]:
    """Return path and mode of ``PATH#MODE``; a path that exists is taken as it is.

    Examples
    --------
    >>> split_argument("models.ckpt#m2")[1], split_argument("models.ckpt")[1]
    ('m2', None)
    """
    path, _, mode = argument.rpartition("#")
    if not path or Path(argument).exists():
        return Path(argument), None
    return Path(path), mode or None


def read_checkpoint(path: Path, mode: str | None, family: Family) -> Checkpoint:
    """Read one mode of a checkpoint of a family.

    Three layouts are read: ``config`` and one dict of tensors per mode (CellVQ); per mode a dict of
    ``config`` and ``state_dict`` (scFoundation); the tensors of one model alone, with its
    configuration in a ``config.json`` beside the file if there is one. A folder means the
    ``model.safetensors`` in it.

    Parameters
    ----------
    path
        File or folder.
    mode
        Mode to read; the one of the family by default.
    family
        What is expected.

    Raises
    ------
    InputError
        The file cannot be read safely, is of another family, or has no such mode.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    content = load_tensors(file)
    if not isinstance(content, Mapping):
        message = (
            f"{file} holds a {type(content).__name__}; expected the dict of a {family.name} "
            "checkpoint. Give the file as it was published."
        )
        raise InputError(message)
    modes = [str(key) for key, value in content.items() if isinstance(value, Mapping)]
    modes = [key for key in modes if key != "config"]
    if not modes or "state_dict" in modes:
        return _single(content, file, mode)
    _check_family(content, modes, file, family)
    chosen = mode or family.mode
    if chosen not in modes:
        message = (
            f"{file} has no mode {chosen!r}; it has {', '.join(modes)}. Name one of them: "
            f"{family.encoder}:{file}#{modes[0]}."
        )
        raise InputError(message)
    part = content[chosen]
    config = content.get("config", {}) if family is CELLVQ else _merged(part, file, chosen)
    return Checkpoint(_state(part), _as_dict(config, file), chosen, file)


def _single(content: Mapping[str, Any], file: Path, mode: str | None) -> Checkpoint:
    if mode is not None:
        message = (
            f"{file} holds the weights of one model, so it has no mode {mode!r}. Leave #{mode} out."
        )
        raise InputError(message)
    config = content.get("config")
    if config is None:
        config = _beside(file)
    return Checkpoint(_state(content), _as_dict(config, file), "", file)


def _beside(file: Path) -> Any:
    path = file.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        message = (
            f"{path} is no JSON ({error}); expected the configuration of {file}. Repair or remove "
            "it."
        )
        raise InputError(message) from error
    # Folders of Scypher's own making keep the sizes under `model`, beside the encoder's name.
    inner = config.get("model") if isinstance(config, dict) else None
    return inner if isinstance(inner, dict) else config


def _check_family(content: Mapping[str, Any], modes: list[str], file: Path, family: Family) -> None:
    nested = any("state_dict" in content[key] for key in modes)
    found = SCFOUNDATION if nested or set(modes) <= set(SCFOUNDATION_MODES) else CELLVQ
    if found is not family:
        message = (
            f"{file} has the layout of {found.name} (modes {', '.join(modes)}), not that of "
            f"{family.name}. Use {found.encoder}:{file}."
        )
        raise InputError(message)


def _merged(part: Mapping[str, Any], file: Path, mode: str) -> dict[str, Any]:
    """Return the flat configuration of a mode of scFoundation."""
    config = _as_dict(part.get("config", {}), file)
    if not config:
        return {}
    try:
        model = config["model_config"][config["model"]]
        return {**model, **config["dataset_config"]["rnaseq"]}
    except (KeyError, TypeError) as error:
        message = (
            f"{file}#{mode}: the configuration lacks {error}; expected model, model_config and "
            "dataset_config with rnaseq. Give the file as it was published."
        )
        raise InputError(message) from error


def _state(part: Mapping[str, Any]) -> dict[str, Any]:
    inner = part.get("state_dict", part)
    if not isinstance(inner, Mapping):
        inner = part
    named = {str(name): value for name, value in inner.items() if name != "config"}
    return without_prefixes(named, WRAPPERS)


def _as_dict(config: Any, file: Path) -> Mapping[str, Any]:
    if not isinstance(config, Mapping):
        message = (
            f"{file}: the configuration is a {type(config).__name__}; expected a dict of settings. "
            "Give the file as it was published."
        )
        raise InputError(message)
    return config
