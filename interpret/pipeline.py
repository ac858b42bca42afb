"""The main job: from an AnnData file to a graph that answers with evidence."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ..encoders import slots
from ..encoders.base import Encoding, Progress, read_slots
from ..encoders.cells import Cells, prepare
from ..encoders.counts import normalise
from ..encoders.errors import InputError
from ..encoders.registry import get_encoder
from ..encoders.verbs import encode_cells
from ..kg.build import Parts, add_claims, build_graph, to_json
from ..kg.evidence import Source
from ..kg.graph import Graph
from ..kg.metadata import Metadata, read_metadata
from ..kg.neighbours import find_neighbours
from ..kg.states import find_states
from ..kg.stores import WriteResult, check_address, is_neo4j, open_store
from .claims import by_key, enrichment_claims, marker_claims, module_claims
from .gene_sets import GeneSetLibrary, check_overlap, read_gmt
from .quality import measure_quality
from .variable_genes import select_genes

if TYPE_CHECKING:
    from anndata import AnnData

    from ..kg.attention import GraphAttention

N_TOKENS = 128
"""Genes of highest z-score that a cell is joined to in the graph attention."""

N_VARIABLE = 2000
"""Most variable genes among which those tokens are chosen."""

NO_GENE_SETS = (
    "enrichment skipped: no gene sets given; name GMT files by --gene-sets, such as Hallmark from "
    "MSigDB or Reactome"
)


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
    adapt
        Fit the encoder briefly to the cells, without labels.
    seed
        Of every random choice.
    """

    encoder: str = "cellvq"
    layer: str | None = None
    columns: Mapping[str, str | None] | None = None
    gene_sets: Sequence[str | Path] = ()
    adapt: bool = True
    seed: int = 0


@dataclass(frozen=True)
class BuildResult:
    """What a build did: key of the data set, what the store did, notes for the user."""

    dataset: str
    written: WriteResult
    notes: list[str]


@dataclass(frozen=True)
class _Input:
    """Checked input of a build."""

    name: str
    cells: Cells
    metadata: dict[str, Metadata]
    libraries: list[GeneSetLibrary]
    notes: list[str]
    content_hash: str
    parameters: str


