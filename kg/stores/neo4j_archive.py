"""Ledger and archive of a graph inside its Neo4j database.

``(:ScypherLedger {json, pending, stamp})``
    ``json`` is the ledger as it was last committed; ``pending`` the one that a write is making the
    graph of, absent while none is. ``stamp`` is odd as long.
``(:ScypherBlob {piece, table, part, parts, total, bytes})``
    One part of a table of a piece as Parquet: part ``part`` of ``parts`` of the table, one of
    ``total`` of the piece.
``(:ScypherLock {name})``
    What a writer locks; see :meth:`~scypher.kg.stores.neo4j_session.Connection.lock`.

None of them has a ``key``, by which the nodes of the graph are known.
"""

import io
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...encoders.errors import StoreError
from ..graph import Graph
from ..tables import is_declared, read_table, write_table
from ..versions.ledger import Ledger
from . import neo4j_texts as texts
from .neo4j_session import Connection
from .neo4j_values import busy

_PART_BYTES = 500_000
_TRANSACTION_BYTES = 4_000_000


@dataclass(frozen=True)
class Record:
    """What stands in the database of the ledger; without a stamp nothing was ever written."""

    ledger: Ledger
    pending: Ledger | None = None
    stamp: int | None = None

    def changing(self) -> dict[str, str]:
        """Return the data sets that a write is changing, with the piece they have or get."""
        if self.pending is None:
            return {}
        old, new = (_pieces(ledger) for ledger in (self.ledger, self.pending))
        return {
            dataset: piece
            for dataset, piece in (old | new).items()
            if old.get(dataset) != new.get(dataset)
        }


class Archive:
    """The ledger and the pieces that its readable versions need."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self) -> Record:
        """Return the ledger, and the one that a write is on the way to."""
        rows = self._connection.read(texts.LEDGER)
        if not rows:
            return Record(Ledger())
        pending = rows[0]["pending"]
        return Record(
            Ledger.from_json(rows[0]["json"]),
            Ledger.from_json(pending) if pending else None,
            rows[0]["stamp"],
        )

    def begin(self) -> int:
        """Return the stamp of the ledger; an empty ledger is made where there is none."""
        # At random, so that no reader takes the graph for one that stood here before.
        first = 2 * secrets.randbelow(2**48)
        rows = self._connection.write(texts.MAKE_LEDGER, json=Ledger().to_json(), first=first)
        stamp: int = rows[0]["stamp"]
        return stamp

    def announce(self, ledger: Ledger) -> int:
        """Say what the graph is about to become; readers are told to wait from now on."""
        return self._step(texts.ANNOUNCE, stamp=self.begin(), pending=ledger.to_json())

    def settle(self, ledger: Ledger, stamp: int) -> None:
        """Make ``ledger`` the ledger of the graph, and end the write that ``stamp`` says."""
        self._step(texts.SETTLE, stamp=stamp, json=ledger.to_json(), step=stamp % 2)

    def store(self, pieces: dict[str, Graph], kept: set[str]) -> None:
        """Keep pieces, those of ``kept`` excepted, which are here; repeating it changes nothing."""
        for piece, graph in pieces.items():
            if piece not in kept:
                for rows in _transactions(_parts(piece, graph)):
                    self._connection.write(texts.STORE_BLOBS, rows=rows)

    def has(self, piece: str) -> bool:
        """Return whether all of a piece is here."""
        found = self._connection.read(texts.COUNT_BLOBS, piece=piece)[0]
        return bool(found["n"]) and found["n"] == found["total"]

    def drop_except(self, kept: set[str]) -> None:
        """Delete the pieces that no readable version needs."""
        self._connection.server_side(texts.DROP_BLOBS, kept=sorted(kept))

    def tables(
        self, piece: str, names: Iterable[str] | None = None, columns: list[str] | None = None
    ) -> dict[str, pd.DataFrame]:
        """Return tables of a kept piece, all by default; names that it does not have are left out.

        Raises
        ------
        StoreBusyError
            The piece was deleted while it was read.
        StoreError
            There is no such piece.
        """
        wanted = None if names is None else list(names)
        found = self._connection.read(texts.READ_BLOBS, piece=piece, names=wanted)
        if not found or wanted is None:
            self._require(piece)
        parts: dict[str, list[bytes]] = {}
        expected = {row["table"]: row["parts"] for row in found}
        for row in found:
            parts.setdefault(row["table"], []).append(row["bytes"])
        if any(len(parts[name]) != number for name, number in expected.items()):
            raise busy(self._connection.address)
        tables = {
            name: read_table(name, io.BytesIO(b"".join(parts[name])))
            for name in parts
            if is_declared(name)
        }
        return {name: table[columns] if columns else table for name, table in tables.items()}

    def _require(self, piece: str) -> None:
        if not self.has(piece):
            message = (
                f"The archive of {self._connection.address} does not hold all of the piece {piece} "
                "that its ledger names; another program may have deleted nodes there. "
                "Build the graph again into an empty database."
            )
            raise StoreError(message)

    def _step(self, text: str, **parameters: Any) -> int:
        found = self._connection.write(text, **parameters)
        if not found:
            message = (
                f"{self._connection.address} was written by somebody else in the meantime, which "
                "the lock of the writer should prevent: was its connection cut? Write again."
            )
            raise StoreError(message)
        stamp: int = found[0]["stamp"]
        return stamp


def _pieces(ledger: Ledger) -> dict[str, str]:
    return ledger.current.pieces if ledger.current else {}


def _parts(piece: str, graph: Graph) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, table in graph.tables().items():
        sink = io.BytesIO()
        write_table(table, sink)
        content = sink.getvalue()
        starts = range(0, len(content), _PART_BYTES)
        rows += [
            {
                "piece": piece,
                "table": name,
                "part": part,
                "parts": len(starts),
                "bytes": content[start : start + _PART_BYTES],
            }
            for part, start in enumerate(starts)
        ]
    return [row | {"total": len(rows)} for row in rows]


def _transactions(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows in groups that a small heap holds."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        if group and size + len(row["bytes"]) > _TRANSACTION_BYTES:
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row["bytes"])
    yield group
