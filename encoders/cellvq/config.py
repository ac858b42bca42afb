"""Sizes of a CellVQ model."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class CellVQConfig:
    """Sizes of the native CellVQ with learned latent tokens.

    Attributes
    ----------
    n_genes
        Genes the model reads.
    width
        Components of the gene loadings and of the latent tokens.
    own_width
        Components that adapting to a data set adds (zero until then).
    n_latents
        Learned latent tokens that read the genes.
    key_width
        Width of attention keys and queries.
    n_bins
        Soft value bins.
    n_layers, n_heads, hidden
        Self-attention among the latents: layers, heads, width of the feed-forward part.
    n_bits
        Bits of a cell code: ``2 ** n_bits`` codes.
    code_width, condition_width
        Width of codebook vectors and of the hidden layers that generate them.
    max_tokens
        Most expressed genes of a cell that are read.
    """

    n_genes: int
    width: int = 128
    own_width: int = 20
    n_latents: int = 8
    key_width: int = 32
    n_bins: int = 32
    n_layers: int = 1
    n_heads: int = 4
    hidden: int = 256
    n_bits: int = 10
    code_width: int = 32
    condition_width: int = 128
    max_tokens: int = 4096

    @property
    def n_codes(self) -> int:
        """Entries of the codebook."""
        return int(2**self.n_bits)

    def to_json(self) -> str:
        """Return the sizes as JSON."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "CellVQConfig":
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))
