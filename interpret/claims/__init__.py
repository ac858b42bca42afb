"""Claims with their evidence, as tables of the graph: one file per kind."""

from .base import Claims, Group, donors_of, n_donors_of
from .enrichment import by_key, enrichment_claims
from .markers import marker_claims
from .modules import depth_strata, module_claims

__all__ = [
    "Claims",
    "Group",
    "by_key",
    "depth_strata",
    "donors_of",
    "enrichment_claims",
    "marker_claims",
    "module_claims",
    "n_donors_of",
]
