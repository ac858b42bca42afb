"""Plain methods that learn from the counts of the training cells alone, anew in every fold."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from scipy import sparse

from ..cells import Cells
from ..counts import normalise
from ..foreign import principal_components, variable_genes
from .probes import linear_probe, linear_svm, nearest_neighbours
from .splits import Fold

Input = tuple[np.ndarray, np.ndarray]
"""Values of training and of test cells."""


def variable_values(cells: Cells, fold: Fold) -> Input:
    """Return log1p counts per 10,000 of 2,000 genes that vary over the training cells."""
    genes = variable_genes(cells.counts[fold.train], cells.totals[fold.train])
    values = sparse.csr_matrix(normalise(cells.counts, cells.totals)[:, genes])
    return values[fold.train].toarray(), values[fold.test].toarray()


def training_components(cells: Cells, fold: Fold) -> Input:
    """Return the scores on 50 principal components of the training cells' variable genes."""
    found = principal_components(cells.counts[fold.train], cells.totals[fold.train])
    counts = sparse.csr_matrix(cells.counts[fold.test])
    values = normalise(counts, cells.totals[fold.test])[:, found.genes]
    return found.scores, np.asarray(values @ found.loadings.T - found.mean @ found.loadings.T)


INPUTS: Mapping[str, Callable[[Cells, Fold], Input]] = MappingProxyType(
    {"variable genes": variable_values, "components": training_components}
)

BASELINES: Mapping[str, tuple[str, Callable[..., np.ndarray]]] = MappingProxyType(
    {
        "HVG + linear SVM": ("variable genes", linear_svm),
        "HVG + logistic regression": ("variable genes", partial(linear_probe, strength=0.01)),
        "50 PCs + logistic regression": ("components", linear_probe),
        "50 PCs + kNN": ("components", nearest_neighbours),
    }
)
"""Name -> what it reads (see :data:`INPUTS`), and how it learns."""
