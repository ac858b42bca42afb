"""Graphs of format 1, which had one version and no ledger, as pieces and a ledger."""

from pathlib import Path

from ...encoders.errors import InputError, StoreError
from ..door.statistics import measure
from ..graph import Graph
from ..schema import SCHEMA_VERSION
from ..versions.ledger import Entry, Ledger, Version
from ..versions.pieces import split


def read_pieces(tables: Path) -> dict[str, tuple[str, Graph]]:
    """Return data set -> hash and piece.

    Raises
    ------
    StoreError
        The tables are damaged.
    """
    try:
        found = split(Graph.from_parquet(tables))
    except (OSError, ValueError, InputError) as error:
        message = (
            f"The tables of the graph in {tables} are damaged ({error}); those of a graph of "
            "format 1 were expected. Remove the graph and build it again."
        )
        raise StoreError(message) from error
    return {dataset: (piece.content_hash(), piece) for dataset, piece in found.items()}


def read_ledger(tables: Path, times: dict[str, str]) -> Ledger:
    """Return the ledger of the one version; ``times`` says when its data sets were written."""
    pieces = read_pieces(tables)
    if not pieces:
        return Ledger()
    order = sorted(pieces, key=lambda dataset: times[dataset])
    entries = tuple(Entry(dataset, pieces[dataset][0], times[dataset]) for dataset in order)
    version = Version(
        number=1,
        time=max(times[dataset] for dataset in order),
        action=f"write {', '.join(order)}",
        code_version="",
        schema=SCHEMA_VERSION,
        entries=entries,
        counts=Graph.from_parquet(tables).counts(),
    )
    return Ledger((version,), {hash_: measure(piece).to_dict() for hash_, piece in pieces.values()})
