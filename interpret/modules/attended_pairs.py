"""Which genes are attended to in like company: cosine of contexts, against permuted attention."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..similarity.gene_similarity import attended_contexts
from ..statistics import Floats, Ints
from .stratified_null import (
    Matrix,
    PairTest,
    PooledNull,
    add_draws,
    by_stratum,
    expressing_cells,
    like_expressed,
    no_draws,
    permuted_columns,
)

_LEAST = 1e-12


def attended_pairs(
    attention: sp.csr_matrix,
    gene_vectors: Floats,
    genes: Ints,
    *,
    strata: NDArray[Any],
    rng: np.random.Generator,
    n_permutations: int,
) -> PairTest:
    """Test all pairs of genes for alike contexts.

    The context of a gene is what cells attend to along with it
    (:func:`~scypher.interpret.similarity.gene_similarity.attended_contexts`, among the genes
    tested), its likeness the cosine. Null: attention to each gene is permuted over the cells of a
    stratum, each gene on its own. z has the mean and the deviation of the null among pairs of genes
    attended to by like numbers of cells, over which the draws of ``|z|`` are pooled.

    Parameters
    ----------
    attention
        Attention of cells to genes, absent = 0, shape (n_cells, n_genes).
    gene_vectors
        Static embedding of each gene, shape (n_genes, width); genes that are not finite or all 0
        have no contexts.
    genes
        Positions of the genes, ascending.
    strata
        Stratum of each cell.
    rng
        Source of the permutations.
    n_permutations
        Permutations of the data.
    """
    columns, size = by_stratum(attention, strata, genes)
    vectors = np.nan_to_num(np.asarray(gene_vectors, dtype=np.float64)[genes])
    cosine, length = _cosines(columns, vectors)
    described = np.flatnonzero((length > _LEAST) & (np.abs(vectors).sum(axis=1) > 0))
    bins = like_expressed(expressing_cells(columns), described)
    drawn = [
        _cosines(permuted_columns(columns, size, rng), vectors)[0] for _ in range(n_permutations)
    ]
    z: Matrix = np.full(cosine.shape, np.nan, dtype=np.float32)
    for a, rows in enumerate(bins):
        for others in bins[a:]:
            place, back = np.ix_(rows, others), np.ix_(others, rows)
            inside = np.ones((len(rows), len(others)), dtype=bool)
            if rows is others:
                inside = np.triu(inside, k=1)
            pool = np.concatenate([one[place][inside] for one in drawn])
            mean, spread = (pool.mean(), pool.std()) if pool.size else (0.0, 0.0)
            scale = 1 / spread if spread > _LEAST else np.nan
            z[place] = (cosine[place] - mean) * scale
            z[back] = z[place].T
            for one in drawn:  # in place: there are many, each as large as z
                one[place] = (one[place] - mean) * scale
                one[back] = one[place].T
    count = no_draws(len(bins))
    if bins:
        order = np.concatenate(bins)
        for one in drawn:
            add_draws(one[np.ix_(order, order)], [len(part) for part in bins], count)
    return PairTest(cosine, z, PooledNull.of(count, len(bins)).p(z, bins))


def _cosines(columns: sp.csr_matrix, vectors: Floats) -> tuple[Matrix, Floats]:
    """Return the cosines of the contexts of all pairs, and the length of each context."""
    context = attended_contexts(vectors, columns)[0]
    length = np.linalg.norm(context, axis=1)
    context /= np.maximum(length, _LEAST)[:, None]
    return (context @ context.T).astype(np.float32), length
