"""Tables of a graph as Parquet: written the same way everywhere, read back across versions."""

from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import pandas as pd

from .schema import Property, edge_tables, edge_type, node_type

if TYPE_CHECKING:
    from pathlib import Path

_UNKNOWN: dict[str, Any] = {
    "string": "",
    "integer": 0,
    "float": float("nan"),
    "boolean": False,
    "floats": None,
    "strings": None,
}
"""What stands for a property that a table written by an older Scypher does not have."""


def write_table(frame: pd.DataFrame, sink: "Path | IO[bytes]") -> None:
    """Write one table as Parquet; equal tables give equal bytes."""
    frame.to_parquet(sink, index=False, compression="zstd", write_page_checksum=True)


def read_table(
    name: str, source: "Path | IO[bytes]", columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read the table ``Label`` or ``Label-TYPE-Label`` that :func:`write_table` wrote.

    Properties that the schema has gained since are unknown (empty text, ``NaN``, 0, ``None``);
    those that it has lost are left out. ``columns`` names those to read, all by default.
    """
    import pyarrow.parquet as pq

    ends = ["source", "target"] if "-" in name else []
    kinds = {item.name: item.kind for item in _declared(name)}
    wanted = list(columns) if columns is not None else [*ends, *kinds]
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        stored = set(file.schema_arrow.names)
        found = [column for column in wanted if column in stored]
        frame: pd.DataFrame = file.read(found).to_pandas()
    for column in wanted:
        kind = kinds.get(column, "integer")
        if column not in stored:
            frame[column] = pd.Series(
                [_UNKNOWN[kind]] * len(frame),
                dtype=None if kind in ("integer", "float", "boolean") else object,
            )
        elif kind in ("floats", "strings"):
            # As they were written: Parquet gives arrays, whose comparison has no truth value.
            frame[column] = pd.Series(
                [None if value is None else value.tolist() for value in frame[column]],
                dtype=object,
            )
    return frame[wanted]


def is_declared(name: str) -> bool:
    """Return whether the schema still has the table ``Label`` or ``Label-TYPE-Label``."""
    source, *rest = name.split("-")
    if rest:
        return (source, rest[0], rest[1]) in edge_tables()
    try:
        node_type(source)
    except KeyError:
        return False
    return True


def _declared(name: str) -> Iterable[Property]:
    source, *rest = name.split("-")
    return (edge_type(source, rest[0], rest[1]) if rest else node_type(source)).properties
