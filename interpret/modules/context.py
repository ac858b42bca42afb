"""One context: its cells, the genes tested in it, and the modules that a measure finds there."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, Ints, refuse
from .associations import Measure, associate
from .communities import Modules, find_modules
from .gene_pairs import closest_pairs, co_regulation
from .strata import depth_strata
from .stratified_null import PairTest


@dataclass(frozen=True)
class Context:
    """Cells of one context and how their genes are paired.

    Attributes
    ----------
    expression
        log1p of counts per 10,000 of the cells, shape (n_cells, n_genes).
    depth, donors
        Of each cell.
    genes
        Positions of the genes tested.
    max_pairs
        Pairs to keep.
    attention
        Attention of the cells to genes; by ``correlation`` tested beside it.
    measure
        How pairs are measured.
    gene_vectors
        Static embedding of each gene.
    """

    expression: sp.csr_matrix
    depth: NDArray[Any]
    donors: Ints | None
    genes: Ints
    max_pairs: int
    attention: sp.csr_matrix | None = None
    measure: Measure = "correlation"
    gene_vectors: Floats | None = None

    @property
    def n_donors(self) -> int:
        """Donors with a cell."""
        return 0 if self.donors is None else len(np.unique(self.donors[self.donors >= 0]))

    def part(self, cells: Ints) -> "Context":
        """Return some cells, for the modules alone: attention where they are made of it."""
        attention = None if self.measure == "correlation" else self.attention
        return replace(
            self,
            expression=self.expression[cells],
            depth=self.depth[cells],
            donors=None if self.donors is None else self.donors[cells],
            attention=None if attention is None else attention[cells],
        )

    def modules(
        self, rng: np.random.Generator, n_permutations: int
    ) -> tuple[pd.DataFrame, Modules]:
        """Return the closest pairs, and the modules of their network."""
        strata = depth_strata(self.depth, self.donors)
        if self.measure == "correlation":
            pairs = co_regulation(
                self.expression,
                attention=self.attention,
                strata=strata,
                genes=self.genes,
                rng=rng,
                n_permutations=n_permutations,
                max_pairs=self.max_pairs,
            )
        else:
            pairs = self._associated(strata, rng, n_permutations)
        n_genes = self.expression.shape[1]
        return pairs, find_modules(pairs, n_genes, rng=rng, expression=self.expression)

    def _associated(
        self, strata: Ints, rng: np.random.Generator, n_permutations: int
    ) -> pd.DataFrame:
        by_attention = self.measure in ("attention", "context")
        found = associate(
            self.measure,
            self._attention() if by_attention else self.expression,
            genes=self.genes,
            rng=rng,
            strata=strata,
            donors=self.donors,
            gene_vectors=self.gene_vectors,
            n_permutations=n_permutations,
        )
        return closest_pairs(
            PairTest(found.weight, found.z, found.p),
            found.genes,
            max_pairs=self.max_pairs,
            n_cells=len(self.depth),
        )

    def _attention(self) -> sp.csr_matrix:
        if self.attention is None or self.attention.shape != self.expression.shape:
            shape = None if self.attention is None else self.attention.shape
            refuse(
                f"attention of shape {shape} was given for the measure {self.measure}",
                f"the shape of the expression, {self.expression.shape}",
                "encode the cells, or use the measure correlation",
            )
        return self.attention
