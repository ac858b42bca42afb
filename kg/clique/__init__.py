"""Clique attention: every cell and its genes as one fully connected graph."""

from .config import CliqueConfig
from .run import CliqueAttention, attend_clique

__all__ = ["CliqueAttention", "CliqueConfig", "attend_clique"]
