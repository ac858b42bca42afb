"""Intermediate states: which states lie between two others, with a certificate."""

from .certificate import intermediate_states
from .monotone import monotone_genes

__all__ = ["intermediate_states", "monotone_genes"]
