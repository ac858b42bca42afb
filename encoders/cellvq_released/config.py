"""Sizes of a published model, read from its weights and compared with its configuration."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import InputError

HEAD_WIDTH = 64
"""Width of an attention head in the published models."""

_MOST_BITS, _MOST_LAYERS = 20, 100
"""A corrupt file must not make a model that no memory holds."""


class CodeSizes(NamedTuple):
    """Sizes of the discretisation.

    Attributes
    ----------
    n_bits, code_width
        Bits of a code; width of the codebook vectors.
    condition_width, condition_layers
        Width of the hidden layers that generate the codebook; linear layers in all.
    normed
        Whether batch norm follows each hidden layer.
    """

    n_bits: int
    code_width: int
    condition_width: int
    condition_layers: int
    normed: bool


@dataclass(frozen=True)
class Sizes:
    """Sizes of an encoder.

    Attributes
    ----------
    n_genes
        Genes the model reads; two depth positions and one for padding follow them.
    width, hidden
        Width of the tokens and of the feed-forward layers.
    n_bins
        Soft value bins.
    depth, heads
        Layers, and attention heads of each.
    bin_alpha
        Weight of the first layer in the bin logits.
    codes
        Sizes of the discretisation, ``None`` for a model without one.
    """

    n_genes: int
    width: int
    hidden: int
    n_bins: int
    depth: int
    heads: int = 1
    bin_alpha: float = 1.0
    codes: CodeSizes | None = None

    @property
    def n_positions(self) -> int:
        """Genes and the two depth positions."""
        return self.n_genes + 2


def sizes_of(state: Mapping[str, Any], *, with_codes: bool) -> Sizes:
    """Return the sizes that tensors imply; the published ones where a tensor is missing.

    Shapes only: heads and ``bin_alpha`` come from the configuration.

    Parameters
    ----------
    state
        Name -> tensor.
    with_codes
        Whether the model has a discretisation.
    """
    width = axis(state, "token_emb.emb.weight", 1, 768)
    return Sizes(
        n_genes=max(axis(state, "pos_emb.weight", 0, 19_267) - 3, 1),
        width=width,
        hidden=axis(state, "encoder.transformer_encoder.0.linear1.weight", 0, 4 * width),
        n_bins=axis(state, "token_emb.emb.weight", 0, 100),
        depth=count_layers(state, r"encoder\.transformer_encoder\.(\d+)\.") or 12,
        codes=_code_sizes(state) if with_codes else None,
    )


def _code_sizes(state: Mapping[str, Any]) -> CodeSizes:
    part = re.compile(r"cell_vq\.embedding_mlp\.(\d+)\.")
    numbers = [int(match[1]) for name in state if (match := part.match(name))]
    # Linear layers are every third module with batch norm and ReLU between, else every second.
    normed = len(_shape(state.get("cell_vq.embedding_mlp.2.weight"))) != 2
    layers = max(numbers, default=15) // (3 if normed else 2) + 1
    return CodeSizes(
        n_bits=min(axis(state, "cell_vq.embedding", 1, 12), _MOST_BITS),
        code_width=axis(state, "cell_vq.proj.weight", 0, 32),
        condition_width=axis(state, "cell_vq.embedding_mlp.0.weight", 0, 1024),
        condition_layers=min(max(layers, 2), _MOST_LAYERS),
        normed=normed,
    )


def count_layers(names: Iterable[str], pattern: str) -> int:
    """Return how many numbers the first group of a pattern takes at the start of the names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def axis(state: Mapping[str, Any], name: str, number: int, default: int) -> int:
    """Return the length of an axis of a tensor; the default without such a tensor or axis."""
    shape = _shape(state.get(name))
    return shape[number] if len(shape) > number else default


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def settle(sizes: Sizes, config: Mapping[str, Any], *, source: str) -> Sizes:
    """Return the sizes with heads and ``bin_alpha`` of a configuration that fits the weights.

    Parameters
    ----------
    sizes
        Sizes that the weights imply.
    config
        Flat configuration of the published code; empty where the file has none.
    source
        What was read, for the message.

    Raises
    ------
    InputError
        The configuration contradicts the weights, or the number of heads cannot be known.
    """
    encoder = config.get("encoder", {})
    if not isinstance(encoder, Mapping):
        message = (
            f"{source}: encoder in the configuration is {encoder!r}; expected its sizes "
            "(hidden_dim, depth, heads). Give the configuration that came with the weights."
        )
        raise InputError(message)
    implied: dict[str, object] = {
        "seq_len": sizes.n_positions,
        "bin_num": sizes.n_bins,
        "encoder.hidden_dim": sizes.width,
        "encoder.depth": sizes.depth,
        "encoder.module_type": "transformer",
        "encoder.norm_first": False,
    }
    if sizes.codes is not None:
        implied["level"] = sizes.codes.n_bits
        implied["latent_dim"] = sizes.codes.code_width
        implied["condition_layer"] = sizes.codes.condition_layers
    stated = {**config, **{f"encoder.{name}": value for name, value in encoder.items()}}
    wrong = [
        f"{name} is {stated[name]!r} in the configuration and {value!r} in the weights"
        for name, value in implied.items()
        if name in stated and stated[name] != value
    ]
    heads = stated.get("encoder.heads", sizes.width // HEAD_WIDTH)
    if "encoder.heads" not in stated and (sizes.width % HEAD_WIDTH or not sizes.width):
        wrong.append(
            f"encoder.heads is not in the configuration, and a width of {sizes.width} is no "
            f"multiple of {HEAD_WIDTH}, the width of a published head"
        )
    elif not isinstance(heads, int) or heads < 1 or sizes.width % heads:
        wrong.append(
            f"encoder.heads is {heads!r} in the configuration, which does not divide the width "
            f"{sizes.width} of the weights"
        )
    alpha = stated.get("bin_alpha", 1.0)
    if not isinstance(alpha, (int, float)):
        wrong.append(f"bin_alpha is {alpha!r} in the configuration, expected a number")
    if wrong:
        message = (
            f"{source}: configuration and weights do not fit: {'; '.join(wrong)}. Give the "
            "configuration that came with the weights."
        )
        raise InputError(message)
    return replace(sizes, heads=heads, bin_alpha=float(alpha))
