"""How strongly pairs of genes are associated, by any of four measures, each under its own null."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Floats, Ints, refuse
from .attended_pairs import attended_pairs
from .metacells import group_metacells, metacell_residuals, principal_components
from .stratified_null import (
    Matrix,
    PooledNull,
    add_draws,
    expressing_cells,
    like_expressed,
    no_draws,
    pair_test,
)

Measure = Literal["correlation", "metacell", "attention", "embedding", "context"]

_FOLDS, _FEWEST = 4, 40

_NULLS = {
    "correlation": (
        "values of each gene permuted over cells of one stratum; null draws pooled over pairs of "
        "genes expressed in like numbers of cells"
    ),
    "metacell": (
        "values of each gene permuted over metacells of one donor, which were made from other "
        "genes; null draws pooled over pairs of genes expressed in like numbers of metacells"
    ),
    "attention": (
        "attention to each gene permuted over cells of one stratum; null draws pooled over pairs "
        "of genes attended to by like numbers of cells"
    ),
    "context": (
        "attention to each gene permuted over cells of one stratum; null draws pooled over pairs "
        "of genes attended to by like numbers of cells"
    ),
    "embedding": (
        "vectors of genes dealt anew among genes expressed in like numbers of cells: all pairs of "
        "the two bins"
    ),
}


@dataclass(frozen=True)
class Association:
    """Association of all pairs of genes.

    Attributes
    ----------
    genes
        (n,) positions of the genes, in increasing order.
    weight
        (n, n) Pearson correlation, over cells or metacells, or cosine: [-1, 1].
    z
        (n, n) deviations from 0, or for cosines from the mean, under the null; NaN for a gene that
        makes no hypothesis (does not vary, has no vector).
    p
        (n, n) two-sided ``(b + 1) / (B + 1)``, where ``b`` of ``B`` null draws of ``|z|`` in steps
        of 0.02 reach that of the pair; 1 where z is NaN.
    measure, null
        What was measured; the null hypothesis in words.
    """

    genes: Ints
    weight: Matrix
    z: Matrix
    p: Floats
    measure: str
    null: str


def associate(
    measure: Measure,
    matrix: sp.csr_matrix,
    *,
    genes: NDArray[Any],
    rng: np.random.Generator,
    strata: NDArray[Any] | None = None,
    donors: Ints | None = None,
    gene_vectors: NDArray[np.floating[Any]] | None = None,
    n_permutations: int = 10,
    metacell_size: int = 20,
) -> Association:
    """Associate all pairs of genes by one measure.

    *correlation*: Pearson correlation over cells, z within strata
    (:func:`~scypher.interpret.modules.stratified_null.pair_test`). *attention*: the same of
    attention: two genes are associated where cells attend to both (two hops, gene, cell, gene).
    *metacell*: correlation over metacells (k-means on 30 principal components within donors) of log
    expression beyond the stratum, z within donors; 20 cells show what single counts hide. Cells of
    a metacell are alike in the genes it was made from, which alone would make these correlate:
    genes are dealt into four folds, and a pair is tested in metacells made from the folds that hold
    neither of its genes. *context*: cosine of what cells attend to along with a gene
    (:func:`~scypher.interpret.modules.attended_pairs.attended_pairs`). *embedding*: cosine of gene
    vectors; z and p place a pair among all pairs of genes of like expression, which orders pairs
    and cannot say that any is more than chance.

    Parameters
    ----------
    measure
        One of the five.
    matrix
        log1p of counts per 10,000, or, for ``attention`` and ``context``, the attention of cells to
        genes, absent = 0, shape (n_cells, n_genes).
    genes
        Positions of the genes; memory grows with the square of their number.
    rng
        Source of the permutations.
    strata
        Stratum of each cell: cells of like depth and one donor; all cells are one without.
    donors
        Donor of each cell, -1 where unknown: no metacell holds two. Only for metacells.
    gene_vectors
        Vector of each gene, shape (n_genes, d). Only for ``embedding`` and ``context``, which need
        them.
    n_permutations
        Permutations of the data, at least 1.
    metacell_size
        Mean number of cells in a metacell.

    Raises
    ------
    InputError
        The measure is unknown, shapes disagree, a gene is named twice, there are no vectors, or
        fewer than 40 genes for metacells.
    """
    genes = np.sort(np.asarray(genes, dtype=np.int64))
    strata = np.zeros(matrix.shape[0], dtype=np.int64) if strata is None else np.asarray(strata)
    _check(measure, matrix, strata, genes, donors, gene_vectors)
    if measure == "embedding":
        vectors = np.asarray(gene_vectors, dtype=np.float32)[genes]
        found = _by_vectors(vectors, expressing_cells(sp.csr_matrix(matrix[:, genes])))
    elif measure == "context":
        static = np.asarray(gene_vectors, dtype=np.float64)
        test = attended_pairs(
            matrix, static, genes, strata=strata, rng=rng, n_permutations=n_permutations
        )
        found = test.correlation, test.z, test.p
    elif measure == "metacell":
        found = _by_metacells(
            matrix,
            genes,
            strata=strata,
            donors=np.zeros(matrix.shape[0], dtype=np.int64) if donors is None else donors,
            size=metacell_size,
            rng=rng,
            n_permutations=n_permutations,
        )
    else:
        test = pair_test(matrix, strata, genes, rng=rng, n_permutations=n_permutations)
        found = test.correlation, test.z, test.p
    return Association(genes, *found, measure, _NULLS[measure])


def _by_vectors(vectors: Matrix, expressing: Ints) -> tuple[Matrix, Matrix, Floats]:
    length = np.linalg.norm(vectors, axis=1)
    known = np.isfinite(length) & (length > 0)
    scaled = np.where(known[:, None], vectors, 0) / np.where(known, length, 1)[:, None]
    cosine: Matrix = np.clip(scaled @ scaled.T, -1, 1).astype(np.float32)
    z: Matrix = np.full(cosine.shape, np.nan, dtype=np.float32)
    bins = like_expressed(expressing, np.flatnonzero(known))
    for a, rows in enumerate(bins):
        for others in bins[a:]:
            block = cosine[np.ix_(rows, others)]
            same = rows is others
            pairs = block[np.triu_indices(len(rows), k=1)] if same else block
            spread = pairs.std() if pairs.size else 0.0
            if spread > 0:
                block = (block - pairs.mean()) / spread
                z[np.ix_(rows, others)] = block
                z[np.ix_(others, rows)] = block.T
    count = no_draws(len(bins))
    if bins:
        order = np.concatenate(bins)
        add_draws(z[np.ix_(order, order)], [len(part) for part in bins], count)
    return cosine, z, PooledNull.of(count, len(bins)).p(z, bins)


def _by_metacells(
    matrix: sp.csr_matrix,
    genes: Ints,
    *,
    strata: NDArray[Any],
    donors: Ints,
    size: int,
    rng: np.random.Generator,
    n_permutations: int,
) -> tuple[Matrix, Matrix, Floats]:
    """Test the pairs of each two folds of genes in metacells made from the other folds."""
    columns = sp.csr_matrix(matrix[:, genes])
    fold = rng.permutation(len(genes)) % _FOLDS
    shape = (len(genes), len(genes))
    weight, z = (np.zeros(shape, dtype=np.float32) for _ in range(2))
    p = np.ones(shape)
    done: set[tuple[int, int]] = set()
    for pair in itertools.combinations(range(_FOLDS), 2):
        outside = np.isin(fold, pair, invert=True)
        components = principal_components(columns, np.flatnonzero(outside), rng=rng)
        metacell = group_metacells(components, donors, size=size, rng=rng)
        owner = donors[np.unique(metacell, return_index=True)[1]]
        own = np.flatnonzero(~outside)
        test = pair_test(
            sp.csr_matrix(metacell_residuals(columns[:, own], metacell, strata)),
            owner,
            np.arange(len(own)),
            rng=rng,
            n_permutations=n_permutations,
        )
        for a, b in set(itertools.product(pair, repeat=2)) - done:
            rows, others = np.flatnonzero(fold[own] == a), np.flatnonzero(fold[own] == b)
            here, there = np.ix_(own[rows], own[others]), np.ix_(rows, others)
            weight[here], z[here], p[here] = test.correlation[there], test.z[there], test.p[there]
            done.add((a, b))
    return weight, z, p


def _check(
    measure: str,
    matrix: sp.csr_matrix,
    strata: NDArray[Any],
    genes: Ints,
    donors: Ints | None,
    gene_vectors: NDArray[Any] | None,
) -> None:
    if measure not in get_args(Measure):
        refuse(
            f"the measure {measure!r} was given",
            f"one of {', '.join(get_args(Measure))}",
            "name one",
        )
    n_cells, n_genes = matrix.shape
    sizes = {len(strata)} | (set() if donors is None else {len(donors)})
    if sizes != {n_cells}:
        refuse(
            f"strata or donors of {sorted(sizes)} cells for {n_cells} cells were given",
            "one stratum and one donor for each cell",
            "give those of the same cells",
        )
    if len(np.unique(genes)) < len(genes) or (
        len(genes) and not 0 <= genes[0] <= genes[-1] < n_genes
    ):
        refuse(
            f"{len(genes)} positions of {len(np.unique(genes))} different genes were given",
            f"each gene once, from 0 to {n_genes - 1}",
            "drop repeated and unknown positions",
        )
    if measure == "metacell" and len(genes) < _FEWEST:
        refuse(
            f"{len(genes)} genes to make metacells and to correlate were given",
            f"at least {_FEWEST}",
            "give more genes, or use the measure correlation",
        )
    if measure in ("embedding", "context") and (
        gene_vectors is None or gene_vectors.shape[:1] != (n_genes,)
    ):
        shape = None if gene_vectors is None else gene_vectors.shape
        refuse(
            f"gene vectors of shape {shape} for {n_genes} genes were given",
            "one vector for each gene of the data",
            "give gene_vectors with a row for each column, NaN where a gene has none",
        )
