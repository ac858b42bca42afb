"""Tensors of a published checkpoint that encoding does not need: the decoder and the heads."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .config import Sizes, axis, count_layers

PROPERTIES = ("cell_type", "tissue", "disease", "sex", "age")
"""Linear heads on the cell embedding; what their classes mean was not published."""

COUNT_HEADS = ("mean", "disp", "pi")
"""Heads of the count distribution."""


def spare_tensors(state: Mapping[str, Any], sizes: Sizes) -> dict[str, Tensor]:
    """Return the tensors of decoder and heads, without values, as the given ones imply them.

    Their inner widths are free, their joints are not: the decoder takes tokens of the encoder, a
    property head takes the cell embedding.

    Parameters
    ----------
    state
        Name -> tensor of the checkpoint.
    sizes
        Sizes of the encoder.
    """
    width = axis(state, "decoder_embed.weight", 0, 512)
    shapes: dict[str, tuple[int, ...]] = {
        "decoder.performer.calls_since_last_redraw": (),
        **_linear("decoder_embed", width, sizes.width),
        **_linear("to_final", 1, width),
        **_norm("norm", width),
        **_norm("decoder.norm", width),
    }
    if sizes.codes is not None:
        for name in COUNT_HEADS:
            shapes |= _linear(name, 1, width)
        for name in PROPERTIES:
            classes = axis(state, f"{name}.weight", 0, 1)
            shapes |= _linear(name, classes, 4 * sizes.width)
    for number in range(count_layers(state, r"decoder\.performer\.net\.layers\.(\d+)\.")):
        shapes |= _performer_layer(state, f"decoder.performer.net.layers.{number}.", width)
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def property_heads(state: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return weight and bias of the property heads that a checkpoint holds, by name."""
    return {
        name: (state[f"{name}.weight"].float(), state[f"{name}.bias"].float())
        for name in PROPERTIES
        if f"{name}.weight" in state and f"{name}.bias" in state
    }


def _performer_layer(
    state: Mapping[str, Any], prefix: str, width: int
) -> dict[str, tuple[int, ...]]:
    inner = axis(state, f"{prefix}0.fn.to_q.weight", 0, width)
    hidden = axis(state, f"{prefix}1.fn.fn.w1.weight", 0, 4 * width)
    projection = f"{prefix}0.fn.fast_attention.projection_matrix"
    features, head = axis(state, projection, 0, 266), axis(state, projection, 1, 64)
    shapes: dict[str, tuple[int, ...]] = {projection: (features, head)}
    for name in ("to_q", "to_k", "to_v"):
        shapes |= _linear(f"{prefix}0.fn.{name}", inner, width)
    return {
        **shapes,
        **_linear(f"{prefix}0.fn.to_out", width, inner),
        **_linear(f"{prefix}1.fn.fn.w1", hidden, width),
        **_linear(f"{prefix}1.fn.fn.w2", width, hidden),
        **_norm(f"{prefix}0.norm", width),
        **_norm(f"{prefix}1.norm", width),
    }


def _linear(name: str, out: int, given: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, given), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
