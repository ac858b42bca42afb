"""All that a graph knows of a cell or a state, in one call, each claim with its evidence."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from ...kg.stores import open_store
from ...kg.stores.base import Store
from .cell import gather_cell
from .gathered import Explanation
from .state import gather_state


def explain_cell(
    graph: str | Path | Store, cell: str, *, dataset: str = "", n_genes: int = 10
) -> Explanation:
    """Gather what a graph knows of a cell: code, states, labels, genes, and what they mark.

    Parameters
    ----------
    graph
        Path of an embedded graph, address of a Neo4j server, or an open store.
    cell
        Key or barcode of the cell.
    dataset
        Key of a data set, where several have the barcode.
    n_genes
        Top attended and top expressed genes to tell of.

    Returns
    -------
    Explanation
        Frames ``cell``; ``attended`` (by the encoder), ``graph_attended`` (in the graph) and
        ``expressed``, with ``gene``, ``symbol`` and ``value`` (1 = uniform; log1p of counts per
        10,000); ``markers`` (of its state, those among these genes), ``modules`` (of these genes),
        ``gene_sets``, ``neighbours`` and ``signals`` (of its state). What belongs to genes
        or a state that the cell lacks is left out.

    Raises
    ------
    InputError
        There is no such graph or cell, or several have that barcode.
    StoreError
        The store failed.
    """
    return _opened(graph, lambda store: gather_cell(store, cell, dataset=dataset, n_genes=n_genes))


def explain_state(
    graph: str | Path | Store, state: str, *, dataset: str = "", n_genes: int = 10
) -> Explanation:
    """Gather what a graph knows of a state: cells, markers, programs, neighbours, changes.

    Parameters
    ----------
    graph
        Path of an embedded graph, address of a Neo4j server, or an open store.
    state
        Key or name of the state (S1).
    dataset
        Key of a data set, where several have a state of that name.
    n_genes
        Best markers and shifted genes to tell of.

    Returns
    -------
    Explanation
        Frames ``state``, ``composition``, ``markers``, ``evidence`` (of these markers),
        ``modules`` (that hold them), ``gene_sets``, ``neighbours``, ``signals`` (ligands and
        receptors, from it and to it), ``intermediate``, ``shifts`` and ``flips``.

    Raises
    ------
    InputError
        There is no such graph or state, or several have that name.
    StoreError
        The store failed.
    """
    return _opened(
        graph, lambda store: gather_state(store, state, dataset=dataset, n_genes=n_genes)
    )


def _opened(graph: str | Path | Store, gather: Callable[[Store], Explanation]) -> Explanation:
    with nullcontext(graph) if isinstance(graph, Store) else open_store(graph) as store:
        return gather(store)
