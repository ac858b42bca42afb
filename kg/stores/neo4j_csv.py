"""Tables as the CSV that ``neo4j-admin database import`` reads, written by Arrow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..graph import Graph
from ..schema import Property, edge_type, node_type

_TYPES = {
    "string": "string",
    "integer": "long",
    "float": "double",
    "boolean": "boolean",
    "floats": "double[]",
    "strings": "string[]",
}
# What separates the items of a list must not be in one: the first of these that is in none.
_DELIMITERS = (";", "|", "\x1f", "\x1e", "\x1d")


def write_csv(
    path: Path,
    ends: dict[str, np.ndarray],
    frame: pd.DataFrame,
    properties: Sequence[Property],
    *,
    delimiter: str,
) -> bool:
    """Write one table and its header; return whether a text in it has line breaks."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    names = [*ends, *(f"{item.name}:{_TYPES[item.kind]}" for item in properties)]
    columns = [pa.array(values) for values in ends.values()]
    columns += [_column(frame[item.name], item.kind, delimiter) for item in properties]
    header = path.with_name(f"{path.name}-header.csv")
    header.write_text(",".join(names) + "\n", encoding="utf-8")
    table = pa.table(dict(zip(names, columns, strict=True)))
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    csv.write_csv(table, path.with_name(f"{path.name}.csv"), options)
    return any(
        pc.any(pc.match_substring_regex(column, "[\r\n]"), min_count=0).as_py()
        for column in columns
        if pa.types.is_string(column.type)
    )


def _column(values: pd.Series, kind: str, delimiter: str) -> Any:
    """Return a column as the import tool reads it; null is no property."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "string":
        return pa.array(values, pa.string())
    if kind == "float":
        numbers = values.to_numpy()
        column = pa.array(numbers, pa.float64(), from_pandas=True)
        if not np.isinf(numbers).any():
            return column
        return _as_java(pc.cast(column, pa.string()))
    if kind == "strings":
        return pc.binary_join(pa.array(values, pa.list_(pa.string())), delimiter)
    if kind == "floats":
        # From a list: in a Series NaN would be taken for a missing number.
        items = pa.array(values.tolist(), pa.list_(pa.float64()))
        return _as_java(pc.binary_join(pc.cast(items, pa.list_(pa.string())), delimiter))
    return pa.array(values.to_numpy())


def _as_java(numbers: Any) -> Any:
    import pyarrow.compute as pc

    return pc.replace_substring(pc.replace_substring(numbers, "inf", "Infinity"), "nan", "NaN")


def free_delimiter(graph: Graph) -> str:
    """Return a character that no list of texts holds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = [(frame, node_type(label).properties) for label, frame in graph.nodes.items()]
    tables += [(frame, edge_type(*key).properties) for key, frame in graph.edges.items()]
    texts = [
        pc.list_flatten(pa.array(frame[item.name], pa.list_(pa.string())))
        for frame, properties in tables
        for item in properties
        if item.kind == "strings"
    ]
    for delimiter in _DELIMITERS:
        if not any(
            pc.any(pc.match_substring(items, delimiter), min_count=0).as_py() for items in texts
        ):
            return delimiter
    message = (
        "A list of the graph holds each of the characters that could separate its items; one that "
        "lacks ;, | or the separators of ASCII was expected. Write the graph over Bolt instead."
    )
    raise InputError(message)
