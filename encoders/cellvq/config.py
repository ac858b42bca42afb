"""Sizes of a CellVQ model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ..errors import InputError


@dataclass(frozen=True)
class CellVQConfig:
    """Sizes of a native CellVQ.

    Attributes
    ----------
    n_genes
        Genes the model reads.
    reader
        ``latent``: learned latent tokens read the genes, cost linear in the expressed genes;
        ``full``: self-attention among the expressed genes, for GPUs.
    width
        Components of the gene loadings and of the cell embedding.
    own_width
        Components that adapting to a data set adds (zero until then).
    n_latents
        Latent tokens (``latent``); each reads an equal slice of the components.
    key_width
        Width of attention keys and queries (``latent``).
    n_bins
        Value bins.
    bound
        Largest absolute logit of the gene part and of the value part of attention (``latent``), so
        that one gene outweighs another at most by ``exp(4 * bound)``.
    token_width, n_layers, n_heads, hidden
        Self-attention: width of its tokens, layers, heads, width of the feed-forward part.
    prior_rank
        Rank of the gene-gene prior.
    decoder_layers, decoder_hidden
        Residual layers of the decoder and their width.
    n_bits
        Bits of a cell code: ``2 ** n_bits`` codes.
    code_width, condition_width
        Width of codebook vectors and of the hidden layers that generate them.
    max_tokens
        Most expressed genes of a cell that are read.
    properties
        Property -> its known values, for the optional property heads.
    """

    n_genes: int
    reader: Literal["latent", "full"] = "latent"
    width: int = 128
    own_width: int = 20
    n_latents: int = 8
    key_width: int = 32
    n_bins: int = 32
    bound: float = 1.0
    token_width: int = 64
    n_layers: int = 1
    n_heads: int = 4
    hidden: int = 256
    prior_rank: int = 8
    decoder_layers: int = 1
    decoder_hidden: int = 256
    n_bits: int = 10
    code_width: int = 32
    condition_width: int = 128
    max_tokens: int = 4096
    properties: Mapping[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reader not in ("latent", "full"):
            message = f"reader is {self.reader!r}; expected latent or full."
            raise InputError(message)
        parts = {"token_width": "n_heads"}
        if self.reader == "latent":
            parts["width"] = "n_latents"
        for whole, part in parts.items():
            size, n = getattr(self, whole), getattr(self, part)
            if n < 1 or size % n:
                message = f"{whole} is {size}, {part} {n}; give sizes that divide without a rest."
                raise InputError(message)

    @property
    def n_codes(self) -> int:
        """Entries of the codebook."""
        return int(2**self.n_bits)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], n_genes: int) -> "CellVQConfig":
        """Return a preset with the given sizes in place of its own.

        Parameters
        ----------
        settings
            ``preset`` (``mini`` when not given) and any attribute of this class.
        n_genes
            Genes the model reads.

        Raises
        ------
        InputError
            There is no such preset or attribute; the message lists what exists.
        """
        given = dict(settings)
        preset = given.pop("preset", "mini")
        if preset not in PRESETS:
            message = f"there is no preset {preset!r} of cellvq; known: {', '.join(PRESETS)}."
            raise InputError(message)
        known = {item.name for item in fields(cls)} - {"n_genes"}
        if unknown := sorted(set(given) - known):
            message = f"unknown model settings {unknown}; known: {', '.join(sorted(known))}."
            raise InputError(message)
        return cls(n_genes=n_genes, **{**PRESETS[preset], **given})


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "width": 32,
        "n_latents": 4,
        "token_width": 32,
        "hidden": 64,
        "n_bits": 6,
        "code_width": 16,
        "decoder_hidden": 64,
    },
    "mini": {},
    "small": {
        "reader": "full",
        "width": 256,
        "token_width": 256,
        "n_layers": 6,
        "n_heads": 8,
        "hidden": 1024,
        "prior_rank": 128,
        "decoder_layers": 4,
        "condition_width": 512,
    },
    "base": {
        "reader": "full",
        "width": 512,
        "token_width": 512,
        "n_bins": 100,
        "n_layers": 12,
        "n_heads": 8,
        "hidden": 2048,
        "prior_rank": 256,
        "decoder_layers": 6,
        "decoder_hidden": 384,
        "n_bits": 12,
        "condition_width": 1024,
    },
}
"""Sizes by name: ``tiny`` for tests, ``mini`` for CPUs, ``small`` and ``base`` for GPUs."""
