"""Graph attention: how much each cell draws on each of its genes and annotations."""

from .config import GraphAttentionConfig
from .run import GraphAttention, attend
from .tokens import top_tokens

__all__ = ["GraphAttention", "GraphAttentionConfig", "attend", "top_tokens"]
