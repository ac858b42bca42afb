"""Build a data set of a graph again, with the parameters that it was built with."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..encoders.base import Progress
from ..encoders.errors import InputError
from ..kg.stores import open_store
from .communication.ligand_receptor import Pairs, read_pairs
from .gene_sets.library import GeneSetLibrary, immune_textbook, read_gmt
from .networks.regulons import Regulons, read_regulons
from .options import Options
from .pipeline import BuildResult, build


@dataclass(frozen=True)
class _Files:
    """Files given by the user, by kind."""

    gene_sets: tuple[str | Path, ...]
    ligand_receptor: tuple[str | Path, ...]
    regulons: tuple[str | Path, ...]


def refresh(
    path: str | Path,
    *,
    graph: str | Path,
    dataset: str | None = None,
    gene_sets: Sequence[str | Path] = (),
    ligand_receptor: str | Path | None = None,
    regulons: Sequence[str | Path] = (),
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
    ligand_receptor, regulons
        The tables it was built with, if any.
    progress
        Told how far it is.

    Raises
    ------
    InputError
        The graph has no such data set, its parameters cannot be read, or the files are not those
        that it was built with.
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
    given = _Files(
        tuple(gene_sets), () if ligand_receptor is None else (ligand_receptor,), tuple(regulons)
    )
    options = _options(name, found["parameters"].iloc[0], given)
    return build(path, graph=graph, name=name, options=options, progress=progress)


def _options(dataset: str, text: str, files: _Files) -> Options:
    """Return the options that parameters say."""
    try:
        given = json.loads(text)
        pairs = _files(
            dataset,
            given.get("ligand_receptor", {}),
            files.ligand_receptor,
            read=read_pairs,
            option="--ligand-receptor",
        )
        options = Options(
            encoder=given["encoder"],
            layer=None if given["layer"] == "X" else given["layer"],
            columns=given["columns"],
            gene_sets=_files(
                dataset,
                given["gene_sets"],
                (*files.gene_sets, immune_textbook()),
                read=read_gmt,
                option="--gene-sets",
            ),
            ligand_receptor=pairs[0] if pairs else None,
            regulons=_files(
                dataset,
                given.get("regulons", {}),
                files.regulons,
                read=read_regulons,
                option="--regulons",
            ),
            adapt=given["adapt"],
            attention=given["attention"],
            faithfulness=given["faithfulness"],
            seed=given["seed"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = (
            f"The graph does not say how {dataset} was built ({error!r}); the parameters of a "
            "build were expected. Build it again with `scypher build`."
        )
        raise InputError(message) from error
    return options


def _files(
    dataset: str,
    versions: Mapping[str, str],
    files: Iterable[str | Path],
    *,
    read: Callable[[Path], GeneSetLibrary | Pairs | Regulons],
    option: str,
) -> tuple[Path, ...]:
    """Return the files that the parameters name, in their order."""
    found = [(Path(file), read(Path(file))) for file in files]
    named = {(table.name, table.version): file for file, table in found}
    missing = [name for name, version in versions.items() if (name, version) not in named]
    if missing:
        listed = ", ".join(f"{name} (SHA-256 {versions[name]}…)" for name in missing)
        message = (
            f"{dataset} was built with files that were not given: {listed}; the same files were "
            f"expected. Name each by {option}, or build with others by `scypher build`."
        )
        raise InputError(message)
    return tuple(named[name, version] for name, version in versions.items())
