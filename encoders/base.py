"""The encoder contract: what every encoder takes and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from . import slots
from .cells import Cells
from .errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

Progress = Callable[[str, int, int], None]
"""Called with (what is done, steps done, steps in all)."""

FORMAT = 1


@dataclass(frozen=True)
class Encoding:
    """What an encoder says of ``n_cells`` cells and ``n_genes`` genes.

    Attributes
    ----------
    code, second
        (n_cells,) int, first and second choice in the codebook.
    probability, entropy
        (n_cells,) soft probability of the code in [0, 1]; entropy of the assignment, nats.
    embedding
        (n_cells, width) float32.
    gene_embedding
        (n_genes, gene_width) float32, zeros for genes the encoder does not read.
    attention
        CSR (n_cells, n_genes) float32, at most a bounded number of entries a row: attention times
        the number of genes read in the cell, so that 1 means uniform.
    codebook
        (n_codes, code_width) float32, unit rows.
    bits
        (n_codes,) binary vector of each code as text; empty text where codes have none.
    weights_hash
        SHA-256 of the weights in use.
    parameters
        Plain values that reproduce the run.
    dropped_genes
        Names of genes that the encoder does not read.
    notes
        Sentences for the user.
    """

    code: np.ndarray
    second: np.ndarray
    probability: np.ndarray
    entropy: np.ndarray
    embedding: np.ndarray
    gene_embedding: np.ndarray
    attention: sparse.csr_matrix
    codebook: np.ndarray
    bits: list[str]
    weights_hash: str
    parameters: dict[str, Any]
    dropped_genes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Recode(Protocol):
    """A fitted encoder that is asked again, nothing of it fitted anew."""

    def __call__(self, counts: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
        """Return the code of each cell, (n,), from CSR (n, n_genes) counts and its depth (n,)."""
        ...


class Encoder(ABC):
    """An encoder of cells.

    Subclasses implement :meth:`_encode`; :meth:`encode` checks what comes back. A cell's result
    must not depend on the other cells of its batch.
    """

    name: str
    """Short name, a valid identifier: it is part of every slot."""

    fitted: Recode | None = None
    """What the last :meth:`encode` used, to encode changed counts again; ``None`` if it cannot."""

    def encode(self, cells: Cells, *, seed: int = 0, progress: Progress | None = None) -> Encoding:
        """Encode cells.

        Parameters
        ----------
        cells
            Checked data.
        seed
            Of every random choice.
        progress
            Told how far it is.

        Raises
        ------
        InputError
            The encoder reads none of the genes, or returned something that breaks the contract.
        """
        encoding = self._encode(cells, seed, progress or (lambda what, done, total: None))
        check_encoding(encoding, cells.counts.shape)
        return encoding

    @abstractmethod
    def _encode(self, cells: Cells, seed: int, progress: Progress) -> Encoding:
        """Return the encoding of checked cells."""


def check_encoding(encoding: Encoding, shape: tuple[int, int]) -> None:
    """Raise :class:`InputError` when an encoding does not fit the data or the contract."""
    n_cells, n_genes = shape
    expected = {
        "code": (n_cells,),
        "second": (n_cells,),
        "probability": (n_cells,),
        "entropy": (n_cells,),
        "attention": (n_cells, n_genes),
    }
    for name, wanted in expected.items():
        given = getattr(encoding, name).shape
        if given != wanted:
            message = f"encoding: {name} has shape {given}, expected {wanted}."
            raise InputError(message)
    if encoding.embedding.shape[0] != n_cells or encoding.gene_embedding.shape[0] != n_genes:
        message = (
            f"encoding: {encoding.embedding.shape[0]} cell and {encoding.gene_embedding.shape[0]} "
            f"gene embeddings for {n_cells} cells and {n_genes} genes."
        )
        raise InputError(message)
    if not np.isfinite(encoding.embedding).all() or not np.isfinite(encoding.attention.data).all():
        message = "encoding: embedding or attention holds NaN or infinite values."
        raise InputError(message)
    if encoding.code.min() < 0 or encoding.code.max() >= len(encoding.codebook):
        message = f"encoding: codes lie outside the codebook of {len(encoding.codebook)} entries."
        raise InputError(message)


def write_slots(adata: "AnnData", name: str, encoding: Encoding) -> None:
    """Write an encoding into its slots (see :mod:`scypher.encoders.slots`)."""
    adata.obs[slots.code(name)] = pd.Categorical(encoding.code.astype(str))
    adata.obs[slots.code_second(name)] = pd.Categorical(encoding.second.astype(str))
    adata.obs[slots.code_probability(name)] = encoding.probability.astype(np.float32)
    adata.obs[slots.code_entropy(name)] = encoding.entropy.astype(np.float32)
    adata.obsm[slots.embedding(name)] = encoding.embedding.astype(np.float32)
    adata.varm[slots.gene_embedding(name)] = encoding.gene_embedding.astype(np.float32)
    adata.layers[slots.attention(name)] = encoding.attention
    adata.uns[slots.UNS] = {
        **adata.uns.get(slots.UNS, {}),
        "format": FORMAT,
        name: {
            "parameters": encoding.parameters,
            "weights_hash": encoding.weights_hash,
            "codebook": encoding.codebook,
            "bits": np.array(encoding.bits, dtype=object),
            "dropped_genes": np.array(encoding.dropped_genes, dtype=object),
            "notes": np.array(encoding.notes, dtype=object),
        },
    }


def read_slots(adata: "AnnData", name: str) -> Encoding:
    """Read an encoding back from its slots, whoever wrote them.

    Raises
    ------
    InputError
        A slot is missing; the message names all that are.
    """
    places = {
        "obs": [slots.code(name)],
        "obsm": [slots.embedding(name)],
        "layers": [slots.attention(name)],
    }
    missing = [
        f"{place}[{key!r}]"
        for place, keys in places.items()
        for key in keys
        if key not in getattr(adata, place)
    ]
    info = adata.uns.get(slots.UNS, {}).get(name)
    if info is None or "codebook" not in info:
        missing.append(f"uns[{slots.UNS!r}][{name!r}]['codebook']")
    if missing or info is None:
        message = f"the data hold no encoding {name!r}: {', '.join(missing)} missing. Encode first."
        raise InputError(message)
    obs = adata.obs
    try:
        code = obs[slots.code(name)].astype(int).to_numpy()
    except (TypeError, ValueError) as error:
        message = (
            f"obs[{slots.code(name)!r}] holds values that are no numbers ({error}); expected the "
            "index of a codebook entry for every cell."
        )
        raise InputError(message) from error
    codebook = np.asarray(info["codebook"], dtype=np.float32)
    n = adata.n_obs
    second = slots.code_second(name)
    encoding = Encoding(
        code=code,
        second=obs[second].astype(int).to_numpy() if second in obs else code,
        probability=_column(obs, slots.code_probability(name), n, 1.0),
        entropy=_column(obs, slots.code_entropy(name), n, 0.0),
        embedding=np.asarray(adata.obsm[slots.embedding(name)], dtype=np.float32),
        gene_embedding=np.asarray(
            adata.varm.get(slots.gene_embedding(name), np.zeros((adata.n_vars, 1))),
            dtype=np.float32,
        ),
        attention=sparse.csr_matrix(adata.layers[slots.attention(name)], dtype=np.float32),
        codebook=codebook,
        bits=[str(value) for value in info.get("bits", [""] * len(codebook))],
        weights_hash=str(info.get("weights_hash", "unknown")),
        parameters=dict(info.get("parameters", {})),
        dropped_genes=[str(value) for value in info.get("dropped_genes", [])],
        notes=[str(value) for value in info.get("notes", [])],
    )
    check_encoding(encoding, adata.shape)
    return encoding


def _column(obs: pd.DataFrame, name: str, n: int, default: float) -> np.ndarray:
    if name not in obs:
        return np.full(n, default, np.float32)
    return obs[name].to_numpy(np.float32)
