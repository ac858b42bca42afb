"""Claims with their evidence, as tables of the graph: one file per kind."""

from .base import Claims, Group, donors_of, n_donors_of, values_of
from .enrichment import by_key, enrichment_claims
from .flips import flip_claims
from .markers import marker_claims
from .metadata import metadata_claims
from .modules import depth_strata, module_claims
from .paths import path_claims
from .shifts import abundance_claims, shift_claims

__all__ = [
    "Claims",
    "Group",
    "abundance_claims",
    "by_key",
    "depth_strata",
    "donors_of",
    "enrichment_claims",
    "flip_claims",
    "marker_claims",
    "metadata_claims",
    "module_claims",
    "n_donors_of",
    "path_claims",
    "shift_claims",
    "values_of",
]
