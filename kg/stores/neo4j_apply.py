"""Making a Neo4j database the graph of a ledger: what differs is cleared, sent, and counted."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from ...encoders.errors import StoreError
from ..graph import EdgeKey, Graph
from ..schema import Property, edge_type, node_type
from ..versions.ledger import Entry, Ledger
from ..versions.pieces import SHARED
from . import neo4j_texts as texts
from .neo4j_archive import Archive
from .neo4j_delta import Delta, changed_rows, difference
from .neo4j_rows import edge_batches, node_batches
from .neo4j_session import Connection

_KEYS = 5_000
_STREAMS = 2
"""Batches of edges under way at once: one is packed while the server works on the other."""

_DELTA_SHARE = 0.5
"""A piece is sent row by row while less than this share of its rows differ."""


class Writer:
    """What a write sends to the server.

    Parameters
    ----------
    connection
        The database.
    archive
        Where the pieces of both ledgers are.
    pieces
        Pieces that need not be read from the archive, by hash.
    alive
        Called before every batch; it raises when the lock was lost.
    """

    def __init__(
        self,
        connection: Connection,
        archive: Archive,
        *,
        pieces: dict[str, Graph],
        alive: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._archive = archive
        self._pieces = pieces
        self._alive = alive

    def apply(self, old: Ledger, new: Ledger, *, known: bool) -> list[str]:
        """Turn the graph of ``old`` into that of ``new``; return the data sets that differ.

        With ``known`` false a write between both broke off: every data set that differs is taken
        to be half there, cleared and sent again.
        """
        before, after = _pieces(old.entries), _pieces(new.entries)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        deltas = {dataset: self._delta(before, after, dataset) for dataset in changed if known}
        for dataset in changed:
            if (found := deltas.get(dataset)) is not None:
                self._remove(*found)
            elif dataset in before or not known:
                self.clear(dataset)
        self._share(old.entries, new.entries, known=known)
        for dataset in changed:
            if dataset in after:
                delta = deltas.get(dataset)
                self._load(self._piece(after[dataset]), delta[1] if delta else None)
        return changed

    def restore_lists(self, graph: Graph) -> None:
        """Set what an import from text cannot bring: lists that are empty, or one empty text."""
        for label, frame in graph.nodes.items():
            for name in _lists(node_type(label).properties):
                rows = np.flatnonzero(frame[name].map(_looks_unknown))
                found = frame[["key", name]].iloc[rows].rename(columns={name: "value"})
                for start in range(0, len(found), _KEYS):
                    batch = found[start : start + _KEYS].to_dict("records")
                    self._connection.write(texts.set_nodes(label, name), rows=batch)
        for key, frame in graph.edges.items():
            for name in _lists(edge_type(*key).properties):
                rows = np.flatnonzero(frame[name].map(_looks_unknown))
                if len(rows):
                    self.send_edges(texts.set_edges(key, name), graph, key, rows)

    def clear(self, dataset: str) -> None:
        """Delete all that one data set has; shared nodes stay."""
        for text in texts.clear():
            self._alive()
            self._connection.server_side(text, dataset=dataset)

    def _delta(
        self, before: dict[str, str], after: dict[str, str], dataset: str
    ) -> tuple[Graph, Delta] | None:
        """Return the old piece and what differs, ``None`` where a new one is better sent whole."""
        if dataset not in before or dataset not in after:
            return None
        new = self._piece(after[dataset])
        old = self._piece(before[dataset])
        delta = difference(old, new)
        return (old, delta) if delta.rows < _DELTA_SHARE * sum(new.counts().values()) else None

    def _remove(self, old: Graph, delta: Delta) -> None:
        for key, rows in delta.removed.items():
            if len(rows):
                self.send_edges(texts.delete_edges(key), old, key, rows)
        for label, keys in delta.deleted.items():
            self._delete(label, keys)

    def _load(self, piece: Graph, delta: Delta | None) -> None:
        """Send a piece, or the rows of it that are new, but for the nodes that data sets share."""
        for label, frame in piece.nodes.items():
            if label not in SHARED:
                self._merge(label, frame if delta is None else frame.iloc[delta.written[label]])
        for key in piece.edges:
            rows = None if delta is None else delta.created[key]
            if rows is None or len(rows):
                self.send_edges(texts.create_edges(key), piece, key, rows)

    def _share(self, old: Sequence[Entry], new: Sequence[Entry], *, known: bool) -> None:
        """Give shared nodes the properties that stand now, and delete those nobody has."""
        touched = _touched(old, new)
        for label in SHARED:
            keys = self._keys(label, touched)
            if keys.empty:
                continue
            standing = self._standing(label, new, keys)
            gone = keys[~keys.isin(standing["key"])]
            self._delete(label, gone.tolist())
            if known and all(entry in new for entry in old):
                # Nothing but additions: what stood below is not worth the reading.
                self._merge(label, standing)
            else:
                former = self._standing(label, old, keys) if known else standing[:0]
                place = pd.Index(former["key"]).get_indexer(pd.Index(standing["key"]))
                self._merge(label, standing[changed_rows(former, standing, place)])

    def _keys(self, label: str, entries: Iterable[Entry]) -> pd.Index:
        found = [self._table(entry.piece, label)["key"] for entry in entries]
        return pd.Index(pd.concat(found).unique()) if found else pd.Index([])

    def _standing(self, label: str, entries: Sequence[Entry], keys: pd.Index) -> pd.DataFrame:
        """Return the rows of given keys that stand: of each, that of the last piece that has it."""
        missing, rows = keys, []
        for entry in reversed(entries):
            table = self._table(entry.piece, label)
            found = table[table["key"].isin(missing)]
            rows.append(found)
            missing = missing[~missing.isin(found["key"])]
            if missing.empty:
                break
        empty = [item.name for item in node_type(label).properties]
        filled = [frame for frame in rows if len(frame)]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=empty)

    def _piece(self, piece: str) -> Graph:
        if piece not in self._pieces:
            return Graph.from_tables(self._archive.tables(piece))
        return self._pieces[piece]

    def _table(self, piece: str, label: str) -> pd.DataFrame:
        if piece in self._pieces:
            table = self._pieces[piece].nodes.get(label)
        else:
            found = Graph.from_tables(self._archive.tables(piece, [label]))
            table = found.nodes.get(label)
        names = [item.name for item in node_type(label).properties]
        return pd.DataFrame(columns=names, dtype=object) if table is None else table

    def _merge(self, label: str, frame: pd.DataFrame) -> None:
        text = texts.merge_nodes(label)
        for rows in node_batches(label, frame):
            self._alive()
            self._connection.write(text, rows=rows)

    def _delete(self, label: str, keys: list[str]) -> None:
        for start in range(0, len(keys), _KEYS):
            self._alive()
            self._connection.write(texts.delete_nodes(label), keys=keys[start : start + _KEYS])

    def send_edges(self, text: str, graph: Graph, key: EdgeKey, rows: np.ndarray | None) -> None:
        """Run a statement of :mod:`neo4j_texts` on the edges of a table, in batches."""

        def send(batch: dict[str, Any]) -> None:
            sent = len(batch["ends"])
            found = self._connection.write(text, **batch)[0]["n"]
            if found != sent:
                raise self._unlike("-".join(key), found, sent)

        with ThreadPoolExecutor(_STREAMS) as pool:
            under_way: deque[Future[None]] = deque()
            for batch in edge_batches(graph, key, rows):
                self._alive()
                if len(under_way) == _STREAMS:
                    under_way.popleft().result()
                under_way.append(pool.submit(send, batch))
            for sending in under_way:
                sending.result()

    def _unlike(self, name: str, found: int, sent: int) -> StoreError:
        return StoreError(
            f"{self._connection.address} holds {found} rows of {name} where {sent} were expected; "
            "another program may be writing there. Write again: what broke off is then completed."
        )

    def date(self, ledger: Ledger) -> None:
        """Set when each data set of a ledger was written; it is in no table."""
        rows = [{"key": entry.dataset, "time": entry.time} for entry in ledger.entries]
        self._connection.write(texts.date_datasets(), rows=rows)

    def prove(self, ledger: Ledger, datasets: Iterable[str]) -> None:
        """Make sure by counting that the server holds what the ledger says.

        The counters of the server are asked first. Where other people's nodes of the same labels
        make them differ, the rows of the given data sets are counted one by one.

        Raises
        ------
        StoreError
            It holds something else.
        """
        counts = ledger.current.counts if ledger.current else {}
        if all(
            self._connection.read(text)[0]["n"] == sum(counts.get(name, 0) for name in names)
            for text, names in texts.totals().values()
        ):
            return
        pieces = _pieces(ledger.entries)
        for dataset in datasets:
            piece = pieces.get(dataset)
            expected = ledger.statistics[piece]["rows"] if piece else {}
            for name, text in texts.of_dataset().items():
                if name not in SHARED:
                    found = self._connection.read(text, dataset=dataset)[0]["n"]
                    if found != expected.get(name, 0):
                        raise self._unlike(name, found, expected.get(name, 0))
            for label in set(SHARED) & expected.keys():
                keys = self._table(str(piece), label)["key"].tolist()
                found = self._connection.read(texts.count_keys(label), keys=keys)[0]["n"]
                if found != len(keys):
                    raise self._unlike(label, found, len(keys))


def _lists(properties: Iterable[Property]) -> list[str]:
    return [item.name for item in properties if item.kind in ("floats", "strings")]


def _looks_unknown(value: list[Any] | None) -> bool:
    return value is not None and (not value or value == [""])


def _pieces(entries: Iterable[Entry]) -> dict[str, str]:
    return {entry.dataset: entry.piece for entry in entries}


def _touched(old: Sequence[Entry], new: Sequence[Entry]) -> list[Entry]:
    """Return the entries, old and new, whose shared nodes may stand otherwise than before."""
    rests = [entry for entry in old if entry in new]
    if rests != [entry for entry in new if entry in old]:
        return [*old, *new]
    return [entry for entry in (*old, *new) if entry not in rests]
