"""The Neo4j store: a server over Bolt, with versions and archive inside the database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ...encoders.errors import InputError, StoreError
from ..door import Budget, Statistics
from ..graph import Graph, records
from ..search import index_neo4j
from ..versions.ledger import Ledger
from ..versions.pieces import split_by_hash
from ..versions.plan import Plan, now
from . import neo4j_texts as texts
from .base import DATASET_COLUMNS, Store, WriteResult, require_datasets
from .login import Login
from .neo4j_apply import Writer
from .neo4j_archive import Archive, Record
from .neo4j_reading import Reader
from .neo4j_session import Connection
from .neo4j_values import read_only

__all__ = ["Login", "Neo4jStore"]


@dataclass(frozen=True)
class _Write:
    """A write that is going on: the ledger before it, and what tells whether the lock is held."""

    record: Record
    alive: Callable[[], None]


class Neo4jStore(Store):
    """A graph in a database of Neo4j (5.23 or newer).

    A write sends what differs. While it goes on, and after it broke off, readers are told so
    (:class:`~scypher.encoders.errors.StoreBusyError`); the next writer completes what broke off
    before it does anything else.

    Nodes of other programs stay, also those of the same labels, which have no ``key``; what leads
    from them to nodes of the graph goes with these. A graph that an older Scypher wrote has no
    ledger: it can be read, and is to be built again into an empty database before it is written.

    Parameters
    ----------
    address
        Such as ``bolt://host:7687`` or ``neo4j+s://host``.
    login
        User and password; no user means no login.
    database
        Name of the database.
    mode
        ``"r"`` to query, ``"w"`` to write too.
    retry_seconds
        How long a transaction is repeated after transient errors.

    Raises
    ------
    InputError
        The address is malformed.
    StoreUnavailableError
        The server cannot be reached, is too old, or refuses the login or the database.
    StoreError
        The graph there was written by a newer Scypher, or is to be written and is read-only.
    """

    lock_seconds = 10.0
    """How long a write waits for another one to end."""

    def __init__(
        self,
        address: str,
        *,
        login: Login,
        database: str = "neo4j",
        mode: Literal["r", "w"] = "r",
        retry_seconds: float = 30.0,
    ) -> None:
        self.address = address
        self.database = database
        self.mode = mode
        self._connection = Connection(
            address, login=login, database=database, retry_seconds=retry_seconds
        )
        self._archive = Archive(self._connection)
        self._now: _Write | None = None
        self._known_statistics: Statistics | None = None
        try:
            self._reader = Reader(self._connection, self._archive.record().stamp)
            if mode == "w":
                self._refuse_read_only()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        self._connection.close()

    def statistics(self) -> Statistics:
        """Return rows and degrees of the graph, as they were when it was last seen to change."""
        if self._known_statistics is None:
            self._known_statistics = super().statistics()
        return self._known_statistics

    def datasets(self) -> pd.DataFrame:
        """Return one row per data set; ``complete`` is false during a write and if it broke off.

        Columns: ``key``, ``content_hash``, ``parameters`` (JSON), ``code_version``, ``complete``.
        """
        record = self._archive.record()
        rows = {row["key"]: row for row in self._connection.read(texts.DATASETS)}
        half = record.changing()
        for dataset, piece in half.items():
            if dataset not in rows:
                table = self._tables(piece, ["Dataset"])["Dataset"]
                rows[dataset] = records(table)[0]
        found = [rows[key] | {"complete": key not in half} for key in sorted(rows)]
        return pd.DataFrame(found, columns=DATASET_COLUMNS)

    def counts(self) -> dict[str, int]:
        """Return rows per table, counted in the engine; tables without rows are left out."""
        rows = self._reader.at_rest(
            lambda run: {
                name: int(run.run(text).single(strict=True)["n"])
                for name, text in texts.counts().items()
            }
        )
        return {name: count for name, count in rows.items() if count}

    def adopt(self, graph: Graph, *, action: str | None = None) -> WriteResult:
        """Take over a graph that ``neo4j-admin database import`` brought into the database.

        Constraints, ledger and archive are made and the rows counted, as if the graph had been
        written over Bolt. Repeating it after it broke off completes it.

        Parameters
        ----------
        graph
            The graph that :func:`~scypher.kg.stores.neo4j_import.write_import_files` was given.
        action
            What the ledger says was done; ``import <data sets>`` by default.

        Raises
        ------
        InputError
            The graph holds no data set, or the database has a ledger already.
        StoreError
            The store was opened for reading, or the database holds other rows than the graph.
        """
        started = time.monotonic()
        datasets = require_datasets(graph)
        self._refuse_reader()
        hashes, pieces = split_by_hash(graph)
        with self._writing() as ledger:
            if ledger.versions:
                message = (
                    f"{self.address} has a graph with versions already; a database that was "
                    "imported and not written since was expected. Use write()."
                )
                raise InputError(message)
            self._require_only(datasets)
            assert self._now is not None
            ledger = Plan(ledger, self._tables, pieces).next(
                ledger.written(hashes, now()), action or f"import {', '.join(datasets)}"
            )
            writer = Writer(self._connection, self._archive, pieces=pieces, alive=self._now.alive)
            writer.restore_lists(graph)
            writer.prove(ledger, datasets)
            writer.date(ledger)
            index_neo4j(self._connection.read, self._connection.write)
            self._archive.store(pieces, set())
            self._archive.settle(ledger, self._archive.begin())
        counts = ledger.current.counts if ledger.current else {}
        return WriteResult(True, counts, time.monotonic() - started)

    def _answer(self, cypher: str, parameters: dict[str, Any], budget: Budget) -> pd.DataFrame:
        stamp = self._reader.stamp
        answer = self._reader.answer(cypher, parameters, budget)
        if stamp != self._reader.stamp:
            self._known_statistics = None
        return answer

    def _ledger(self) -> Ledger:
        return self._archive.record().ledger

    def _tables(
        self, piece: str, names: list[str] | None = None, columns: list[str] | None = None
    ) -> dict[str, pd.DataFrame]:
        return self._archive.tables(piece, names, columns)

    @contextmanager
    def _writing(self) -> Iterator[Ledger]:
        self._make_schema()
        with self._connection.lock(self.lock_seconds) as alive:
            record = self._archive.record()
            if record.pending is not None:
                record = self._complete(record, alive)
            self._archive.drop_except(record.ledger.kept_pieces())
            self._now = _Write(record, alive)
            try:
                yield record.ledger
            finally:
                self._now = self._known_statistics = None

    def _commit(self, ledger: Ledger, pieces: dict[str, Graph]) -> None:
        assert self._now is not None, "only inside of _writing"
        old, stamp = self._now.record.ledger, self._now.record.stamp
        if ledger.current is None:
            return
        if stamp is not None and _content(old) == _content(ledger):
            self._archive.settle(ledger, stamp)
        else:
            self._refuse_unknown(old)
            self._archive.store(pieces, old.kept_pieces())
            stamp = self._archive.announce(ledger)
            self._apply(old, ledger, pieces, alive=self._now.alive, stamp=stamp, known=True)
        self._archive.drop_except(ledger.kept_pieces())

    def _complete(self, record: Record, alive: Callable[[], None]) -> Record:
        """Complete a write that broke off; what it needs was in the archive before it began."""
        pending, stamp = record.pending, record.stamp
        assert pending is not None
        assert stamp is not None
        self._apply(record.ledger, pending, {}, alive=alive, stamp=stamp, known=False)
        return self._archive.record()

    def _apply(
        self,
        old: Ledger,
        new: Ledger,
        pieces: dict[str, Graph],
        *,
        alive: Callable[[], None],
        stamp: int,
        known: bool,
    ) -> None:
        """Turn the graph of one ledger into that of another, count it and make that the ledger."""
        writer = Writer(self._connection, self._archive, pieces=pieces, alive=alive)
        changed = writer.apply(old, new, known=known)
        writer.prove(new, changed)
        writer.date(new)
        index_neo4j(self._connection.read, self._connection.write)
        self._archive.settle(new, stamp)

    def _make_schema(self) -> None:
        """Make the constraints and indexes that are missing, before there is anything to index."""
        there = {row["name"] for row in self._connection.read(texts.INDEXES)}
        missing = [text for name, text in texts.schema_statements().items() if name not in there]
        for text in missing:
            self._connection.write(text)
        if missing:
            self._connection.read(texts.AWAIT_INDEXES)

    def _require_only(self, datasets: list[str]) -> None:
        """Raise unless the database holds these data sets and no other."""
        found = {row["key"] for row in self._connection.read(texts.DATASETS)}
        if found != set(datasets):
            message = (
                f"{self.address} holds the data sets {', '.join(sorted(found)) or 'none'} where "
                f"{', '.join(datasets)} were expected. Give the graph that was imported."
            )
            raise StoreError(message)

    def _refuse_unknown(self, old: Ledger) -> None:
        """Refuse to write beside data sets that no ledger knows."""
        if old.versions:
            return
        if found := [row["key"] for row in self._connection.read(texts.DATASETS)]:
            message = (
                f"{self.address} holds {', '.join(sorted(found))} without a ledger, written by an "
                "older Scypher or imported in bulk. It can be read; to write, take over an import "
                "with adopt(), or empty the database and build the data sets again."
            )
            raise StoreError(message)

    def _refuse_read_only(self) -> None:
        found = self._connection.read(texts.ACCESS, database=self.database)
        if any(row["access"] == "read-only" for row in found):
            raise read_only(self.address, self.database)


def _content(ledger: Ledger) -> list[tuple[str, str]]:
    return [(entry.dataset, entry.piece) for entry in ledger.entries]
