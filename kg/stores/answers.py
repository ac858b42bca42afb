"""Answers of the embedded engine in plain Python, its complaints in plain words."""

from collections.abc import Mapping
from typing import Any

from ...encoders.errors import InputError, StoreError
from ..door import Budget

_WRONG_TEXT = ("Parsing", "ParameterMissing", "SemanticException")


def plain(value: Any) -> Any:
    """Return a value of the engine as plain Python: nodes and edges as dicts, times as text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if hasattr(value, "propertiesAsMap"):
        from arcadedb_embedded import convert_java_to_python

        return plain(convert_java_to_python(value.propertiesAsMap()))
    return str(value)


def explained(error: Exception, budget: Budget) -> Exception:
    """Return the error for an engine's complaint about a query."""
    cause = type(error.__cause__ or error).__name__
    first = str(error).split("\n", 1)[0].removeprefix("Query failed: ")
    if "NotIdempotent" in cause:
        return StoreError(f"A query may only read, and this one writes: {first}. Use write().")
    if any(part in cause for part in _WRONG_TEXT):
        return InputError(
            f"The query is not valid Cypher, or lacks a parameter: {first}. Correct the query."
        )
    if "Timeout" in cause or "Timeout" in first:
        limit = f"{budget.seconds:g} s (SCYPHER_QUERY_SECONDS)"
        return StoreError(f"The query took longer than {limit}. Narrow it or raise the limit.")
    if "OutOfMemory" in cause or "OutOfMemory" in first:
        return StoreError(
            f"The query needed more memory than Java has: {first}. "
            "Narrow it, or give Java more by SCYPHER_HEAP."
        )
    return StoreError(f"The embedded store could not answer the query: {first}")


def refuse_more(rows: int, budget: Budget) -> None:
    """Raise :class:`StoreError` if a query returned more rows than the budget allows."""
    if rows > budget.rows:
        message = (
            f"The query returns more than {budget.rows:,} rows (SCYPHER_QUERY_ROWS); at most that "
            "many were expected. Add a LIMIT, narrow it, or raise the limit."
        )
        raise StoreError(message)
