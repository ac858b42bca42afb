"""Write the report of a data set as one HTML file that needs nothing but itself."""

import os
import tempfile
from pathlib import Path

from ...encoders.errors import InputError
from ...kg.stores.base import Store
from .collect import collect
from .page import render


def write_report(
    store: Store,
    out: str | Path,
    *,
    dataset: str | None = None,
    groups_limit: int = 40,
    markers_limit: int = 10,
    asked: str = "",
) -> Path:
    """Write what a graph says of one data set to an HTML file that opens offline.

    Everything comes from the graph through the query files, so that every store gives the same
    page, and the same graph gives the same bytes. The page loads nothing and needs no script. It
    is written to a temporary file beside ``out`` and renamed: whoever opens ``out`` finds the old
    page or the new one.

    Parameters
    ----------
    store
        An open store.
    out
        The file to write; its folder must exist.
    dataset
        Key of the data set; needed when the graph holds several, since a report is on one.
    groups_limit
        Most cell types, coarse states and modules to show, each, at least 1.
    markers_limit
        Most markers to show of each group, at least 1.
    asked
        The question or command that led to the graph, shown as given.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The folder of ``out`` does not exist or cannot be written, ``out`` is a folder, a limit is
        below 1, or the data set is missing, ambiguous or incomplete.
    StoreError
        The store failed.
    """
    path = Path(out)
    _check(path, groups_limit=groups_limit, markers_limit=markers_limit)
    content = collect(store, dataset, limit=groups_limit)
    _replace(path, render(content, markers_limit=markers_limit, asked=asked))
    return path


def _check(path: Path, **limits: int) -> None:
    for name, value in limits.items():
        if value < 1:
            message = f"{name} is {value}; a whole number of at least 1 was expected. Raise it."
            raise InputError(message)
    if path.is_dir():
        message = f"{path} is a folder; the name of a file was expected. Add a name."
        raise InputError(message)
    if not path.parent.is_dir():
        message = (
            f"The report was to be written to {path}, but there is no folder {path.parent}; "
            "an existing folder was expected. Create it or choose another."
        )
        raise InputError(message)


def _replace(path: Path, text: str) -> None:
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    except OSError as error:
        message = (
            f"The report cannot be written to {path.parent} ({error.strerror}); "
            "a folder that can be written was expected. Choose another."
        )
        raise InputError(message) from error
    new = Path(name)
    try:
        with open(handle, "wb") as file:
            # What UTF-8 cannot hold, such as half of a surrogate pair, must not lose the page.
            file.write(text.encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        new.chmod(path.stat().st_mode & 0o777 if path.exists() else _usual_mode())
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _usual_mode() -> int:
    """Return the mode of a file that is created in the usual way."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
