"""The main job: from an AnnData file to a graph that answers with evidence."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..encoders.base import Encoding, Progress, read_slots
from ..encoders.cells import prepare
from ..encoders.errors import InputError, StoreBusyError
from ..kg.build import to_json
from ..kg.graph import Graph
from ..kg.metadata import read_metadata
from ..kg.stores import WriteResult, check_address, is_neo4j, open_store
from .assemble import assemble, has_encoding
from .claims import by_key
from .communication.ligand_receptor import locate_pairs, read_pairs
from .excluded import leave_out
from .gene_sets.library import check_overlap, read_gmt
from .networks.regulons import read_regulons
from .options import Given, Options

if TYPE_CHECKING:
    from anndata import AnnData


NO_GENE_SETS = (
    "enrichment skipped: no gene sets given; name GMT files by --gene-sets, such as Hallmark from "
    "MSigDB or Reactome"
)


@dataclass(frozen=True)
class BuildResult:
    """What a build did: key of the data set, what the store did, notes for the user."""

    dataset: str
    written: WriteResult
    notes: list[str]


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
    name = _named(data, name)
    given = _check_input(data, name, options, _excluded(graph, name))
    check_address(graph)
    unchanged = _unchanged(graph, given)
    if unchanged is not None:
        notes = [*given.notes, "the graph holds this data set, built in the same way"]
        return BuildResult(given.name, unchanged, notes)
    built, notes = assemble(given, options, progress)
    progress("writing the graph", 0, 1)
    with open_store(graph, mode="w") as store:
        if tuple(store.excluded_donors(name)) != given.excluded:
            message = (
                f"A donor was removed from {name} while it was built, so that nothing was written; "
                "the donors of before were expected. Build it again."
            )
            raise StoreBusyError(message)
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
    given = _check_input(data, _named(data, name), options)
    return assemble(given, options, progress or _silent)[0]


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


def _named(data: "AnnData | str | Path", name: str | None) -> str:
    """Return the key of the data set, the file name without its suffix by default."""
    if name is None:
        name = Path(data).stem if isinstance(data, (str, Path)) else "data"
    if not name or ":" in name:
        message = f"the name {name!r} of the data set is empty or holds a colon; give another."
        raise InputError(message)
    return name


def _check_input(
    data: "AnnData | str | Path", name: str, options: Options, excluded: Sequence[str] = ()
) -> Given:
    """Check everything that can be wrong before anything long is computed.

    The content hash is that of the cells that are used: without those of excluded donors it is
    another one than that of the whole file.
    """
    named = [read_gmt(path) for path in options.gene_sets]
    libraries = [by_key(library) for library in named]
    pairs = None if options.ligand_receptor is None else read_pairs(options.ligand_receptor)
    regulons = [read_regulons(path) for path in options.regulons]
    columns = options.columns or {}
    if excluded:
        left = leave_out(data, name, excluded, columns)
        data = left.adata
    cells = prepare(data, layer=options.layer)
    metadata, notes = read_metadata(cells.adata, columns, strict=not excluded)
    if excluded:
        cells = replace(cells, source=left.source)
        notes.append(left.note)
    keys = cells.genes["key"].tolist()
    asked = [(library, "gene-set library") for library in named]
    asked += [(resource.library(), "regulons") for resource in regulons]
    for library, kind in asked:
        keyed = by_key(library)
        if not keyed.genes() & set(keys):
            # Said in the names that the user knows, where those share nothing either.
            check_overlap(library, cells.genes["name"].tolist(), kind=kind)
        check_overlap(keyed, keys, kind=kind)
    if not libraries:
        notes.append(NO_GENE_SETS)
    if pairs is not None:
        locate_pairs(pairs, cells.genes["symbol"].tolist())
    used = [found.column for found in metadata.values()]
    parameters = {
        "encoder": options.encoder,
        "adapt": options.adapt,
        "attention": options.attention,
        "faithfulness": options.faithfulness,
        "layer": options.layer or "X",
        "seed": options.seed,
        "columns": {field: found.column for field, found in metadata.items()},
        "gene_sets": {library.name: library.version for library in libraries},
        "regulons": {resource.name: resource.version for resource in regulons},
        "ligand_receptor": {} if pairs is None else {pairs.name: pairs.version},
    }
    content = cells.content_hash(used)
    if has_encoding(cells, options):
        content = _hash_with_encoding(content, read_slots(cells.adata, options.encoder))
    return Given(
        *(name, cells, metadata, libraries, cells.notes + notes, content, to_json(parameters)),
        pairs=pairs,
        regulons=regulons,
        excluded=tuple(excluded),
    )


def _hash_with_encoding(content: str, encoding: Encoding) -> str:
    digest = hashlib.sha256(content.encode())
    for array in (encoding.code, encoding.embedding, encoding.attention.data, encoding.codebook):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _excluded(graph: str | Path, name: str) -> list[str]:
    """Return the tokens of the donors that must stay out of a data set."""
    if not is_neo4j(graph) and not Path(graph).exists():
        return []
    with open_store(graph) as store:
        return store.excluded_donors(name)


def _unchanged(graph: str | Path, given: Given) -> WriteResult | None:
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
