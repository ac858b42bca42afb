"""Errors of the package: what was given, what was expected, what to do.

::

    ScypherError
    ├── InputError        the input or the call is wrong; nothing was written (exit code 2)
    └── StoreError        a graph store failed (exit code 1)
        ├── StoreUnavailableError   it cannot be reached or refuses the login
        └── StoreBusyError          somebody else is writing; try again later
"""


class ScypherError(Exception):
    """Base of every error that Scypher raises on purpose."""


class InputError(ScypherError):
    """The input or the call is wrong; nothing was written."""


class StoreError(ScypherError):
    """A graph store could not do what was asked."""


class StoreUnavailableError(StoreError):
    """A graph store cannot be reached, or refuses the login or the database."""


class StoreBusyError(StoreError):
    """Somebody else is writing the graph; the same call works when they have ended."""
