"""The manifest of an embedded graph: the one file that says what the graph is.

A graph is a folder::

    atlas.kg/
    ├── manifest.json        replaced in one step, last: format, ledger, name of the database
    ├── lock                 held by the writer
    ├── pieces/              one folder per data set and version of it, as tables
    └── db-000003/           the ArcadeDB database of the current version

A database or a piece that the manifest does not name, and whatever ends in ``.building``, is what a
killed write left; the next write clears it away.

Format 1 had no versions: ``g000003/db`` and ``g000003/tables`` held the one graph. It is read as it
is, and becomes format 2 with the next write.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...encoders.errors import InputError, StoreError
from ..versions.ledger import Ledger
from . import legacy
from .files import replace_text

FORMAT = 2
_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What the graph is.

    Attributes
    ----------
    ledger
        Its versions.
    database
        Path of the database of the current version, below the folder of the graph.
    tables
        Path of the tables of a graph of format 1, else ``None``.
    """

    ledger: Ledger
    database: str
    tables: str | None = None


def database_name(version: int) -> str:
    """Return the name of the database folder of a version."""
    return f"db-{version:06d}"


def has_manifest(path: Path) -> bool:
    """Return whether a graph is at ``path``."""
    return (path / _NAME).exists()


def stamp(path: Path) -> tuple[int, int, int]:
    """Return what differs after every replacement of the manifest, without reading it."""
    found = os.stat(path / _NAME)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Make ``manifest`` the manifest of the graph at ``path``, in one step."""
    fields = {
        "format": FORMAT,
        "database": manifest.database,
        "ledger": json.loads(manifest.ledger.to_json()),
    }
    replace_text(path / _NAME, json.dumps(fields, indent=1, sort_keys=True) + "\n")


def remove_manifest(path: Path) -> None:
    """Make what is at ``path`` no graph."""
    (path / _NAME).unlink(missing_ok=True)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the graph at ``path``.

    Raises
    ------
    InputError
        There is nothing, or something that is not a graph.
    StoreError
        The manifest is damaged, or of a newer format or schema.
    """
    if not path.exists():
        message = f"There is no graph at {path}. Build one: scypher build FILE.h5ad --graph {path}"
        raise InputError(message)
    check_target(path)
    if not has_manifest(path):
        message = (
            f"{path} is an empty folder, not a graph. "
            f"Build one: scypher build FILE.h5ad --graph {path}"
        )
        raise InputError(message)
    try:
        fields: dict[str, Any] = json.loads((path / _NAME).read_text(encoding="utf-8"))
        if (found := int(fields["format"])) > FORMAT:
            message = (
                f"The graph at {path} has format {found}, written by a newer Scypher; this one "
                f"knows formats up to {FORMAT}. Update it: pip install -U scypher"
            )
            raise StoreError(message)
        if found == 1:
            folder = f"g{int(fields['generation']):06d}"
            ledger = legacy.read_ledger(path / folder / "tables", dict(fields["times"]))
            return Manifest(ledger, f"{folder}/db", f"{folder}/tables")
        return Manifest(Ledger.from_json(json.dumps(fields["ledger"])), str(fields["database"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = (
            f"The manifest of the graph at {path} is damaged ({error!r}); what a write of Scypher "
            "left was expected. Remove the folder and build the graph again."
        )
        raise StoreError(message) from error


def check_target(path: Path) -> None:
    """Raise :class:`InputError` unless a graph is at ``path`` or could be written there."""
    if path.is_file() or (path.exists() and not path.is_dir()):
        message = f"{path} is a file; a graph is a folder. Give another path."
        raise InputError(message)
    if path.is_dir() and not has_manifest(path) and os.listdir(path):
        message = (
            f"{path} is a folder with other content, not a graph; it stays as it is. "
            "Give the path of a graph, or one that does not exist yet."
        )
        raise InputError(message)


def check_writable(path: Path) -> None:
    """Raise :class:`InputError` unless the user may write a graph at ``path``."""
    check_target(path)
    place = path if path.exists() else path.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        message = f"Nothing can be written in {place}; give a path that you may write."
        raise InputError(message)
