"""The ledger of a graph: every version it had, and the pieces that made it.

A version is never rewritten. What it says of its pieces is enough to read it again while they are
kept; after :meth:`Ledger.forgetting` only the line in the ledger remains.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ...encoders.errors import InputError, StoreError
from ..schema import SCHEMA_VERSION


@dataclass(frozen=True)
class Entry:
    """One data set in a version: its key, the hash of its piece, when it was written."""

    dataset: str
    piece: str
    time: str


@dataclass(frozen=True)
class Version:
    """One state of a graph.

    Attributes
    ----------
    number
        From 1, one more with every write that changed something.
    time
        When it was written, ISO text in UTC.
    action
        What was done, such as ``write pbmc3k`` or ``remove kang donor 101``.
    code_version
        Version of Scypher that wrote it.
    schema
        Version of the schema of its tables.
    entries
        Its data sets in the order of writing: of shared nodes the properties of the last stand.
    counts
        Rows per table.
    readable
        Whether its pieces are still kept.
    """

    number: int
    time: str
    action: str
    code_version: str
    schema: int
    entries: tuple[Entry, ...]
    counts: dict[str, int]
    readable: bool = True

    @property
    def hash(self) -> str:
        """SHA-256 of the data sets and their pieces; equal versions of a graph have equal ones."""
        parts = [[entry.dataset, entry.piece] for entry in self.entries]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def pieces(self) -> dict[str, str]:
        """Data set -> hash of its piece."""
        return {entry.dataset: entry.piece for entry in self.entries}


@dataclass(frozen=True)
class Ledger:
    """Versions of a graph, oldest first, and the statistics of the pieces of the current one."""

    versions: tuple[Version, ...] = ()
    statistics: dict[str, Any] = field(default_factory=dict)

    @property
    def current(self) -> Version | None:
        """The version that the graph is now, ``None`` before the first write."""
        return self.versions[-1] if self.versions else None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Data sets of the current version, in the order of writing."""
        return self.current.entries if self.current else ()

    def version(self, number: int) -> Version:
        """Return a version by number; negative numbers count from the current one, -1.

        Raises
        ------
        InputError
            There is no such version, or its pieces are no longer kept.
        """
        if number < 0:
            number += len(self.versions) + 1
        if not 1 <= number <= len(self.versions):
            message = (
                f"The graph has no version {number}; one from 1 to {len(self.versions)} was "
                "expected. `scypher versions` lists them."
            )
            raise InputError(message)
        found = self.versions[number - 1]
        if not found.readable:
            message = (
                f"Version {number} of the graph was forgotten and cannot be read. "
                "`scypher versions` says which ones can."
            )
            raise InputError(message)
        return found

    def written(self, pieces: dict[str, str], time: str) -> tuple[Entry, ...]:
        """Return the entries after data sets were written: they come last."""
        kept = [entry for entry in self.entries if entry.dataset not in pieces]
        return (*kept, *(Entry(dataset, piece, time) for dataset, piece in pieces.items()))

    def removed(self, dataset: str) -> tuple[Entry, ...]:
        """Return the entries without a data set."""
        return tuple(entry for entry in self.entries if entry.dataset != dataset)

    def replaced(self, dataset: str, piece: str) -> tuple[Entry, ...]:
        """Return the entries with another piece of a data set, in the place of the old one."""
        return tuple(
            replace(entry, piece=piece) if entry.dataset == dataset else entry
            for entry in self.entries
        )

    def followed_by(self, version: Version, statistics: dict[str, Any]) -> "Ledger":
        """Return the ledger with one more version; ``statistics`` are those of new pieces."""
        known = self.statistics | statistics
        needed = set(version.pieces.values())
        return Ledger(
            (*self.versions, version),
            {piece: known[piece] for piece in sorted(needed & known.keys())},
        )

    def forgetting(self, pieces: Iterable[str]) -> "Ledger":
        """Return the ledger in which no past version that holds one of ``pieces`` can be read."""
        gone = set(pieces)
        past = [
            replace(version, readable=version.readable and not gone & set(version.pieces.values()))
            for version in self.versions[:-1]
        ]
        return replace(self, versions=(*past, *self.versions[-1:]))

    def keeping(self, number: int) -> "Ledger":
        """Return the ledger of which only the last ``number`` versions can be read."""
        past = [replace(version, readable=False) for version in self.versions[:-number]]
        return replace(self, versions=(*past, *self.versions[-number:]))

    def kept_pieces(self) -> set[str]:
        """Return the hashes of the pieces that readable versions need."""
        return {
            entry.piece
            for version in self.versions
            if version.readable
            for entry in version.entries
        }

    def to_json(self) -> str:
        """Return the ledger as text."""
        fields = {
            "schema": self.current.schema if self.current else SCHEMA_VERSION,
            "versions": [asdict(version) for version in self.versions],
            "statistics": self.statistics,
        }
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Ledger":
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        StoreError
            The text is damaged, or the graph was written by a newer Scypher.
        """
        try:
            fields = json.loads(text)
            # Before anything else of it is read: a newer one may hold what we do not know.
            if fields["schema"] > SCHEMA_VERSION:
                message = (
                    f"The graph has schema {fields['schema']}, written by a newer Scypher; this "
                    f"one knows schemas up to {SCHEMA_VERSION}. Update it: pip install -U scypher"
                )
                raise StoreError(message)
            versions = tuple(_version(version) for version in fields["versions"])
            return cls(versions, fields["statistics"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"The ledger of the graph is damaged ({error}). Build the graph again."
            raise StoreError(message) from error


def _version(fields: dict[str, Any]) -> Version:
    entries = tuple(Entry(**entry) for entry in fields.pop("entries"))
    return Version(entries=entries, **fields)
