"""Pieces of an embedded graph as Parquet, one folder each, shared by the versions that hold them.

::

    pieces/0123456789abcdef/     first 16 digits of the hash of the piece
    ├── tables.json              rows per table: what must be there
    └── Label.parquet …
"""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ...encoders.errors import StoreError
from ..graph import Graph
from ..tables import is_declared, read_table
from .files import replace_text, sync_folder, sync_tree

_FOLDER = "pieces"
_DIGITS = 16
_INDEX = "tables.json"


def write_piece(graph_folder: Path, piece: str, graph: Graph) -> None:
    """Add a piece to the archive, in one step, unless it is there."""
    folder = _path(graph_folder, piece)
    if folder.exists():
        return
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    graph.to_parquet(building)
    sync_tree(building)
    replace_text(building / _INDEX, json.dumps(graph.counts()))
    os.rename(building, folder)
    sync_folder(folder.parent)


def read_piece(
    graph_folder: Path, piece: str, names: Sequence[str] | None, columns: Sequence[str] | None
) -> dict[str, pd.DataFrame]:
    """Return tables of a piece: all, or those of ``names`` that it has.

    Raises
    ------
    StoreError
        The piece is not there, or damaged.
    """
    folder = _path(graph_folder, piece)
    try:
        rows: dict[str, int] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        wanted = [name for name in rows if is_declared(name) and (names is None or name in names)]
        tables = {name: read_table(name, folder / f"{name}.parquet", columns) for name in wanted}
        for name, table in tables.items():
            if len(table) != rows[name]:
                message = f"{name} has {len(table)} rows, not {rows[name]}"
                raise ValueError(message)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = (
            f"The tables in {folder} are damaged or missing ({error}); those of a data set of the "
            "graph were expected. Remove the graph and build it again."
        )
        raise StoreError(message) from error
    return tables


def clear_pieces(graph_folder: Path, kept: Iterable[str]) -> None:
    """Delete what is neither one of the pieces ``kept`` nor part of one."""
    names = {_path(graph_folder, piece).name for piece in kept}
    for folder in (graph_folder / _FOLDER).glob("*"):
        if folder.name not in names:
            shutil.rmtree(folder, ignore_errors=True)


def _path(graph_folder: Path, piece: str) -> Path:
    return graph_folder / _FOLDER / piece[:_DIGITS]
