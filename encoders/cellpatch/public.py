"""The layout of the published CellPatch checkpoint.

Known of it are the key ``model_state_dict``, an optional prefix ``module.``, the sizes, and these
names: ``pathway_token`` (1, 64, 32), ``gene2vector.weight`` (70000, 32), ``count2vector``,
``count2vector_norm`` (defined, not used), ``cross_extract_blocks_`` and ``self_extract_blocks_``
with ``attn``, ``attn_norm``, ``mlp`` and ``mlp_norm``, the latter followed by ``.0`` and ``.1``,
``encoder_projection``, and ``decoder_*``. Fine-tuning adds ``lp_*``.

Inferred is what stands below them: attention with the names of
:class:`torch.nn.MultiheadAttention` (``in_proj_weight``, ``in_proj_bias``, ``out_proj.weight``,
``out_proj.bias``), norms with ``weight`` and ``bias``, and feed-forward parts as a sequence whose
two linear layers are numbered 0 and 2, or 0 and 3 with dropout between. With these every size adds
up to the published number of parameters, 45.6 thousand beside the gene table. Whether the one
cross-attention block is numbered is not known: ``.0`` after its names is accepted.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

IGNORED = ("count2vector_norm.", "encoder_projection.", "lp_")
"""Starts of names that encoding does not need; names with ``decoder`` in them are the others."""

N_LAYERS = 2
"""Self-attention blocks of the published model; a file with fewer is not whole."""

_FIRST = {"gene": "gene2vector", "value": "count2vector", "start": "pathway_token"}
_LISTED = re.compile(r"(cross_extract_blocks_(?:attn|attn_norm|mlp_norm))\.0\.(.+)")
_LISTED_MLP = re.compile(r"(cross_extract_blocks_mlp)\.0\.(\d+\..+)")
_LINEAR = re.compile(r"((?:cross|self)_extract_blocks_mlp(?:\.\d+)??)\.(\d+)\.(weight|bias)")


def public_name(name: str) -> str:
    """Return the published name of a tensor of :class:`~.model.PatchEncoder`.

    Examples
    --------
    >>> public_name("read.attn.out_proj.bias"), public_name("mix.1.mlp.0.weight")
    ('cross_extract_blocks_attn.out_proj.bias', 'self_extract_blocks_mlp.1.0.weight')
    >>> public_name("gene.weight"), public_name("start")
    ('gene2vector.weight', 'pathway_token')
    """
    first, _, rest = name.partition(".")
    if first in _FIRST:
        return f"{_FIRST[first]}.{rest}" if rest else _FIRST[first]
    if first == "read":
        return f"cross_extract_blocks_{rest}"
    layer, part, below = rest.split(".", 2)
    return f"self_extract_blocks_{part}.{layer}.{below}"


def encoder_part(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of the encoder under the names that :func:`public_name` gives."""
    kept = {}
    for name, value in state.items():
        if not name.startswith(IGNORED) and "decoder" not in name:
            for listed in (_LISTED, _LISTED_MLP):
                name = listed.sub(r"\1.\2", name)
            kept[name] = value
    linear = {name: match for name in kept if (match := _LINEAR.fullmatch(name))}
    places: dict[str, set[int]] = {}
    for match in linear.values():
        places.setdefault(match[1], set()).add(int(match[2]))
    result = {}
    for name, value in kept.items():
        match = linear.get(name)
        # Anything but two linear layers keeps its name, and is an error that names it.
        if match and len(places[match[1]]) == 2:
            number = 0 if int(match[2]) == min(places[match[1]]) else 2
            name = f"{match[1]}.{number}.{match[3]}"
        result[name] = value
    return result


def sizes_of(state: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes that the tensors have, those that can be seen."""
    sizes: dict[str, int] = {}
    start = _shape(state, "pathway_token")
    if len(start) == 3:
        sizes.update(n_patches=start[1], width=start[2])
    hidden = _shape(state, "cross_extract_blocks_mlp.0.weight")
    if len(hidden) == 2:
        sizes["hidden"] = hidden[0]
    layers = [re.match(r"self_extract_blocks_\w+\.(\d+)\.", name) for name in state]
    numbers = [int(match[1]) + 1 for match in layers if match]
    return {**sizes, "n_layers": max([N_LAYERS, *numbers])}


def n_tokens_of(state: Mapping[str, Any]) -> int:
    """Return the rows of the gene table, 1 when there is none."""
    shape = _shape(state, "gene2vector.weight")
    return shape[0] if len(shape) == 2 else 1


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = state.get(name)
    return tuple(value.shape) if isinstance(value, Tensor) else ()
