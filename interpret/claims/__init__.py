"""Claims with their evidence, as tables of the graph: one file per kind."""

from .base import Claims, Group, donors_of, n_donors_of, values_of
from .communication import communication_claims
from .enrichment import by_key, enrichment_claims
from .flips import flip_claims
from .markers import marker_claims
from .metadata import metadata_claims
from .modules import cells_of_modules, depth_strata, module_claims
from .paths import path_claims
from .regulation import regulation_claims
from .shifts import abundance_claims, shift_claims

__all__ = [
    "Claims",
    "Group",
    "abundance_claims",
    "by_key",
    "cells_of_modules",
    "communication_claims",
    "depth_strata",
    "donors_of",
    "enrichment_claims",
    "flip_claims",
    "marker_claims",
    "metadata_claims",
    "module_claims",
    "n_donors_of",
    "path_claims",
    "regulation_claims",
    "shift_claims",
    "values_of",
]
