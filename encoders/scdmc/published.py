"""Sizes of published checkpoints, from their configuration and from their tensors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..errors import InputError
from .config import ScDMCConfig


def published_sizes(config: dict[str, Any], given: Mapping[str, Tensor], file: Path) -> ScDMCConfig:
    """Return the sizes that the configuration states, once the tensors are seen to agree.

    Parameters
    ----------
    config
        What ``config.json`` holds.
    given
        Tensors of the encoder, prefixes off; their names tell the layout.
    file
        Where they come from, for messages.

    Raises
    ------
    InputError
        The configuration lacks a size, is of another kind of network, or describes other tensors.
    """
    needed = (
        *("hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("intermediate_size", "vocab_size"),
    )
    wrong = [name for name in needed if not isinstance(config.get(name), int)]
    activation = config.get("hidden_act", "gelu")
    if wrong or activation != "gelu":
        message = (
            f"{file.parent / 'config.json'} has no whole number for {', '.join(wrong) or 'nothing'}"
            f" and activation {activation!r}; expected {', '.join(needed)}, and gelu. Give the "
            "config.json of an scDMC checkpoint."
        )
        raise InputError(message)
    layout: Literal["mosaic", "stock"] = (
        "stock" if any(".attention.self.query." in name for name in given) else "mosaic"
    )
    seen = _seen_sizes(given)
    differing = [
        f"{name} {config[name]} against {seen[name]}"
        for name in needed
        if name in seen and seen[name] != config[name]
    ]
    if differing:
        message = (
            f"{file.parent / 'config.json'} does not describe {file.name}: {'; '.join(differing)}. "
            "Give the config.json that came with these weights."
        )
        raise InputError(message)
    positions = 0
    if layout == "stock":
        positions = _rows(given, "embeddings.position_embeddings.weight") or 512
    return ScDMCConfig(
        n_tokens=config["vocab_size"],
        width=config["hidden_size"],
        n_layers=config["num_hidden_layers"],
        n_heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        max_tokens=min(ScDMCConfig.max_tokens, positions or ScDMCConfig.max_tokens),
        layout=layout,
        n_types=_rows(given, "embeddings.token_type_embeddings.weight"),
        n_positions=positions,
        epe_mode="weight",
        norm_eps=config.get("layer_norm_eps", 1e-12),
    )


def _seen_sizes(given: Mapping[str, Tensor]) -> dict[str, int]:
    """Return what the shapes of the tensors say, by the names of the configuration."""
    seen = {}
    words = _shape(given, "embeddings.word_embeddings.weight")
    if len(words) == 2:
        seen["vocab_size"], seen["hidden_size"] = words
    layers = [int(found[1]) for name in given if (found := re.match(r"layer\.(\d+)\.", name))]
    if layers:
        seen["num_hidden_layers"] = max(layers) + 1
    for name in ("layer.0.mlp.wo.weight", "layer.0.output.dense.weight"):
        if len(_shape(given, name)) == 2:
            seen["intermediate_size"] = _shape(given, name)[1]
    return seen


def _rows(given: Mapping[str, Tensor], name: str) -> int:
    return next(iter(_shape(given, name)), 0)


def _shape(given: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = given.get(name)
    return tuple(value.shape) if isinstance(value, Tensor) else ()
