"""Embeddings that come from no model of ours: principal components, and the user's own."""

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from .base import Progress
from .cells import Cells
from .checkpoint import tensors_hash
from .coded import EmbeddingEncoder, Features
from .counts import normalise
from .errors import InputError

N_COMPONENTS = 50
N_VARIABLE = 2000
MIN_CELLS_OF_GENE = 3
"""Cells that must detect a gene before it may count as variable."""

_OVERDISPERSION = 100.0


def variable_genes(
    counts: sparse.csr_matrix, totals: np.ndarray, n: int = N_VARIABLE
) -> np.ndarray:
    r"""Return the positions of the ``n`` most variable genes, in increasing order.

    Variance of Pearson residuals of a negative binomial with one overdispersion (Lause et al.,
    Genome Biol 2021), of a cell of mean depth:

    .. math::

        r_{cg} = \frac{x_{cg} - m_g}{\sqrt{m_g + m_g^2 / 100}}, \quad
        x_{cg} = \frac{\bar t}{t_c} \, \mathrm{count}_{cg}

    cut at the square root of the number of cells. Computed from the non-zero entries.

    Parameters
    ----------
    counts
        CSR (n_cells, n_genes) raw counts.
    totals
        (n_cells,) counts :math:`t` of each cell over all measured genes.
    n
        Genes wanted; fewer come back when fewer are detected in three cells and vary. Ties go to
        the lower position.
    """
    n_cells, n_genes = counts.shape
    row = np.repeat(np.arange(n_cells), np.diff(counts.indptr))
    gene, x = counts.indices, counts.data * (totals.mean() / totals)[row]
    detected = np.bincount(gene, counts.data > 0, n_genes)
    mean = np.bincount(gene, x, n_genes) / n_cells
    scale = np.sqrt(np.maximum(mean + mean**2 / _OVERDISPERSION, 1e-30))
    limit = np.sqrt(n_cells)
    residual = np.clip((x - mean[gene]) / scale[gene], -limit, limit)
    absent = np.maximum(-mean / scale, -limit)
    zeros = n_cells - np.bincount(gene, minlength=n_genes)
    first = (np.bincount(gene, residual, n_genes) + zeros * absent) / n_cells
    second = (np.bincount(gene, residual**2, n_genes) + zeros * absent**2) / n_cells
    variance = np.where(detected >= MIN_CELLS_OF_GENE, second - first**2, 0)
    order = np.argsort(-variance, kind="stable")[:n]
    return np.sort(order[variance[order] > 1e-12])


class Components(NamedTuple):
    """Principal components of ``n_cells`` cells.

    Attributes
    ----------
    scores
        (n_cells, n_components) float32.
    genes
        (n_chosen,) positions of the variable genes.
    mean, loadings
        (n_chosen,) and (n_components, n_chosen) of log1p counts per 10,000, float64.
    share
        Of the variance of these genes, [0, 1].
    """

    scores: np.ndarray
    genes: np.ndarray
    mean: np.ndarray
    loadings: np.ndarray
    share: float


def principal_components(
    counts: sparse.csr_matrix,
    totals: np.ndarray,
    *,
    n_components: int = N_COMPONENTS,
    n_genes: int = N_VARIABLE,
    seed: int = 0,
) -> Components:
    """Return the principal components of log1p counts per 10,000 of variable genes.

    By Lanczos iteration on the sparse values, centred implicitly.

    Parameters
    ----------
    counts, totals
        See :func:`variable_genes`.
    n_components, n_genes
        Components and variable genes wanted; fewer come back for few cells or genes.
    seed
        Of the start of the iteration.

    Raises
    ------
    InputError
        Fewer than two genes vary.
    """
    from sklearn.decomposition import PCA

    chosen = variable_genes(counts, totals, n_genes)
    n = min(n_components, counts.shape[0] - 1, len(chosen) - 1)
    if n < 1:
        message = (
            f"{len(chosen)} of {counts.shape[1]} genes vary over the cells; expected at least 2 "
            "for a principal component. Give data with more genes."
        )
        raise InputError(message)
    values = sparse.csr_matrix(normalise(counts, totals)[:, chosen]).astype(np.float64)
    model = PCA(n, svd_solver="arpack", random_state=seed)
    scores = model.fit_transform(values).astype(np.float32)
    share = float(model.explained_variance_ratio_.sum())
    return Components(scores, chosen, model.mean_, model.components_, share)


