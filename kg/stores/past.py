"""A past version of a graph, of any store, as a graph that can be asked like the present one."""

import tempfile
from dataclasses import replace
from pathlib import Path

from ..door import measure
from ..graph import Graph
from ..versions.ledger import Ledger
from .base import Store
from .embedded import EmbeddedStore


def open_past(store: Store, version: int) -> Store:
    """Open a version of a graph for reading, as an embedded graph in a temporary folder.

    Its ledger ends with that version; earlier ones are listed, but cannot be read from it.

    Parameters
    ----------
    store
        The graph, in any engine; it may be closed afterwards.
    version
        Number of the version; negative numbers count from the current one, -1.

    Returns
    -------
    Store
        A store whose folder is removed when it is closed.

    Raises
    ------
    InputError
        There is no such version, or it was forgotten.
    StoreError
        There is not enough room for it, or the engine failed.
    """
    # Through the parts of the contract that engines implement: entries keep their times.
    ledger = store._ledger()
    wanted = ledger.version(version)
    pieces = {entry.piece: store._piece(entry.piece) for entry in wanted.entries}
    earlier = (replace(item, readable=False) for item in ledger.versions[: wanted.number - 1])
    statistics = {piece: measure(graph).to_dict() for piece, graph in pieces.items()}
    return _PastStore(store.address, Ledger((*earlier, wanted), statistics), pieces)


class _PastStore(EmbeddedStore):
    def __init__(self, address: str, ledger: Ledger, pieces: dict[str, Graph]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="scypher-")
        super().__init__(Path(self._folder.name) / "past.kg", mode="w")
        try:
            with self._writing():
                self._commit(ledger, pieces)
        except BaseException:
            self._folder.cleanup()
            raise
        self.mode = "r"
        self.address = f"{address}, version {ledger.versions[-1].number}"

    def close(self) -> None:
        """Close the database and remove the folder."""
        super().close()
        self._folder.cleanup()
