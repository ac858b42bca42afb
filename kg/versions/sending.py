"""A difference as files: Parquet tables and what they are, in one folder."""

import json
from pathlib import Path

import pandas as pd

from ...encoders.errors import InputError
from ..schema import SCHEMA_VERSION
from ..tables import read_table, write_table
from .difference import PARTS, Difference, TableDifference
from .rows import empty_table, properties_of

FORMAT = 1
"""Rises with every change of the files of a difference."""

_FILE = "difference.json"


def write_difference(difference: Difference, folder: Path) -> None:
    """Write a difference into a new folder; see :meth:`Difference.write`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = f"{folder} is there already; a new folder was expected. Name another."
        raise InputError(message)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in difference.tables.items():
        for part in PARTS:
            if len(frame := getattr(table, part)):
                write_table(frame, folder / f"{name}.{part}.parquet")
    fields = {
        "format": FORMAT,
        "schema": SCHEMA_VERSION,
        "gained": difference.gained,
        "lost": difference.lost,
        "tables": {
            name: {part: len(getattr(table, part)) for part in PARTS}
            for name, table in difference.tables.items()
        },
    }
    (folder / _FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")


def read_difference(folder: Path) -> Difference:
    """Read what :func:`write_difference` wrote; see :meth:`Difference.read`."""
    try:
        fields = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        if fields["format"] > FORMAT or fields["schema"] > SCHEMA_VERSION:
            message = (
                f"The difference in {folder} was written by a newer Scypher. "
                "Update this one: pip install -U scypher"
            )
            raise InputError(message)
        tables = {
            name: TableDifference(**{part: _read(folder, name, part, rows[part]) for part in PARTS})
            for name, rows in fields["tables"].items()
        }
        return Difference(tables, tuple(fields["gained"]), tuple(fields["lost"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"{folder} holds no whole difference ({error}); a folder that `scypher diff --out` "
            "wrote was expected. Correct the path, or write it again."
        )
        raise InputError(message) from error


def _read(folder: Path, name: str, part: str, rows: int) -> pd.DataFrame:
    if not rows:
        frame = empty_table(name)
        return frame.astype({"source": object, "target": object}) if "-" in name else frame
    frame = read_table(name, folder / f"{name}.{part}.parquet")
    if len(frame) != rows:
        message = f"{name}.{part}.parquet has {len(frame)} rows, {rows} were written"
        raise ValueError(message)
    lists = [item.name for item in properties_of(name) if item.kind in ("floats", "strings")]
    return frame.assign(
        **{
            column: pd.Series(
                [None if value is None else list(value) for value in frame[column]],
                index=frame.index,
                dtype=object,
            )
            for column in lists
        }
    )
