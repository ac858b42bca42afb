"""The linear encoder that training starts from: a truncated SVD of streamed cells."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..base import Progress
from ..counts import normalise
from ..training.source import Source


@dataclass(frozen=True)
class CorpusSVD:
    """A linear encoder: ``embedding = sum_g value_g / scale_g * loadings_g - centre``.

    Attributes
    ----------
    loadings
        (n_genes, n_components), right singular vectors divided by one common factor that gives
        the embedding of the corpus unit mean square per component.
    scale
        (n_genes,) standard deviation of log1p counts per 10,000, floored at its lower quartile.
    centre
        (n_components,) mean over the corpus.
    profile
        (n_genes,) share of the counts of a cell, mean over files.
    """

    loadings: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    profile: np.ndarray


def corpus_svd(
    source: Source,
    n_components: int,
    *,
    seed: int,
    rounds: int = 6,
    oversampling: int = 16,
    progress: Progress = lambda what, done, total: None,
) -> CorpusSVD:
    """Return the truncated SVD of gene-scaled values, centred by batch, of streamed cells.

    Batches are weighted by size to the power -1/4, so that a large one does not take all
    components. Block power iteration (Halko et al., SIAM Review 2011): every round is one pass over
    the cells; neither the matrix nor its centred form is ever held.

    Parameters
    ----------
    source
        The cells.
    n_components
        Components asked for; fewer than genes.
    seed
        Of the random start.
    rounds, oversampling
        Passes, and components beyond those asked for that are carried along.
    progress
        Told how far it is.
    """
    steps = rounds + 2
    n_genes = len(source.genes)
    sums, squares = np.zeros(n_genes), np.zeros(n_genes)
    profile = np.zeros((len(source.names), n_genes))
    files = np.zeros(len(source.names))
    means = np.zeros((source.n_batches, n_genes), np.float32)
    sizes = np.zeros(source.n_batches)
    for values, batch, dataset, share in _values(source):
        sums += np.asarray(values.sum(axis=0)).ravel()
        squares += np.asarray(values.multiply(values).sum(axis=0)).ravel()
        means += (_members(batch, source.n_batches) @ values).toarray()
        sizes += np.bincount(batch, minlength=source.n_batches)
        profile += (_members(dataset, len(source.names)) @ share).toarray()
        files += np.bincount(dataset, minlength=len(source.names))
    n = sizes.sum()
    deviation = np.sqrt(np.maximum(squares / n - (sums / n) ** 2, 0))
    scale = np.maximum(deviation, max(np.quantile(deviation, 0.25), 1e-6)).astype(np.float32)
    means /= np.maximum(sizes, 1)[:, None] * scale
    weight = np.maximum(sizes, 1) ** -0.25
    progress("corpus SVD", 1, steps)
    rng = np.random.default_rng(seed)
    width = min(n_components + oversampling, n_genes)
    basis = np.linalg.qr(rng.standard_normal((n_genes, width)))[0].astype(np.float32)
    for step in range(rounds):
        product = np.zeros((n_genes, width), np.float32)
        of_batch = np.zeros((source.n_batches, width), np.float32)
        offset = means @ basis
        for scaled, batch in _scaled(source, scale):
            scores = (scaled @ basis - offset[batch]) * weight[batch, None].astype(np.float32) ** 2
            product += scaled.T @ scores
            of_batch += _members(batch, source.n_batches) @ scores
        basis = np.linalg.qr(product - means.T @ of_batch)[0]
        progress("corpus SVD", step + 2, steps)
    inner = np.zeros((width, width))
    total, square = np.zeros(width), np.zeros((width, width))
    offset = means @ basis
    for scaled, batch in _scaled(source, scale):
        plain = (scaled @ basis).astype(np.float64)
        centred = (plain - offset[batch]) * weight[batch, None]
        inner += centred.T @ centred
        total += plain.sum(axis=0)
        square += plain.T @ plain
    strength, rotation = np.linalg.eigh(inner)
    rotation = rotation[:, np.argsort(-strength)[:n_components]]
    loadings = basis @ rotation
    # The sign of a singular vector is arbitrary: make its largest loading positive.
    sign = np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])])
    loadings, rotation = loadings * sign, rotation * sign
    centre = total @ rotation / n
    variance = np.einsum("ic,ij,jc->c", rotation, square, rotation) / n - centre**2
    factor = np.sqrt(variance.mean())
    progress("corpus SVD", steps, steps)
    return CorpusSVD(
        (loadings / factor).astype(np.float32),
        scale,
        (centre / factor).astype(np.float32),
        (profile / np.maximum(files, 1)[:, None]).mean(axis=0).astype(np.float32),
    )


def _values(
    source: Source,
) -> Iterator[tuple[sparse.csr_matrix, np.ndarray, np.ndarray, sparse.csr_matrix]]:
    """Yield log values, batch, data set and the share of each gene of the counts of a cell."""
    for block in source.all_blocks():
        share = sparse.csr_matrix(sparse.diags(1 / block.totals) @ block.counts)
        yield normalise(block.counts, block.totals), block.batch, block.dataset, share


def _scaled(source: Source, scale: np.ndarray) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
    for block in source.all_blocks():
        values = normalise(block.counts, block.totals)
        # The column of each entry is known: no product with a diagonal matrix is needed.
        values.data = (values.data / scale[values.indices]).astype(np.float32)
        yield values, block.batch


def _members(group: np.ndarray, n: int) -> sparse.csr_matrix:
    return sparse.csr_matrix(
        (np.ones(len(group), np.float32), (group, np.arange(len(group)))), shape=(n, len(group))
    )
