"""The database of the next version, made beside the current one: by a load, or by a change.

A load writes all tables into an empty database. A change copies the current database and touches
only what differs. A row costs more that way, and what is deleted may stay in free parts of the
files: it is for small differences, of graphs that forget nothing.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..graph import Graph
from ..search import INDEX_NAMES, index_embedded
from ..versions.ledger import Ledger, Version
from ..versions.pieces import union
from ..versions.plan import Archive
from . import bulk, jvm
from .change import Change
from .files import sync_folder, sync_tree
from .manifest import Manifest, database_name

LARGEST_CHANGE = 0.25
"""Share of the rows of a graph above which a change gains too little over a load of everything."""


MOST_VECTORS = 30_000
"""Vectors of a label above which their index is left out: building it would hold up the write."""


def make_database(
    place: Path, old: Manifest | None, ledger: Ledger, *, new: Mapping[str, Graph], archive: Archive
) -> str:
    """Make the database of the last version of ``ledger``, proved and on the disk.

    Parameters
    ----------
    place
        Folder of the graph.
    old
        What the graph is so far.
    ledger
        Ledger with the next version at its end.
    new
        Pieces that the archive does not need to have, by hash.
    archive
        Returns tables of the other pieces.

    Returns
    -------
    str
        Name of its folder.

    Raises
    ------
    StoreError
        The counts by traversal differ from those of the tables.
    """
    before, after = old.ledger.current if old else None, ledger.versions[-1]
    # Never the path of an earlier database: this process may still hold that open.
    name = f"{database_name(after.number)}-{secrets.token_hex(3)}"
    building = place / f"{name}.building"
    times = {entry.dataset: entry.time for entry in after.entries}
    if old is not None and before is not None and may_change(old, ledger):
        expected = after.counts
        shutil.copytree(place / old.database, building, ignore=shutil.ignore_patterns("*.lck"))
        with jvm.open_writable(building) as database:
            _drop_search(database.engine)
            Change(before, after, archive, new).apply(database.engine, times)
            _index_search(database.engine)
    else:
        graph = _union(after, new, archive)
        expected = graph.counts()
        with jvm.create_database(building) as database:
            bulk.declare(database.engine)
            bulk.load(database.engine, graph, times)
            _index_search(database.engine)
    with ThreadPoolExecutor(1) as worker:
        synced = worker.submit(sync_tree, building)
        # Proved on what is in the files, not on what the engine still remembers.
        with jvm.open_read_only(building) as database:
            bulk.verify(database.engine, expected)
        synced.result()
    os.rename(building, place / name)
    sync_folder(place)
    return name


def may_change(old: Manifest, ledger: Ledger) -> bool:
    """Return whether a change of the old database is allowed, and faster than a load."""
    before, after = old.ledger.current, ledger.versions[-1]
    if old.tables is not None or before is None or before.schema != after.schema:
        return False
    if any(
        was.readable and not now.readable
        for was, now in zip(old.ledger.versions, ledger.versions, strict=False)
    ):
        return False
    rows: dict[str, int] = {
        piece: sum(statistics["rows"].values())
        for piece, statistics in (old.ledger.statistics | ledger.statistics).items()
    }
    differing = set(before.pieces.items()) ^ set(after.pieces.items())
    return sum(rows[piece] for _, piece in differing) < LARGEST_CHANGE * sum(after.counts.values())


def _drop_search(engine: Any) -> None:
    """Drop the search indexes: they are quicker made anew than kept while much changes."""
    for name in INDEX_NAMES:
        engine.command("sql", f"DROP INDEX {name} IF EXISTS")


def _index_search(engine: Any) -> None:
    index_embedded(
        lambda text: engine.query("opencypher", text, {}).to_list(),
        lambda text: engine.command("sql", text),
        most_vectors=MOST_VECTORS,
    )


def _union(version: Version, new: Mapping[str, Graph], archive: Archive) -> Graph:
    pieces = [
        new[entry.piece]
        if entry.piece in new
        else Graph.from_tables(archive(entry.piece, None, None))
        for entry in version.entries
    ]
    return union(pieces) if pieces else Graph()
