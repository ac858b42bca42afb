"""The configuration of a training run."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Plan:
    """What is trained, on what, and how.

    Read from a TOML file with the keys ``encoder``, ``data``, ``out``, ``layer``, ``batch_column``,
    ``properties`` at the top, a table ``[model]`` with sizes, and a table ``[training]`` with the
    rest.

    Attributes
    ----------
    encoder
        Name of an encoder that can be trained.
    data
        Files (``.h5ad``) and folders (``.zarr``); a pattern such as ``corpus/*.h5ad`` is expanded.
    out
        Folder for weights, checkpoint, history and curve.
    layer
        Layer with raw counts, ``X`` when not given.
    batch_column
        Column of ``obs`` with the batch; empty when each file is one batch.
    properties
        Columns of ``obs`` to predict; none by default, so that embeddings stay free of labels.
    model
        Sizes, passed to the encoder.
    epochs
        Passes over as many cells as there are.
    block
        Cells of a block, the unit of batching and of randomness.
    blocks_per_step
        Blocks of a step, over all processes together.
    learning_rate, warmup
        Peak rate of AdamW; steps of linear warm-up, before a half cosine down to zero.
    clip
        Largest norm of the gradient.
    held_out
        Share of the cells kept for validation.
    min_sets, min_cells
        A gene is read when so many files, and so many cells, detect it.
    checkpoint_every
        Steps between checkpoints.
    precision
        ``auto`` (bf16 on a GPU that has it), ``32`` or ``bf16``.
    seed
        Of every random choice.
    """

    encoder: str
    data: list[Path]
    out: Path
    layer: str | None = None
    batch_column: str = "batch"
    properties: list[str] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    epochs: int = 4
    block: int = 128
    blocks_per_step: int = 1
    learning_rate: float = 1e-3
    warmup: int = 100
    clip: float = 1.0
    held_out: float = 0.03
    min_sets: int = 3
    min_cells: int = 50
    checkpoint_every: int = 100
    precision: str = "auto"
    seed: int = 0


def read_plan(path: Path) -> Plan:
    """Read a training configuration.

    Paths in it are relative to its own folder.

    Raises
    ------
    InputError
        There is no such file, it is no TOML, a key is unknown, missing or of the wrong kind, or a
        data file does not exist.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = (
            f"{path} is no readable training configuration ({error}); expected TOML with encoder, "
            "data, out, and optional tables [model] and [training]."
        )
        raise InputError(message) from error
    training = given.pop("training", {})
    if not isinstance(training, dict) or not isinstance(given.get("model", {}), dict):
        message = f"{path}: model and training must be tables, [model] and [training]."
        raise InputError(message)
    values = {**given, **training}
    known = {item.name for item in fields(Plan)}
    unknown = sorted(set(values) - known)
    missing = sorted({"encoder", "data", "out"} - set(values))
    if unknown or missing:
        message = (
            f"{path}: unknown keys {unknown}, missing keys {missing}; known: "
            f"{', '.join(sorted(known))}."
        )
        raise InputError(message)
    for item in fields(Plan):
        if item.name in values:
            _check(item.name, values[item.name], item.default, path)
    folder = path.resolve().parent
    values["data"] = _files(folder, values["data"], path)
    values["out"] = folder / values["out"]
    return Plan(**values)


_AT_LEAST_ONE = ("block", "blocks_per_step", "warmup", "checkpoint_every")


def _check(name: str, value: Any, default: Any, path: Path) -> None:
    """Raise when a value is not of the kind that its key takes."""
    wanted = ""
    if isinstance(default, (int, float)):
        least = int(name in _AT_LEAST_ONE)
        kinds = (int, float) if isinstance(default, float) else (int,)
        if type(value) not in kinds or not value >= least:
            wanted = f"a number >= {least}"
        elif name == "held_out" and value >= 1:
            wanted = "a share below 1"
    elif name in ("data", "properties"):
        texts = [value] if name == "data" and isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            wanted = "a list of texts"
        elif name == "data" and not texts:
            wanted = "at least one file"
    elif name != "model" and not isinstance(value, str):
        wanted = "text"
    if wanted:
        message = f"{path}: {name} is {value!r}; expected {wanted}."
        raise InputError(message)


def _files(folder: Path, given: Any, path: Path) -> list[Path]:
    patterns = [given] if isinstance(given, str) else given
    found: list[Path] = []
    for pattern in patterns:
        anchor = Path(pattern)
        base, rest = (
            (Path(anchor.anchor), anchor.relative_to(anchor.anchor))
            if anchor.is_absolute()
            else (folder, anchor)
        )
        matches = sorted(base.glob(str(rest)))
        if not matches:
            message = f"{path}: there is no data file {pattern}; give paths relative to {folder}."
            raise InputError(message)
        found.extend(matches)
    return found
