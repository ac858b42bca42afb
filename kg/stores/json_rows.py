"""Tables as JSON text, built by Arrow: how rows cross into Java in one piece."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa


def json_rows(frame: pd.DataFrame, texts: "Mapping[str, pa.Array] | None" = None) -> str:
    """Return rows as the text of a JSON list of objects; unknown and infinite values left out.

    Parameters
    ----------
    frame
        The rows.
    texts
        Further columns of large strings that need no escape, such as record ids.
    """
    import pyarrow.compute as pc

    members = [_member(name, frame[name]) for name in frame.columns if len(frame)]
    members += [_glued(f'{json.dumps(name)}:"', ids, '"') for name, ids in (texts or {}).items()]
    if not members:
        return f"[{','.join(['{}'] * len(frame))}]"
    objects = pc.binary_join_element_wise(*members, _large(","), null_handling="skip")
    return f"[{{{joined(objects, '},{')}}}]"


def joined(texts: "pa.Array", separator: str) -> str:
    """Return large strings as one text, with a separator between them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pa.LargeListArray.from_arrays(pa.array([0, len(texts)], pa.int64()), texts)
    return str(pc.binary_join(rows, _large(separator))[0].as_py())


def has_infinity(frame: pd.DataFrame) -> bool:
    """Return whether a number is infinite: JSON has no text for it."""
    return bool(np.isinf(frame.select_dtypes("float").to_numpy()).any())


def _member(name: str, values: pd.Series) -> "pa.Array":
    """Return ``"name":value`` of every row, null where there is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.dtype == object:
        # Every text is quoted once, however often it occurs.
        codes, unique = pd.factorize(_hashable(values))
        quoted = pa.array([json.dumps(value) for value in unique], pa.large_string())
        array = quoted.take(pa.array(codes, mask=codes < 0))
    elif values.dtype == bool:
        array = pc.cast(pa.array(values.to_numpy()), pa.large_string())
    else:
        numbers = values.to_numpy()
        array = pc.cast(pa.array(numbers, mask=~np.isfinite(numbers)), pa.large_string())
    return _glued(f"{json.dumps(name)}:", array, "")


def _glued(before: str, texts: "pa.Array", after: str) -> "pa.Array":
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(_large(before), texts, _large(after), _large(""))


def _large(text: str) -> "pa.Scalar":
    import pyarrow as pa

    return pa.scalar(text, pa.large_string())


def _hashable(values: pd.Series) -> pd.Series:
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        return values
    return values.map(lambda value: tuple(value) if isinstance(value, list) else value)
