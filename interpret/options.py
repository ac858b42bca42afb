"""What a user chooses about a build, and its input once it is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..encoders.cells import Cells
from ..kg.metadata import Metadata
from .communication.ligand_receptor import Pairs
from .gene_sets.library import GeneSetLibrary
from .networks.regulons import Regulons


@dataclass(frozen=True)
class Options:
    """What a user chooses about a build.

    Attributes
    ----------
    encoder
        Name of an encoder or folder with CellVQ weights; used unless the data hold an encoding.
    layer
        Layer with raw counts, ``raw``, or ``X`` when not given.
    columns
        Field of :data:`scypher.kg.schema.METADATA` -> column of ``obs``.
    gene_sets
        GMT files.
    ligand_receptor
        Table of ligands and receptors (TSV or CSV), for communication between states.
    regulons
        Tables of transcription factors and their targets (TSV or CSV).
    adapt
        Fit the encoder briefly to the cells, without labels.
    attention
        ``hetero``: graph attention of cells to genes, codes and metadata, whose faithfulness can be
        tested; ``clique``: attention within every cell among its genes, as CellVQ-Graph was
        released.
    faithfulness
        Test what the attention of the graph explains; untested, it is only ``associated``.
    seed
        Of every random choice.
    """

    encoder: str = "cellvq"
    layer: str | None = None
    columns: Mapping[str, str | None] | None = None
    gene_sets: Sequence[str | Path] = ()
    ligand_receptor: str | Path | None = None
    regulons: Sequence[str | Path] = ()
    adapt: bool = True
    attention: Literal["hetero", "clique"] = "hetero"
    faithfulness: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Given:
    """Checked input of a build."""

    name: str
    cells: Cells
    metadata: dict[str, Metadata]
    libraries: list[GeneSetLibrary]
    notes: list[str]
    content_hash: str
    parameters: str
    pairs: Pairs | None = None
    """Ligands and receptors."""

    regulons: Sequence[Regulons] = ()
    excluded: tuple[str, ...] = ()
    """Tokens of the donors whose cells were left out."""
