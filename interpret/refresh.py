"""Build a data set of a graph again, with the parameters that it was built with."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..encoders.base import Progress
from ..encoders.errors import InputError
from ..kg.stores import open_store
from .gene_sets import immune_textbook, read_gmt
from .options import Options
from .pipeline import BuildResult, build


def refresh(
    path: str | Path,
    *,
    graph: str | Path,
    dataset: str | None = None,
    gene_sets: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> BuildResult:
    """Build a data set again from its file, so that nothing in it is stale.

    Encoder, layer, columns, seed and the rest are those that the graph remembers. Cells of donors
    that were removed stay out.

    Parameters
    ----------
    path
        The ``.h5ad`` file.
    graph
        Path of an embedded graph or address of a Neo4j server.
    dataset
        Key of the data set, the file name without its suffix by default.
    gene_sets
        The GMT files it was built with; the graph has their names and hashes only.
    progress
        Told how far it is.

    Raises
    ------
    InputError
        The graph has no such data set, its parameters cannot be read, or the gene sets are not
        those that it was built with.
    StoreError
        The store failed; the graph that was there is as it was.
    """
    name = Path(path).stem if dataset is None else dataset
    with open_store(graph) as store:
        known = store.datasets()
    found = known[known["key"] == name]
    if not len(found):
        message = (
            f"{graph} has no data set {name!r}; one of its data sets was expected: "
            f"{', '.join(known['key']) or 'none'}. Name it by --dataset."
        )
        raise InputError(message)
    options = _options(name, found["parameters"].iloc[0], gene_sets)
    return build(path, graph=graph, name=name, options=options, progress=progress)


def _options(dataset: str, text: str, gene_sets: Sequence[str | Path]) -> Options:
    """Return the options that parameters say."""
    try:
        given = json.loads(text)
        versions = dict(given["gene_sets"])
        options = Options(
            encoder=given["encoder"],
            layer=None if given["layer"] == "X" else given["layer"],
            columns=given["columns"],
            gene_sets=_libraries(dataset, versions, gene_sets),
            adapt=given["adapt"],
            attention=given["attention"],
            faithfulness=given["faithfulness"],
            seed=given["seed"],
        )
    except (ValueError, KeyError, TypeError) as error:
        message = (
            f"The graph does not say how {dataset} was built ({error!r}); the parameters of a "
            "build were expected. Build it again with `scypher build`."
        )
        raise InputError(message) from error
    return options


def _libraries(
    dataset: str, versions: dict[str, str], gene_sets: Sequence[str | Path]
) -> tuple[Path, ...]:
    """Return the files of the libraries, in the order of the parameters."""
    files = [Path(file) for file in (*gene_sets, immune_textbook())]
    named = {
        (library.name, library.version): file for file in files for library in [read_gmt(file)]
    }
    missing = [name for name, version in versions.items() if (name, version) not in named]
    if missing:
        listed = ", ".join(f"{name} (SHA-256 {versions[name]}…)" for name in missing)
        message = (
            f"{dataset} was built with gene sets that were not given: {listed}; the same files "
            "were expected. Name each by --gene-sets, or build with others by `scypher build`."
        )
        raise InputError(message)
    return tuple(named[name, version] for name, version in versions.items())
