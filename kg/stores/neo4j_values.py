"""What comes out of the Neo4j driver, in our terms: values and errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...encoders.errors import InputError, StoreError, StoreUnavailableError
from .base import query_seconds

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


@contextmanager
def explained(address: str, database: str) -> Iterator[None]:
    """Turn errors of the driver into ours; they name the address, never the password."""
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
        raise _of_server(error, address, database) from error
    except (DriverError, OSError) as error:
        first = str(error).split("\n", 1)[0]
        message = (
            f"{address} cannot be reached, or the connection broke: {first}. "
            "Check that the server runs, and the address. A write that broke off is "
            "completed by writing again."
        )
        raise StoreUnavailableError(message) from error


def malformed(address: str, error: Exception) -> InputError:
    """Return the error for an address that the driver does not understand."""
    return InputError(
        f"{address} is not an address of Neo4j ({error}); "
        "something like bolt://host:7687 was expected. Correct it."
    )


def _of_server(error: Any, address: str, database: str) -> Exception:
    code, first = str(error.code), str(error.message).split("\n", 1)[0]
    if "DatabaseNotFound" in code:
        message = (
            f"{address} has no database {database!r}. "
            "Set SCYPHER_NEO4J_DATABASE to one that it has."
        )
        return StoreUnavailableError(message)
    if "AccessMode" in code:
        return StoreError(f"A query may only read, and this one writes: {first}. Use write().")
    if "TransactionTimedOut" in code:
        limit = f"{query_seconds():g} s (SCYPHER_QUERY_SECONDS)"
        return StoreError(f"The query took longer than {limit}. Narrow it or raise the limit.")
    if code.rsplit(".", 1)[-1] in _WRONG_TEXT:
        return InputError(
            f"The query is not valid Cypher, or lacks a parameter: {first} Correct the query."
        )
    return StoreError(f"{address} could not do what was asked: {code}: {first}")
