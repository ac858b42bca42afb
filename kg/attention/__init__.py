"""Graph attention: how much each cell draws on each of its genes and annotations."""

from .config import GraphAttentionConfig
from .relations import Relations
from .run import GraphAttention, attend
from .slots import write_slots
from .tokens import informative_tokens, top_tokens

__all__ = [
    "GraphAttention",
    "GraphAttentionConfig",
    "Relations",
    "attend",
    "informative_tokens",
    "top_tokens",
    "write_slots",
]
