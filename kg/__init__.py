"""The knowledge graph: schema, tables, graph attention, stores and queries."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .graph import Graph
    from .queries import list_queries, run_query
    from .stores import open_store
    from .verbs import query

__all__ = ["Graph", "list_queries", "open_store", "query", "run_query"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "graph": ["Graph"],
        "queries": ["list_queries", "run_query"],
        "stores": ["open_store"],
        "verbs": ["query"],
    },
)
