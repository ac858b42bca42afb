"""The pretraining corpus: raw counts of several data sets on one list of genes, and its SVD."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from ..vocabulary import map_genes


@dataclass(frozen=True)
class Corpus:
    """Counts of many data sets on common genes.

    Attributes
    ----------
    counts
        CSR (n_cells, n_genes), raw counts of the listed genes.
    totals
        (n_cells,) counts of a cell over all its measured genes.
    batch
        (n_cells,) integer batch: data set and batch within it.
    dataset
        (n_cells,) integer data set.
    genes
        Ensembl ids of the columns.
    names
        Names of the data sets.
    """

    counts: sparse.csr_matrix
    totals: np.ndarray
    batch: np.ndarray
    dataset: np.ndarray
    genes: list[str]
    names: list[str]


def read_corpus(folder: Path, *, min_sets: int = 3, min_cells: int = 50) -> Corpus:
    """Read every ``.h5ad`` of raw counts in a folder.

    Genes are kept that at least ``min_sets`` data sets detect in three cells or more each, and
    that ``min_cells`` cells of the corpus express.
    """
    import anndata

    tables: list[tuple[str, sparse.csr_matrix, pd.Index, pd.Series]] = []
    sets: dict[str, int] = {}
    cells: dict[str, int] = {}
    for path in sorted(folder.glob("*.h5ad")):
        data = anndata.read_h5ad(path)
        ids = [str(value) for value in data.var["ensembl_id"]]
        genes = map_genes([str(name) for name in data.var_names], ids).genes["ensembl_id"]
        counts = sparse.csr_matrix(data.X, dtype=np.float32)
        detected = np.asarray((counts > 0).sum(axis=0)).ravel()
        for gene, n in zip(genes, detected, strict=True):
            if gene:
                sets[gene] = sets.get(gene, 0) + int(n >= 3)
                cells[gene] = cells.get(gene, 0) + int(n)
        tables.append((path.stem, counts, pd.Index(genes), data.obs["batch"].astype(str)))
    kept = sorted(gene for gene, n in sets.items() if n >= min_sets and cells[gene] >= min_cells)
    columns = pd.Index(kept)
    blocks, totals, batches, datasets = [], [], [], []
    for position, (name, counts, ids_of, batch) in enumerate(tables):
        target = columns.get_indexer(ids_of)
        known = np.flatnonzero(target >= 0)
        select = sparse.csr_matrix(
            (np.ones(len(known), np.float32), (known, target[known])),
            shape=(len(ids_of), len(columns)),
        )
        blocks.append(sparse.csr_matrix(counts @ select))
        totals.append(np.asarray(counts.sum(axis=1)).ravel())
        batches.append((name + "/" + batch).to_numpy())
        datasets.append(np.full(counts.shape[0], position))
    total = np.concatenate(totals)
    used = total > 0
    return Corpus(
        sparse.csr_matrix(sparse.vstack(blocks))[used],
        total[used],
        np.unique(np.concatenate(batches)[used], return_inverse=True)[1],
        np.concatenate(datasets)[used],
        kept,
        [name for name, *_ in tables],
    )


@dataclass(frozen=True)
class CorpusSVD:
    """A linear encoder: ``embedding = sum_g value_g / scale_g * loadings_g - centre``.

    Attributes
    ----------
    loadings
        (n_genes, n_components), right singular vectors divided by one common factor that gives
        the embedding of the corpus unit mean square per component.
    scale
        (n_genes,) standard deviation of log1p counts per 10,000, floored.
    centre
        (n_components,) mean over the corpus.
    """

    loadings: np.ndarray
    scale: np.ndarray
    centre: np.ndarray


def corpus_svd(
    values: sparse.csr_matrix, batch: np.ndarray, n_components: int, rng: np.random.Generator
) -> CorpusSVD:
    """Return the truncated SVD of gene-scaled values, centred by batch.

    Batches are weighted by size to the power -1/4, so that a large one does not take all
    components. The matrix is never made dense: centring is applied inside the matrix product.
    """
    mean = np.asarray(values.mean(axis=0)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    scale = np.maximum(deviation, np.quantile(deviation, 0.25)).astype(np.float32)
    scaled = sparse.csr_matrix(values @ sparse.diags(1 / scale)).astype(np.float32)
    n_batches = int(batch.max()) + 1
    sizes = np.bincount(batch, minlength=n_batches)
    member = sparse.csr_matrix((np.ones(len(batch)), (batch, np.arange(len(batch)))))
    means = _means(scaled, member)
    weight = (sizes.astype(float) ** -0.25)[batch]

    def forward(x: np.ndarray) -> np.ndarray:
        x = x.ravel()
        product: np.ndarray = weight * (scaled @ x - (means @ x)[batch])
        return product

    def backward(y: np.ndarray) -> np.ndarray:
        y = y.ravel() * weight
        by_batch = np.bincount(batch, weights=y, minlength=n_batches)
        product: np.ndarray = scaled.T @ y - means.T @ by_batch
        return product

    operator = LinearOperator(scaled.shape, matvec=forward, rmatvec=backward, dtype=np.float64)
    _, strength, right = svds(operator, k=n_components, v0=rng.standard_normal(min(scaled.shape)))
    order = np.argsort(-strength)
    loadings = right[order].T
    # The sign of a singular vector is arbitrary: make its largest loading positive.
    loadings = loadings * np.sign(
        loadings[np.abs(loadings).argmax(axis=0), np.arange(n_components)]
    )
    embedding = scaled @ loadings
    factor = np.sqrt(np.mean((embedding - embedding.mean(axis=0)) ** 2))
    return CorpusSVD(
        (loadings / factor).astype(np.float32),
        scale,
        (embedding.mean(axis=0) / factor).astype(np.float32),
    )


def _means(scaled: sparse.csr_matrix, member: sparse.csr_matrix) -> np.ndarray:
    sizes = np.asarray(member.sum(axis=1))
    means: np.ndarray = np.asarray((member @ scaled).todense()) / sizes
    return means