def build(
    data: "AnnData | str | Path",
    *,
    graph: str | Path,
    name: str | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Encode a data set, attach evidence, and write its graph to a store.

    Parameters
    ----------
    data
        AnnData object or path of an ``.h5ad`` file; one that holds an encoding is not encoded
        again.
    graph
        Path of an embedded graph, or address of a Neo4j server. Other data sets in it stay.
    name
        Key of the data set, the file name without its suffix by default.
    options
        Encoder, columns, gene sets, seed.
    progress
        Told how far it is.

    Raises
    ------
    InputError
        The data or the options are wrong; nothing was computed or written.
    StoreError
        The store failed; the graph that was there is as it was.
    """
    options = options or Options()
    progress = progress or _silent
    given = _check_input(data, name, options)
    check_address(graph)
    unchanged = _unchanged(graph, given)
    if unchanged is not None:
        notes = [*given.notes, "the graph holds this data set, built in the same way"]
        return BuildResult(given.name, unchanged, notes)
    built, notes = _build(given, options, progress)
    progress("writing the graph", 0, 1)
    with open_store(graph, mode="w") as store:
        written = store.write(built)
    progress("writing the graph", 1, 1)
    return BuildResult(given.name, written, notes)


def build_tables(
    data: "AnnData | str | Path",
    *,
    name: str | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Return the graph of a data set as tables, without a store; otherwise as :func:`build`."""
    options = options or Options()
    given = _check_input(data, name, options)
    return _build(given, options, progress or _silent)[0]


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


def _check_input(data: "AnnData | str | Path", name: str | None, options: Options) -> _Input:
    """Check everything that can be wrong before anything long is computed."""
    named = [read_gmt(path) for path in options.gene_sets]
    libraries = [by_key(library) for library in named]
    if name is None:
        name = Path(data).stem if isinstance(data, (str, Path)) else "data"
    if not name or ":" in name:
        message = f"the name {name!r} of the data set is empty or holds a colon; give another."
        raise InputError(message)
    cells = prepare(data, layer=options.layer)
    metadata, notes = read_metadata(cells.adata, options.columns or {})
    keys = cells.genes["key"].tolist()
    for library, keyed in zip(named, libraries, strict=True):
        if not set(keys) & {gene for _, genes in keyed.sets.values() for gene in genes}:
            # Said in the names that the user knows, where those share nothing either.
            check_overlap(library, cells.genes["name"].tolist())
            check_overlap(keyed, keys)
    if not libraries:
        notes.append(NO_GENE_SETS)
    used = [found.column for found in metadata.values()]
    parameters = {
        "encoder": options.encoder,
        "adapt": options.adapt,
        "layer": options.layer or "X",
        "seed": options.seed,
        "columns": {field: found.column for field, found in metadata.items()},
        "gene_sets": {library.name: library.version for library in libraries},
    }
    content = cells.content_hash(used)
    if _has_encoding(cells, options):
        content = _hash_with_encoding(content, read_slots(cells.adata, options.encoder))
    return _Input(
        name, cells, metadata, libraries, cells.notes + notes, content, to_json(parameters)
    )


def _has_encoding(cells: Cells, options: Options) -> bool:
    return options.encoder in cells.adata.uns.get(slots.UNS, {})


def _hash_with_encoding(content: str, encoding: Encoding) -> str:
    digest = hashlib.sha256(content.encode())
    for array in (encoding.code, encoding.embedding, encoding.attention.data, encoding.codebook):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _unchanged(graph: str | Path, given: _Input) -> WriteResult | None:
    """Return the state of the store if it holds the very same build, else ``None``."""
    if not is_neo4j(graph) and not Path(graph).exists():
        return None
    start = time.perf_counter()
    with open_store(graph) as store:
        known = store.datasets()
        same = known[
            (known["key"] == given.name)
            & (known["content_hash"] == given.content_hash)
            & (known["parameters"] == given.parameters)
            & (known["code_version"] == version("scypher"))
            & known["complete"].astype(bool)
        ]
        if same.empty:
            return None
        return WriteResult(False, store.counts(), time.perf_counter() - start)


def _build(given: _Input, options: Options, progress: Progress) -> tuple[Graph, list[str]]:
    cells, metadata = given.cells, given.metadata
    notes = list(given.notes)
    if _has_encoding(cells, options):
        encoding = read_slots(cells.adata, options.encoder)
        notes.append("the encoding found in the data was used")
    else:
        encoder = get_encoder(options.encoder, adapt=options.adapt)
        encoding = read_slots(
            encode_cells(cells, encoder, seed=options.seed, progress=progress), encoder.name
        )
    notes += encoding.notes
    progress("neighbours and map", 0, 1)
    neighbours = find_neighbours(encoding.embedding, seed=options.seed)
    states = find_states(encoding.code, neighbours.connectivities, seed=options.seed)
    progress("neighbours and map", 1, 1)
    values = normalise(cells.counts, cells.totals)
    attention = _attend(cells, encoding, metadata, options.seed, progress)
    parts = Parts(given.name, cells, encoding, metadata, states, neighbours, attention)
    source = Source(given.name, given.content_hash, encoding.weights_hash)
    rng = np.random.default_rng(options.seed)
    progress("markers", 0, 1)
    markers, groups = marker_claims(parts, values, source, rng)
    progress("markers", 1, 1)
    progress("modules", 0, 1)
    modules, module_groups = module_claims(parts, values, source, rng)
    progress("modules", 1, 1)
    sizes = {
        "State": states.table["size"].to_numpy(),
        "Module": np.full(len(module_groups), cells.counts.shape[0]),
    }
    if "cell_type" in metadata:
        sizes["CellType"] = np.bincount(
            metadata["cell_type"].values[metadata["cell_type"].values >= 0]
        )
    progress("enrichment", 0, 1)
    enriched = enrichment_claims(parts, groups + module_groups, given.libraries, source, sizes)
    progress("enrichment", 1, 1)
    edges = markers.edges
    marker_table = edges.get(
        ("CellType", "MARKED_BY", "Gene"), edges.get(("State", "MARKED_BY", "Gene"))
    )
    quality = measure_quality(parts, values, marker_table, seed=options.seed)
    parts.properties.update(
        content_hash=given.content_hash,
        encoder=options.encoder,
        parameters=given.parameters,
        quality=to_json(quality),
        notes=to_json(notes),
        code_version=version("scypher"),
    )
    graph = build_graph(parts)
    for claims in (markers, modules, enriched):
        graph = add_claims(graph, claims.nodes, claims.edges)
    return graph, notes


def _attend(
    cells: Cells,
    encoding: Encoding,
    metadata: dict[str, Metadata],
    seed: int,
    progress: Progress,
) -> "GraphAttention":
    """Train graph attention; the cell type is never an input."""
    from ..kg.attention import attend, top_tokens

    values = normalise(cells.counts, cells.totals)
    # Among all genes the highest z-scores are single counts of rare ones: chance, not state.
    variable = np.zeros(values.shape[1], dtype=np.float32)
    variable[select_genes(values, N_VARIABLE)] = 1
    values = sparse.csr_matrix(values @ sparse.diags(variable))
    values.eliminate_zeros()
    mean = np.asarray(values.mean(axis=0)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    present, codes = np.unique(encoding.code, return_inverse=True)
    return attend(
        encoding.embedding,
        tokens=top_tokens(values, n_tokens=N_TOKENS, gene_mean=mean, gene_sd=deviation),
        gene_features=encoding.gene_embedding,
        codes=codes,
        codebook=encoding.codebook[present],
        metadata={
            field: found.values
            for field, found in metadata.items()
            if field != "cell_type" and len(found.labels) > 1
        },
        generator=np.random.default_rng(seed),
        progress=progress,
    )
