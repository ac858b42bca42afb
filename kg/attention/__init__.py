"""Graph attention: how much each cell draws on each of its genes and annotations."""

from .config import GraphAttentionConfig
from .relations import Relations
from .run import GraphAttention, attend
from .tokens import top_tokens

__all__ = ["GraphAttention", "GraphAttentionConfig", "Relations", "attend", "top_tokens"]
