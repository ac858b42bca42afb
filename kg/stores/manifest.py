"""The manifest of an embedded graph: the one file that says which generation is the graph.

A graph is a folder::

    atlas.kg/
    ├── manifest.json         replaced in one step, last
    ├── lock                  held by the writer
    └── g000001/
        ├── db/               the ArcadeDB database
        └── tables/*.parquet  the same graph as tables

A folder ``g000002.building`` or a generation that the manifest does not name is what a killed
write left; the next write clears it away.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...encoders.errors import InputError, StoreError
from .files import replace_text

FORMAT = 1
_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """Current generation, hash and rows per table of the graph, time of writing per data set."""

    generation: int
    graph_hash: str
    counts: dict[str, int]
    times: dict[str, str]

    @property
    def folder(self) -> str:
        """Name of the folder of the generation."""
        return f"g{self.generation:06d}"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Make ``manifest`` the manifest of the graph at ``path``, in one step."""
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=2, sort_keys=True)
    replace_text(path / _NAME, text + "\n")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the graph at ``path``.

    Raises
    ------
    InputError
        There is nothing, or something that is not a graph.
    StoreError
        The manifest is damaged or of another version of the format.
    """
    if not path.exists():
        message = f"There is no graph at {path}. Build one: scypher build FILE.h5ad --graph {path}"
        raise InputError(message)
    check_target(path)
    if not (path / _NAME).exists():
        message = (
            f"{path} is an empty folder, not a graph. "
            f"Build one: scypher build FILE.h5ad --graph {path}"
        )
        raise InputError(message)
    try:
        fields: dict[str, Any] = json.loads((path / _NAME).read_text(encoding="utf-8"))
        if fields.pop("format") != FORMAT:
            message = (
                f"The graph at {path} is of another format than {FORMAT}. Read it with the "
                "version of Scypher that wrote it, or build it again."
            )
            raise StoreError(message)
        return Manifest(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = (
            f"The manifest of the graph at {path} is damaged ({error}). "
            "Remove the folder and build the graph again."
        )
        raise StoreError(message) from error


def check_target(path: Path) -> None:
    """Raise :class:`InputError` unless a graph is at ``path`` or could be written there."""
    if path.is_file() or (path.exists() and not path.is_dir()):
        message = f"{path} is a file; a graph is a folder. Give another path."
        raise InputError(message)
    if path.is_dir() and not (path / _NAME).exists() and os.listdir(path):
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
