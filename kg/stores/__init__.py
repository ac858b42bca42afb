"""Graph stores: embedded (a folder) or Neo4j (a server), behind one contract."""

import os
import re
from pathlib import Path
from typing import Literal

from ...encoders.errors import InputError
from .base import Store, WriteResult

__all__ = ["Store", "WriteResult", "check_address", "open_store"]

_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def open_store(
    address: str | Path,
    *,
    mode: Literal["r", "w"] = "r",
    user: str | None = None,
    password: str | None = None,
    database: str | None = None,
) -> Store:
    """Open a graph store.

    Parameters
    ----------
    address
        A path (embedded), or an address of Neo4j such as ``neo4j+s://host`` or
        ``bolt://host:7687``.
    mode
        ``"r"`` to query, ``"w"`` to write too.
    user, password, database
        Login of Neo4j; else the variables SCYPHER_NEO4J_USER, SCYPHER_NEO4J_PASSWORD and
        SCYPHER_NEO4J_DATABASE (``neo4j`` when unset). Without a user there is no login.

    Raises
    ------
    InputError
        There is no graph at a path to read, the path is something else, or the scheme of the
        address is not one of Neo4j's.
    StoreUnavailableError
        The server cannot be reached or refuses the login or the database.
    """
    if is_neo4j(address):
        from .neo4j import Login, Neo4jStore

        login = Login(
            user or os.environ.get("SCYPHER_NEO4J_USER"),
            password or os.environ.get("SCYPHER_NEO4J_PASSWORD"),
        )
        name = database or os.environ.get("SCYPHER_NEO4J_DATABASE") or "neo4j"
        return Neo4jStore(str(address), login=login, database=name, mode=mode)
    from .embedded import EmbeddedStore

    return EmbeddedStore(Path(address), mode=mode)


def check_address(address: str | Path) -> None:
    """Make sure that a graph can be written to an address, before anything long is computed.

    Raises
    ------
    InputError
        The path is a file, a folder with other content, or in a place that cannot be written.
    StoreUnavailableError
        The server cannot be reached or refuses the login or the database.
    """
    with open_store(address, mode="w"):
        pass


def is_neo4j(address: str | Path) -> bool:
    """Return whether an address is one of Neo4j, else it is a path.

    Raises
    ------
    InputError
        The address has a scheme that no store has.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", str(address))
    if match is None:
        return False
    if match[1] in _SCHEMES:
        return True
    message = (
        f"No store has the scheme {match[1]}://; a path or one of "
        f"{', '.join(f'{scheme}://' for scheme in _SCHEMES)} was expected."
    )
    raise InputError(message)
