"""Change of an embedded database in place of a rebuild: for a write that touches little of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..graph import Graph, records
from ..schema import EDGES, NODES, node_type
from ..versions.ledger import Entry, Version
from ..versions.pieces import SHARED, standing_nodes
from ..versions.plan import Archive
from .bulk import batch, create_edges, create_nodes, stamped

_CHUNK = 1_000
"""Nodes deleted or set in one transaction: what a heap of 1 GB holds with all their edges."""

_CLAIMS = 20_000
"""Edges deleted in one transaction."""

_OWNED = tuple(node.label for node in NODES if node.owned)


@dataclass(frozen=True)
class Change:
    """From one version of a graph to the next, in the database of the first.

    Parameters
    ----------
    before, after
        The versions.
    archive
        Returns tables of kept pieces.
    pieces
        Pieces that the archive does not need to have, by hash.
    """

    before: Version
    after: Version
    archive: Archive
    pieces: Mapping[str, Graph]

    def apply(self, database: Any, times: Mapping[str, str]) -> None:
        """Make the database of the version before that of the version after.

        Parameters
        ----------
        database
            A copy of the database of the version before.
        times
            When the data sets of the version after were written.
        """
        gone = [entry for entry in self.before.entries if not _has(self.after, entry)]
        added = [entry for entry in self.after.entries if not _has(self.before, entry)]
        for entry in gone:
            self._delete(database, entry)
        fresh = {label: self._share(database, label) for label in SHARED}
        with database.transaction():
            for dataset, time in times.items():
                database.command("sql", "UPDATE Dataset SET time = ? WHERE key = ?", time, dataset)
        known = {label: _record_ids(database, label) for label in SHARED} if added else {}
        with batch(database) as batch_:
            for label, frame in fresh.items():
                if len(frame):
                    made = _by_key(frame["key"], create_nodes(batch_, label, frame).to_pylist())
                    known[label] = pd.concat([known[label], made])
            for entry in added:
                _add(batch_, self._piece(entry.piece), known, times)

    def _delete(self, database: Any, entry: Entry) -> None:
        """Delete what a data set owns; shared nodes stay."""
        for type_ in dict.fromkeys(edge.type for edge in EDGES if edge.claim):
            _delete_claims(database, type_, entry.dataset)
        for label in _OWNED:
            _delete_nodes(database, label, self._nodes(entry, label, ["key"])["key"])
        _delete_nodes(database, "Dataset", pd.Series([entry.dataset], dtype=object))

    def _share(self, database: Any, label: str) -> pd.DataFrame:
        """Bring a shared label to its new rows, but for those to create: they are returned."""
        old, new = (
            standing_nodes([self._nodes(entry, label) for entry in version.entries])
            if version.entries
            else _empty(label)
            for version in (self.before, self.after)
        )
        _delete_nodes(database, label, old["key"][~old["key"].isin(new["key"])])
        known = new["key"].isin(old["key"])
        stays = new[known].reset_index(drop=True)
        place = pd.Index(old["key"]).get_indexer(stays["key"])
        was = old.iloc[place].reset_index(drop=True)
        _set_nodes(database, label, stays[_different(was, stays)])
        return new[~known].reset_index(drop=True)

    def _nodes(self, entry: Entry, label: str, columns: list[str] | None = None) -> pd.DataFrame:
        if entry.piece in self.pieces:
            tables = self.pieces[entry.piece].nodes
        else:
            tables = self.archive(entry.piece, [label], columns)
        return tables[label] if label in tables else _empty(label)

    def _piece(self, piece: str) -> Graph:
        if piece in self.pieces:
            return self.pieces[piece]
        return Graph.from_tables(self.archive(piece, None, None))


def _add(
    batch: Any, piece: Graph, known: Mapping[str, pd.Series], times: Mapping[str, str]
) -> None:
    """Create the owned nodes and the edges of a piece; ``known`` has ids of shared nodes by key."""
    import pyarrow as pa

    ids = {
        label: pa.array(known[label].reindex(frame["key"]), pa.large_string())
        if label in SHARED
        else create_nodes(batch, label, stamped(label, frame, times))
        for label, frame in piece.nodes.items()
    }
    for key, frame in piece.edges.items():
        create_edges(batch, key, frame, ids)


def _record_ids(database: Any, label: str) -> pd.Series:
    """Return record id by key of the nodes of a label."""
    rows = database.query("sql", f"SELECT key, @rid.asString() AS rid FROM `{label}`").to_list()
    return _by_key([row["key"] for row in rows], [row["rid"] for row in rows])


def _by_key(keys: Any, ids: list[str]) -> pd.Series:
    return pd.Series(ids, index=pd.Index(keys, dtype=object), dtype=object)


def _delete_nodes(database: Any, label: str, keys: pd.Series) -> None:
    text = f"UNWIND $keys AS key MATCH (n:{label} {{key: key}}) DETACH DELETE n"
    for chunk in _chunks(keys):
        with database.transaction():
            database.command("opencypher", text, {"keys": chunk.tolist()})


def _set_nodes(database: Any, label: str, frame: pd.DataFrame) -> None:
    text = f"UNWIND $rows AS row MATCH (n:{label} {{key: row.key}}) SET n = row"
    for chunk in _chunks(frame):
        with database.transaction():
            database.command("opencypher", text, {"rows": records(chunk)})


def _delete_claims(database: Any, type_: str, dataset: str) -> None:
    text = f"DELETE FROM `{type_}` WHERE dataset = ? LIMIT {_CLAIMS}"
    deleted = _CLAIMS
    while deleted == _CLAIMS:
        with database.transaction():
            deleted = database.command("sql", text, dataset).to_list()[0]["count"]


def _different(first: pd.DataFrame, second: pd.DataFrame) -> pd.Series:
    """Return which rows of two tables of the same shape differ; unknown equals unknown."""
    different = pd.Series(False, index=second.index)
    for column in second.columns:
        left, right = (_comparable(frame[column]) for frame in (first, second))
        different |= (left != right) & ~(left.isna() & right.isna())
    return different


def _comparable(values: pd.Series) -> pd.Series:
    if values.dtype != object:
        return values
    return values.map(lambda value: tuple(value) if isinstance(value, list) else value)


def _empty(label: str) -> pd.DataFrame:
    return pd.DataFrame({item.name: [] for item in node_type(label).properties}, dtype=object)


def _has(version: Version, entry: Entry) -> bool:
    return version.pieces.get(entry.dataset) == entry.piece


def _chunks(values: Any) -> Iterator[Any]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
