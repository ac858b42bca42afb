"""Load a published checkpoint that the user brings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import check_tensors, tensors_hash
from ..errors import InputError
from .codes import digits
from .config import settle, sizes_of
from .genes import read_genes
from .layout import Family, read_checkpoint
from .model import PublishedModel
from .spare import property_heads, spare_tensors


@dataclass(frozen=True)
class Published:
    """A loaded model and what came with it.

    Attributes
    ----------
    model
        The encoder, in eval mode, its prior folded into its position table.
    genes
        Names of the genes of the model.
    heads
        Weight and bias of the property heads by name; empty for a model without.
    weights_hash
        SHA-256 of the tensors of the encoder as the file holds them.
    checkpoint, mode
        Name of the file, and of the mode in it.
    """

    model: PublishedModel
    genes: list[str]
    heads: dict[str, tuple[Tensor, Tensor]]
    weights_hash: str
    checkpoint: str
    mode: str


def load_published(path: Path, mode: str | None, family: Family) -> Published:
    """Load one mode of a checkpoint.

    Tensors stay mapped to the file where they are float32 already, so that memory holds no second
    copy of them.

    Parameters
    ----------
    path
        File or folder, see :func:`~scypher.encoders.cellvq_released.layout.read_checkpoint`.
    mode
        Mode to read; that of the family by default.
    family
        Whose checkpoint it is.

    Raises
    ------
    InputError
        The file is not safe to read, of another family, lacks tensors of the encoder, has tensors
        that the model does not know, or does not fit its configuration; or there is no gene list.
    """
    checkpoint = read_checkpoint(path, mode, family)
    state = checkpoint.state
    sizes = sizes_of(state, with_codes=family.with_codes)
    with torch.device("meta"):
        expected = PublishedModel(sizes).state_dict()
    spare = spare_tensors(state, sizes)
    check_tensors(
        {**expected, **{name: value for name, value in spare.items() if name in state}},
        state,
        what=family.name,
        source=checkpoint.path,
    )
    sizes = settle(sizes, checkpoint.config, source=checkpoint.source)
    used = {name: state[name] for name in expected}
    _check_values(used, checkpoint.source)
    genes = read_genes(checkpoint.path, sizes.n_genes)
    # A scalar cannot be viewed as bytes.
    weights_hash = tensors_hash({name: value.reshape(-1) for name, value in used.items()})
    with torch.device("meta"):
        model = PublishedModel(sizes)
    model.load_state_dict({name: value.float() for name, value in used.items()}, assign=True)
    model.requires_grad_(False).eval()
    model.fold()
    return Published(
        model=model,
        genes=genes,
        heads=property_heads(state),
        weights_hash=weights_hash,
        checkpoint=checkpoint.path.name,
        mode=checkpoint.mode,
    )


def _check_values(state: Mapping[str, Tensor], source: str) -> None:
    broken = [name for name, value in state.items() if not _finite(value)]
    if broken:
        message = (
            f"{source}: {', '.join(broken[:5])} hold NaN or infinite values; weights are finite. "
            "Fetch the file again."
        )
        raise InputError(message)
    condition = state.get("cell_vq.embedding")
    if condition is not None and not torch.equal(condition.float(), digits(condition.shape[1])):
        message = (
            f"{source}: cell_vq.embedding does not hold the binary digits of 0 to "
            f"{len(condition) - 1}, highest first, so its codes would mean something else. Fetch "
            "the file again."
        )
        raise InputError(message)


def _finite(value: Tensor) -> bool:
    """Look at the sum alone: a mask of a matrix of 19,266 x 19,266 takes more than it."""
    return bool(torch.isfinite(value.sum(dtype=torch.float64)))
