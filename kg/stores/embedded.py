"""The embedded store: ArcadeDB in this process, the graph in one folder, no server."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ...encoders.errors import InputError, StoreError
from ..graph import Graph
from . import bulk, jvm
from .base import Store, WriteResult, now, query_seconds, require_datasets
from .files import exclusive, sync_folder, sync_tree
from .manifest import Manifest, check_writable, read_manifest, write_manifest

_WRONG_TEXT = ("Parsing", "ParameterMissing", "SemanticException")


class EmbeddedStore(Store):
    """A graph in a folder; see :mod:`scypher.kg.stores.manifest` for what is in it.

    Every write makes a new generation aside and switches to it in one step, so that a kill or a
    full disk leaves the old graph. Any number of processes may read, one may write.

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
    """

    lock_seconds = 10.0
    """How long a write waits for another one to end."""

    def __init__(self, path: Path, *, mode: Literal["r", "w"]) -> None:
        self.path = path.expanduser().resolve()
        self.address = str(path)
        self.mode = mode
        self._database: jvm.EmbeddedDatabase | None = None
        if mode == "r":
            read_manifest(self.path)
        else:
            check_writable(self.path)

    def write(self, graph: Graph) -> WriteResult:
        """Put the data sets of a graph in place of those of the same key."""
        datasets = require_datasets(graph)
        return self._replace(graph, datasets)

    def remove(self, dataset: str) -> bool:
        """Take out a data set and the shared nodes only it used; ``False`` if it was not there."""
        if dataset not in read_manifest(self.path).times:
            return False
        return self._replace(Graph(), [dataset]).changed

    def query(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the rows of a reading Cypher statement, as plain Python scalars and lists."""
        jvm.refuse_fork()
        engine = self._opened().engine
        from arcadedb_embedded import ArcadeDBError

        try:
            rows = engine.query("opencypher", cypher, dict(parameters or {})).to_list()
        except ArcadeDBError as error:
            raise _explained(error) from error
        return pd.DataFrame([{name: plain(row[name]) for name in row} for row in rows])

    def close(self) -> None:
        """Close the database; closing twice is harmless."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _opened(self) -> jvm.EmbeddedDatabase:
        if self._database is not None:
            return self._database
        import jpype

        manifest = read_manifest(self.path)
        while self._database is None:
            folder = self.path / manifest.folder / "db"
            try:
                self._database = jvm.open_read_only(folder, seconds=query_seconds())
            except jpype.JException as error:
                newer = read_manifest(self.path)
                if newer.generation == manifest.generation:
                    message = (
                        f"The graph at {self.path} cannot be opened: {error}. "
                        "Remove the folder and build the graph again."
                    )
                    raise StoreError(message) from error
                # A writer replaced the generation between both steps.
                manifest = newer
        return self._database

    def _replace(self, graph: Graph, datasets: list[str]) -> WriteResult:
        """Write the stored graph without ``datasets`` and with ``graph``."""
        started = time.monotonic()
        if self.mode != "w":
            message = (
                f"{self.address} was opened for reading and cannot be written. "
                'Open it with mode="w".'
            )
            raise StoreError(message)
        jvm.refuse_fork()
        with self._target() as folder:
            old = read_manifest(folder) if (folder / "manifest.json").exists() else None
            times = dict(old.times) if old else {}
            if old:
                stored = _tables(folder / old.folder / "tables")
                for dataset in datasets:
                    stored = stored.without(dataset)
                    times.pop(dataset, None)
                graph = stored.merge(graph)
            graph_hash = graph.content_hash()
            if old and old.graph_hash == graph_hash:
                return WriteResult(False, _rows(old.counts), time.monotonic() - started)
            times |= {dataset: now() for dataset in datasets if dataset in graph.datasets()}
            generation = old.generation + 1 if old else 1
            manifest = Manifest(generation, graph_hash, graph.counts(), times)
            with _cleaned(folder, manifest, old):
                _build(folder, manifest, graph)
        self.close()
        return WriteResult(True, _rows(manifest.counts), time.monotonic() - started)

    @contextmanager
    def _target(self) -> Iterator[Path]:
        """Yield the locked folder to work in; a new graph appears in its place at the end."""
        building = self.path.with_name(f"{self.path.name}.building")
        with ExitStack() as stack:
            if (self.path / "manifest.json").exists():
                stack.enter_context(exclusive(self.path / "lock", seconds=self.lock_seconds))
                yield self.path
                return
            stack.enter_context(exclusive(building / "lock", seconds=self.lock_seconds))
            if (self.path / "manifest.json").exists():
                # Another process was first: its graph is the one to add to.
                stack.enter_context(exclusive(self.path / "lock", seconds=self.lock_seconds))
                shutil.rmtree(building)
                yield self.path
                return
            # What a killed write finished here was never the graph.
            (building / "manifest.json").unlink(missing_ok=True)
            try:
                yield building
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            os.rename(building, self.path)
            sync_folder(self.path.parent)


def _build(folder: Path, manifest: Manifest, graph: Graph) -> None:
    """Make a generation aside, prove it, and switch to it."""
    building = folder / f"{manifest.folder}.building"
    graph.to_parquet(building / "tables")
    database = jvm.create_database(building / "db")
    try:
        bulk.declare(database.engine)
        bulk.load(database.engine, graph, manifest.times)
    finally:
        database.close()
    # Proved on what is in the files, not on what the engine still remembers.
    database = jvm.open_read_only(building / "db", seconds=3600)
    try:
        bulk.verify(database.engine, graph)
    finally:
        database.close()
    sync_tree(building)
    os.rename(building, folder / manifest.folder)
    sync_folder(folder)
    write_manifest(folder, manifest)


def _tables(folder: Path) -> Graph:
    try:
        return Graph.from_parquet(folder)
    except (OSError, ValueError, InputError) as error:
        message = (
            f"The tables of the graph in {folder} are damaged ({error}). "
            "Remove the graph and build it again."
        )
        raise StoreError(message) from error


@contextmanager
def _cleaned(folder: Path, new: Manifest, old: Manifest | None) -> Iterator[None]:
    """Clear away left-overs before, and all but the standing generation afterwards."""
    jvm.start()
    import jpype
    from arcadedb_embedded import ArcadeDBError

    standing = old
    _clear(folder, standing)
    try:
        yield
        standing = new
    except (OSError, ArcadeDBError, jpype.JException) as error:
        message = (
            f"The graph could not be written: {error}. "
            f"{'The old graph stands.' if old else 'Nothing was written.'} "
            "Check the free space, or give Java more memory by SCYPHER_HEAP, and try again."
        )
        raise StoreError(message) from error
    finally:
        _clear(folder, standing)


def _clear(folder: Path, standing: Manifest | None) -> None:
    for generation in folder.glob("g[0-9]*"):
        if standing is None or generation.name != standing.folder:
            shutil.rmtree(generation, ignore_errors=True)


def _rows(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def plain(value: Any) -> Any:
    """Return a value of the engine as plain Python: nodes and edges as dicts, times as text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if hasattr(value, "propertiesAsMap"):
        from arcadedb_embedded import convert_java_to_python

        return plain(convert_java_to_python(value.propertiesAsMap()))
    return str(value)


def _explained(error: Exception) -> Exception:
    """Return the error for an engine's complaint about a query."""
    cause = type(error.__cause__).__name__
    first = str(error).split("\n", 1)[0].removeprefix("Query failed: ")
    if "NotIdempotent" in cause:
        return StoreError(f"A query may only read, and this one writes: {first}. Use write().")
    if any(part in cause for part in _WRONG_TEXT):
        return InputError(
            f"The query is not valid Cypher, or lacks a parameter: {first}. Correct the query."
        )
    if "Timeout" in cause or "Timeout" in first:
        limit = f"{query_seconds():g} s (SCYPHER_QUERY_SECONDS)"
        return StoreError(f"The query took longer than {limit}. Narrow it or raise the limit.")
    return StoreError(f"The embedded store could not answer the query: {first}")
