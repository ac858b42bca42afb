"""The embedded store: ArcadeDB in this process, the graph in one folder, no server."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ...encoders.errors import StoreError
from ..door import Budget
from ..graph import Graph
from ..versions.ledger import Ledger
from . import jvm, legacy
from .answers import explained, plain, refuse_more
from .archive import clear_pieces, read_piece, write_piece
from .base import Store
from .databases import make_database
from .files import exclusive, sync_folder
from .manifest import (
    Manifest,
    check_writable,
    has_manifest,
    read_manifest,
    remove_manifest,
    stamp,
    write_manifest,
)


class EmbeddedStore(Store):
    """A graph in a folder; see :mod:`scypher.kg.stores.manifest` for what is in it.

    Every write makes a new database aside and switches to it in one step, so that a kill or a
    full disk leaves the old graph. Any number of processes and threads may read, one may write.
    A store opened for reading answers from one version, from its first query until it is closed,
    whatever is written meanwhile; one opened for writing answers from the current version.

    Parameters
    ----------
    path
        The folder.
    mode
        ``"r"`` to query, ``"w"`` to write too.

    Raises
    ------
    InputError
        There is no graph to read, or the path is something else.
    StoreError
        The graph is damaged, or was written by a newer version of Scypher.
    """

    lock_seconds = 10.0
    """How long a write waits for another one to end."""

    def __init__(self, path: Path, *, mode: Literal["r", "w"]) -> None:
        self.path = path.expanduser().resolve()
        self.address = str(path)
        self.mode = mode
        self._database: jvm.EmbeddedDatabase | None = None
        self._known: Manifest | None = None
        self._read_at: tuple[int, int, int] | None = None
        self._old: dict[str, Graph] | None = None
        self._guard = threading.RLock()
        self._place = self.path
        if mode == "w":
            check_writable(self.path)
        if mode == "r" or has_manifest(self.path):
            self._manifest()

    def close(self) -> None:
        """Close the database; closing twice is harmless."""
        self._release()

    def _release(self) -> None:
        with self._guard:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _answer(self, cypher: str, parameters: dict[str, Any], budget: Budget) -> pd.DataFrame:
        jvm.refuse_fork()
        with self._opened() as database:
            import jpype
            from arcadedb_embedded import ArcadeDBError

            try:
                rows = database.query(
                    cypher, parameters, seconds=budget.seconds, rows=budget.rows + 1
                )
            except (ArcadeDBError, jpype.JException) as error:
                raise explained(error, budget) from error
            refuse_more(len(rows), budget)
            return pd.DataFrame([{name: plain(row[name]) for name in row} for row in rows])

    def _ledger(self) -> Ledger:
        if self.mode == "w" and not has_manifest(self.path):
            return Ledger()
        return self._manifest().ledger

    def _tables(
        self, piece: str, names: list[str] | None = None, columns: list[str] | None = None
    ) -> dict[str, pd.DataFrame]:
        manifest = self._manifest()
        if manifest.tables is not None:
            found = self._old_pieces(manifest.tables)[piece].tables()
            return {
                name: frame if columns is None else frame[columns]
                for name, frame in found.items()
                if names is None or name in names
            }
        try:
            return read_piece(self.path, piece, names, columns)
        except StoreError as error:
            if piece in read_manifest(self.path).ledger.kept_pieces():
                raise
            message = (
                f"A data set that {self.address} held when it was opened was forgotten since; "
                "only its current versions can be read. Open the graph again."
            )
            raise StoreError(message) from error

    @contextmanager
    def _writing(self) -> Iterator[Ledger]:
        jvm.refuse_fork()
        with self._locked() as place:
            self._place = place
            _clear(place)
            try:
                yield read_manifest(place).ledger if has_manifest(place) else Ledger()
            finally:
                self._place = self.path
                _clear(place)

    def _commit(self, ledger: Ledger, pieces: dict[str, Graph]) -> None:
        place = self._place
        old = read_manifest(place) if has_manifest(place) else None
        old_pieces = self._old_pieces(old.tables) if old is not None and old.tables else {}
        with _failing(old=old is not None):
            known = old_pieces | pieces
            for piece in ledger.kept_pieces() & known.keys():
                write_piece(place, piece, known[piece])
            if old is None or old.tables or old.ledger.current != ledger.current:
                database = make_database(place, old, ledger, new=known, archive=self._tables)
            else:
                database = old.database
            write_manifest(place, Manifest(ledger, database))
        self._release()

    def _manifest(self) -> Manifest:
        """Return what the graph is now; of a version that is being read, what it was."""
        with self._guard:
            settled = self.mode == "r" and self._database is not None
            if self._known is None or not (settled or self._read_at == self._stamp()):
                self._read_at = self._stamp()
                manifest = read_manifest(self.path)
                if self._known is None or self._known.database != manifest.database:
                    self._release()
                self._known, self._old = manifest, None
            return self._known

    def _stamp(self) -> tuple[int, int, int] | None:
        return stamp(self.path) if has_manifest(self.path) else None

    def _opened(self) -> jvm.EmbeddedDatabase:
        """Return the database of the version; who asked closes it."""
        with self._guard:
            manifest = self._manifest()
            while self._database is None:
                self._database = self._try_open(manifest)
                manifest = self._manifest()
            return self._database.join()

    def _try_open(self, manifest: Manifest) -> jvm.EmbeddedDatabase | None:
        """Return the database, ``None`` if a writer replaced it meanwhile: files may be missing."""
        jvm.start()
        import jpype

        try:
            database = jvm.open_read_only(self.path / manifest.database)
        except jpype.JException as error:
            if self._read_at != self._stamp():
                return None
            message = (
                f"The database of the graph at {self.path} cannot be opened: {error}. "
                "Remove the folder and build the graph again."
            )
            raise StoreError(message) from error
        if self._read_at == self._stamp():
            return database
        database.close()
        return None

    def _old_pieces(self, tables: str) -> dict[str, Graph]:
        """Return the pieces of a graph of format 1 by hash."""
        if self._old is None:
            self._old = dict(legacy.read_pieces(self.path / tables).values())
        return self._old

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        """Yield the locked folder to work in; a new graph appears in its place at the end."""
        building = self.path.with_name(f"{self.path.name}.building")
        with ExitStack() as stack:
            if has_manifest(self.path):
                stack.enter_context(exclusive(self.path / "lock", seconds=self.lock_seconds))
                yield self.path
                return
            stack.enter_context(exclusive(building / "lock", seconds=self.lock_seconds))
            if has_manifest(self.path):
                # Another process was first: its graph is the one to add to.
                stack.enter_context(exclusive(self.path / "lock", seconds=self.lock_seconds))
                shutil.rmtree(building)
                yield self.path
                return
            # What a killed write finished here was never the graph.
            remove_manifest(building)
            try:
                yield building
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            if not has_manifest(building):
                shutil.rmtree(building)
                return
            os.rename(building, self.path)
            sync_folder(self.path.parent)


def _clear(place: Path) -> None:
    """Delete what the manifest does not name: left-overs of a killed write, and the old graph."""
    manifest = read_manifest(place) if has_manifest(place) else None
    standing = manifest.database.split("/")[0] if manifest else None
    for folder in (*place.glob("db-*"), *place.glob("g[0-9]*")):
        if folder.name != standing:
            shutil.rmtree(folder, ignore_errors=True)
    clear_pieces(place, manifest.ledger.kept_pieces() if manifest else ())


@contextmanager
def _failing(*, old: bool) -> Iterator[None]:
    """Say of a failure of the engine or the disk what it leaves behind."""
    jvm.start()
    import jpype
    from arcadedb_embedded import ArcadeDBError

    try:
        yield
    except (OSError, ArcadeDBError, jpype.JException) as error:
        message = (
            f"The graph could not be written: {error}. "
            f"{'The old graph stands.' if old else 'Nothing was written.'} "
            "Check the free space, or give Java more memory by SCYPHER_HEAP, and try again."
        )
        raise StoreError(message) from error
