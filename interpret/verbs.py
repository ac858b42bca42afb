"""The verbs of the main job: build a graph, report on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..encoders.base import Progress
from ..kg.stores import open_store
from . import pipeline
from .options import Options
from .report import write_report

if TYPE_CHECKING:
    from anndata import AnnData


def build(
    data: "AnnData | str | Path",
    *,
    graph: str | Path,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pipeline.BuildResult:
    """Build the graph of a data set: encode, attach evidence, write.

    Parameters
    ----------
    data
        AnnData object or path of an ``.h5ad`` file.
    graph
        Path of an embedded graph or address of a Neo4j server.
    name
        Key of the data set, the file name without its suffix by default.
    progress
        Told how far it is.
    **options
        Fields of :class:`scypher.interpret.options.Options`.

    Raises
    ------
    InputError
        The data or the options are wrong; nothing was written.
    StoreError
        The store failed; the graph that was there is as it was.
    """
    chosen = Options(**options)
    return pipeline.build(data, graph=graph, name=name, options=chosen, progress=progress)


def report(*, graph: str | Path, out: str | Path, dataset: str | None = None) -> Path:
    """Write the report of a graph as one HTML file and return its path.

    Parameters
    ----------
    graph
        Path of an embedded graph or address of a Neo4j server.
    out
        File to write.
    dataset
        Key of the data set to report on.

    Raises
    ------
    InputError
        There is no such graph or data set, or no folder to write to.
    """
    with open_store(graph) as store:
        return write_report(store, out, dataset=dataset)
