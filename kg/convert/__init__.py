"""Conversions of a graph without loss: to AnnData, PyG and networkx, and back.

For every graph ``g``, ``from_x(to_x(g)).content_hash() == g.content_hash()``.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .as_anndata import from_anndata, to_anndata
    from .as_networkx import from_networkx, to_networkx
    from .as_pyg import from_pyg, to_pyg

__all__ = ["from_anndata", "from_networkx", "from_pyg", "to_anndata", "to_networkx", "to_pyg"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "as_anndata": ["from_anndata", "to_anndata"],
        "as_networkx": ["from_networkx", "to_networkx"],
        "as_pyg": ["from_pyg", "to_pyg"],
    },
)
