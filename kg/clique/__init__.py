"""Clique attention: every cell and its genes as one fully connected graph."""

from .config import CliqueConfig
from .run import CliqueAttention, attend_clique
from .tokens import clique_tokens

__all__ = ["CliqueAttention", "CliqueConfig", "attend_clique", "clique_tokens"]
