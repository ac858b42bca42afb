"""File work of the embedded store: locks, atomic text, and data that must reach the disk."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...encoders.errors import StoreBusyError


@contextmanager
def exclusive(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock file ``path``; the system releases it even when the process is killed.

    Raises
    ------
    StoreBusyError
        Somebody else holds it for longer than ``seconds``.
    """
    import fcntl

    end = time.monotonic() + seconds
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            if time.monotonic() > end:
                message = (
                    f"Another process is writing {path.parent}; one writer at a time was "
                    "expected. Wait until it has ended and try again."
                )
                raise StoreBusyError(message) from error
            time.sleep(0.05)
            continue
        # The holder before us may have moved the folder: then this is the lock of another place.
        if path.exists() and os.stat(path).st_ino == os.fstat(handle).st_ino:
            break
        os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old text or the new one."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Force every file under a folder to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as handle:
                os.fsync(handle.fileno())
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
