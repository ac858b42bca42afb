"""Checks of the frames that are plotted."""

from collections.abc import Iterable

import pandas as pd

from ...encoders.errors import InputError


def require(table: pd.DataFrame, columns: Iterable[str], *, group: str | None = None) -> None:
    """Raise :class:`InputError` when a frame is empty, lacks columns, or has no row of a group."""
    missing = [name for name in columns if name not in table]
    if missing:
        message = (
            f"a frame with the columns {', '.join(map(str, table.columns))} was given; expected "
            f"also {', '.join(missing)}; give the frame as it was returned."
        )
        raise InputError(message)
    if table.empty:
        message = "an empty frame was given; expected rows to draw; nothing was found to be shown."
        raise InputError(message)
    if group is not None and not (table["group"] == group).any():
        known = ", ".join(map(str, dict.fromkeys(table["group"])))
        message = f"the group {group!r} was given; expected one of: {known}; name one of them."
        raise InputError(message)
