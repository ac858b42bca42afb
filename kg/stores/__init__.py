"""Graph stores: embedded (a folder) or Neo4j (a server), behind one contract."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import lazy_loader

from ...encoders.errors import InputError
from .login import find_login, refuse_credentials

if TYPE_CHECKING:
    from .base import Store, WriteResult

__all__ = ["Store", "WriteResult", "check_address", "open_store"]

# The command line needs this package before it needs pandas.
__getattr__, _, _ = lazy_loader.attach(__name__, submod_attrs={"base": ["Store", "WriteResult"]})

_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def open_store(
    address: str | Path,
    *,
    mode: Literal["r", "w"] = "r",
    version: int | None = None,
    user: str | None = None,
    password: str | None = None,
    database: str | None = None,
) -> "Store":
    """Open a graph store.

    Parameters
    ----------
    address
        A path (embedded), or an address of Neo4j such as ``neo4j+s://host`` or
        ``bolt://host:7687``, without a login in it.
    mode
        ``"r"`` to query, ``"w"`` to write too.
    version
        Number of a past version to read, the current one when not given; negative numbers count
        from the current one, -1. It is opened as an embedded graph in a temporary folder.
    user, password
        Login of Neo4j; else SCYPHER_NEO4J_USER and the sources of a password that
        :mod:`scypher.kg.stores.login` names. Without a user there is no login.
    database
        Name of the database of Neo4j; else SCYPHER_NEO4J_DATABASE, ``neo4j`` when unset.

    Raises
    ------
    InputError
        There is no graph at a path to read, the path is something else, the scheme of the
        address is not one of Neo4j's, the address holds a login, a user has no password, there is
        no such version, or one was to be written.
    StoreUnavailableError
        The server cannot be reached or refuses the login or the database.
    """
    refuse_credentials(str(address))
    if version is not None:
        if mode == "w":
            message = f"Version {version} was opened to be written; versions are only read."
            raise InputError(message)
        from .past import open_past

        with open_store(address, user=user, password=password, database=database) as store:
            return open_past(store, version)
    if is_neo4j(address):
        from .neo4j import Neo4jStore

        login = find_login(str(address), user=user, password=password)
        name = database or os.environ.get("SCYPHER_NEO4J_DATABASE") or "neo4j"
        with login.guard():
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
        f"{', '.join(f'{scheme}://' for scheme in _SCHEMES)} was expected. Correct the address."
    )
    raise InputError(message)
