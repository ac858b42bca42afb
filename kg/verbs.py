"""The verb of the graph: ask it a question."""

from pathlib import Path
from typing import Any

import pandas as pd

from .queries import run_query
from .stores import open_store


def query(
    name: str | Path, *, graph: str | Path, version: int | None = None, **parameters: Any
) -> pd.DataFrame:
    """Ask a graph one question and return its rows.

    Parameters
    ----------
    name
        Name of a query (see :func:`scypher.kg.list_queries`) or path of a ``.cypher`` file.
    graph
        Path of an embedded graph or address of a Neo4j server.
    version
        Number of a past version to ask; the graph as it is now when not given.
    **parameters
        Parameters of the query, as its header declares them.

    Returns
    -------
    pandas.DataFrame
        The columns that the header declares, in that order.

    Raises
    ------
    InputError
        There is no such query or graph, or a parameter is missing, unknown or of another type.
    """
    with open_store(graph, version=version) as store:
        return run_query(store, name, **parameters)
