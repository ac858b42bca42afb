"""Evidence and answers: markers, modules, enrichment, the main job and the report."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .options import Options
    from .pipeline import BuildResult
    from .ranked_genes import marker_genes
    from .verbs import build

__all__ = ["BuildResult", "Options", "build", "marker_genes"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "options": ["Options"],
        "pipeline": ["BuildResult"],
        "ranked_genes": ["marker_genes"],
        "verbs": ["build"],
    },
)