class PcaEncoder(EmbeddingEncoder):
    """Principal components of log1p counts per 10,000 of variable genes.

    A baseline without pretraining: genes and axes are fitted to the cells that are encoded, without
    labels. It looks at no gene, so it gives no attention.

    Parameters
    ----------
    n_components
        Width of the embedding; fewer for few cells or genes.
    n_genes
        Variable genes, see :func:`variable_genes`.
    """

    name = "pca"

    def __init__(self, *, n_components: int = N_COMPONENTS, n_genes: int = N_VARIABLE) -> None:
        self._n_components = n_components
        self._n_genes = n_genes

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return embedding and gene embedding of checked cells; no attention."""
        progress("principal components", 0, 1)
        found = principal_components(
            cells.counts,
            cells.totals,
            n_components=self._n_components,
            n_genes=self._n_genes,
            seed=seed,
        )
        progress("principal components", 1, 1)
        n_cells, n_genes = cells.counts.shape
        n = found.scores.shape[1]
        gene_embedding = np.zeros((n_genes, n), np.float32)
        gene_embedding[found.genes] = found.loadings.T
        dropped = np.ones(n_genes, bool)
        dropped[found.genes] = False
        parts = {"genes": found.genes, "mean": found.mean, "loadings": found.loadings}
        return Features(
            embedding=found.scores,
            gene_embedding=gene_embedding,
            attention=sparse.csr_matrix((n_cells, n_genes), dtype=np.float32),
            weights_hash=tensors_hash(
                {
                    name: torch.from_numpy(np.ascontiguousarray(value))
                    for name, value in parts.items()
                }
            ),
            parameters={"n_components": n, "n_genes": len(found.genes)},
            dropped_genes=[str(name) for name in cells.genes["name"].to_numpy()[dropped]],
            notes=[
                f"{n} principal components of {len(found.genes)} variable genes, fitted to these "
                f"{n_cells} cells, hold {found.share:.0%} of the variance of these genes; "
                f"{int(dropped.sum())} genes were not chosen; no attention"
            ],
        )


class ObsmEncoder(EmbeddingEncoder):
    """An embedding that the data already hold, from whatever model.

    Parameters
    ----------
    key
        Key of ``adata.obsm``.
    """

    name = "obsm"

    def __init__(self, key: str) -> None:
        self._key = key

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return the embedding as it is; no gene embedding, no attention."""
        embedding = self._read(cells)
        n_cells, n_genes = cells.counts.shape
        return Features(
            embedding=embedding,
            gene_embedding=np.zeros((n_genes, 1), np.float32),
            attention=sparse.csr_matrix((n_cells, n_genes), dtype=np.float32),
            weights_hash=hashlib.sha256(embedding.astype("<f4").tobytes()).hexdigest(),
            parameters={"key": self._key, "width": embedding.shape[1]},
            notes=[
                f"embedding of width {embedding.shape[1]} taken from obsm[{self._key!r}] as it is; "
                "no attention, no gene embedding"
            ],
        )

    def _read(self, cells: Cells) -> np.ndarray:
        obsm = cells.adata.obsm
        if self._key not in obsm:
            keys = ", ".join(map(repr, obsm.keys())) or "none at all"
            message = (
                f"the data have no obsm[{self._key!r}]; there are: {keys}. Write obsm:KEY with one "
                "of those, or put your embedding there."
            )
            raise InputError(message)
        values = obsm[self._key]
        if isinstance(values, pd.DataFrame):
            values = values.to_numpy()
        try:
            dense = values.toarray() if sparse.issparse(values) else values
            embedding = np.ascontiguousarray(dense, dtype=np.float32)
        except (TypeError, ValueError) as error:
            message = (
                f"obsm[{self._key!r}] holds values that are no numbers ({error}); expected an "
                "array of cells x width. Leave other columns out."
            )
            raise InputError(message) from error
        if embedding.ndim != 2 or not embedding.shape[1]:
            message = (
                f"obsm[{self._key!r}] has shape {embedding.shape}; expected cells x width with a "
                "width of at least 1. Reshape it."
            )
            raise InputError(message)
        wrong = int((~np.isfinite(embedding)).any(axis=1).sum())
        if wrong:
            message = (
                f"obsm[{self._key!r}] holds NaN or infinite values in {wrong} of {len(embedding)} "
                "cells; an embedding has a finite value for every cell. Leave those cells out."
            )
            raise InputError(message)
        return embedding
