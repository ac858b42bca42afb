"""What comes out of the Neo4j driver, in our terms: values, versions and errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...encoders.errors import (
    InputError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
)
from .connection import unreachable

OLDEST = (5, 23)
"""The first version whose Cypher has all that the store writes with."""

_WRONG_TEXT = ("SyntaxError", "SemanticError", "ParameterMissing", "TypeError", "ArgumentError")


def plain(value: Any) -> Any:
    """Return a value of the driver as plain Python: nodes and edges as dicts, paths as lists."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "relationships"):
        return [dict(node.items()) for node in value.nodes]
    if hasattr(value, "items"):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value)


def check_agent(agent: str, address: str) -> None:
    """Make sure that a server is a Neo4j that the store knows, by the name it gives itself.

    Raises
    ------
    StoreUnavailableError
        It is older than :data:`OLDEST`, or something else that speaks Bolt.
    """
    match = re.match(r"Neo4j/(\d+)\.(\d+)", agent)
    if match and (int(match[1]), int(match[2])) >= OLDEST:
        return
    oldest = ".".join(map(str, OLDEST))
    message = (
        f"{address} is a {agent or 'server without a name'}; Neo4j {oldest} or newer was expected. "
        "Update the server (5.26 is the version with long-term support), or give a path for an "
        "embedded graph."
    )
    raise StoreUnavailableError(message)


@contextmanager
def explained(address: str, database: str, *, seconds: float | None = None) -> Iterator[None]:
    """Turn errors of the driver into ours; they name the address, never the password.

    ``seconds`` is the limit that a query was given.
    """
    from neo4j.exceptions import AuthError, DriverError, Neo4jError

    try:
        yield
    except AuthError as error:
        message = (
            f"{address} refuses the login. "
            "Set SCYPHER_NEO4J_USER and SCYPHER_NEO4J_PASSWORD to a user of the server."
        )
        raise StoreUnavailableError(message) from error
    except Neo4jError as error:
        raise _of_server(error, address, database, seconds) from error
    except (DriverError, OSError) as error:
        raise StoreUnavailableError(unreachable(address, error)) from error


def malformed(address: str, error: Exception) -> InputError:
    """Return the error for an address that the driver does not understand."""
    return InputError(
        f"{address} is not an address of Neo4j ({error}); "
        "something like bolt://host:7687 was expected. Correct it."
    )


def busy(address: str) -> StoreBusyError:
    """Return the error for a reader that met a write."""
    return StoreBusyError(
        f"A write to {address} is going on, or broke off, so that no answer would be whole. "
        "Ask again when it has ended; one that broke off is completed by the next write."
    )


def locked(address: str, seconds: float) -> StoreBusyError:
    """Return the error for a writer that met another one."""
    return StoreBusyError(
        f"Another process has been writing {address} for {seconds:g} s; one writer at a time was "
        "expected. Wait until it has ended and try again."
    )


def _of_server(error: Any, address: str, database: str, seconds: float | None) -> Exception:
    code, first = str(error.code), str(error.message).split("\n", 1)[0]
    if "DatabaseNotFound" in code:
        message = (
            f"{address} has no database {database!r}. "
            "Set SCYPHER_NEO4J_DATABASE to one that it has."
        )
        return StoreUnavailableError(message)
    if "ReadOnlyDatabase" in code or "read-only" in first:
        return read_only(address, database)
    if "AccessMode" in code:
        return StoreError(f"A query may only read, and this one writes: {first}. Use write().")
    if "OutOfMemory" in code:
        return StoreError(
            f"{address} has not the memory that this needs: {first}. Narrow the query, or give "
            "the server more (server.memory.heap.max_size, dbms.memory.transaction.total.max)."
        )
    if "TransactionTimedOut" in code and seconds is not None:
        limit = f"{seconds:g} s (SCYPHER_QUERY_SECONDS)"
        return StoreError(f"The query took longer than {limit}. Narrow it or raise the limit.")
    if code.rsplit(".", 1)[-1] in _WRONG_TEXT:
        return InputError(
            f"The query is not valid Cypher, or lacks a parameter: {first} Correct the query."
        )
    return StoreError(f"{address} could not do what was asked: {code}: {first}")


def read_only(address: str, database: str) -> StoreError:
    """Return the error for a writer of a database that is served to be read."""
    return StoreError(
        f"The database {database!r} of {address} is read-only on its server. Write to one that is "
        "not (server.databases.read_only and server.databases.default_to_read_only decide)."
    )
