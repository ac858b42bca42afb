"""TF-IDF of cell sentences: the baseline that needs no model."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from ..base import Progress
from ..cells import Cells
from ..checkpoint import tensors_hash
from ..coded import EmbeddingEncoder, Features
from ..errors import InputError
from ..reading import TOP_ATTENDED, keep_top
from .choice import Genes, describe, resolve_genes
from .sentences import sentences_of

N_COMPONENTS = 50


class Tfidf(NamedTuple):
    """A fitted TF-IDF model of ``n_genes`` genes.

    Attributes
    ----------
    idf
        (n_genes,) inverse document frequency, nats, at least 1.
    axes
        (n_genes, n_components) orthonormal axes.
    strength
        (n_components,) singular values over the square root of the cells.
    """

    idf: np.ndarray
    axes: np.ndarray
    strength: np.ndarray


def fit_tfidf(
    ranks: sparse.csr_matrix, seed: int, n_components: int = N_COMPONENTS
) -> tuple[Tfidf, np.ndarray]:
    """Fit TF-IDF and the axes of a truncated SVD; return them and the embedding of these cells.

    Parameters
    ----------
    ranks
        CSR (n_cells, n_genes), 1-based ranks of the words of each sentence.
    seed
        Of the randomised SVD (Halko et al., SIAM Review 2011).
    n_components
        Axes wanted; one less than cells and genes in sentences at most.

    Returns
    -------
    Tfidf, ndarray
        The model, and the (n_cells, n_components) float32 embedding.

    Raises
    ------
    InputError
        There are less than two cells or two genes in the sentences.
    """
    from sklearn.utils.extmath import randomized_svd

    present = np.bincount(ranks.indices, minlength=ranks.shape[1])
    n_cells, used = ranks.shape[0], np.flatnonzero(present)
    if n_cells < 2 or len(used) < 2:
        message = (
            f"sentences of {n_cells} cells with {len(used)} distinct genes; expected two of each "
            "for an axis. Give more cells."
        )
        raise InputError(message)
    idf = np.log((1 + n_cells) / (1 + present)) + 1
    weighted = weigh(ranks, idf)
    n = min(n_components, n_cells - 1, len(used) - 1)
    _, strength, axes = randomized_svd(weighted[:, used], n, n_iter=7, random_state=seed)
    whole = np.zeros((ranks.shape[1], n))
    whole[used] = axes.T
    model = Tfidf(idf, whole, strength / np.sqrt(n_cells))
    return model, transform(ranks, model)


def weigh(ranks: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    r"""Return TF-IDF weights, CSR with rows of unit length.

    .. math:: w_{cg} \propto \frac{1}{\log_2(1 + r_{cg})}
        \left(\ln \frac{1 + n}{1 + n_g} + 1\right)

    with the rank :math:`r_{cg}` of a gene, :math:`n` cells fitted, :math:`n_g` of them with the
    gene. An empty sentence has no weights.
    """
    data = idf[ranks.indices] / np.log2(1.0 + ranks.data)
    lengths = np.diff(ranks.indptr)
    row = np.repeat(np.arange(ranks.shape[0]), lengths)
    norm = np.sqrt(np.bincount(row, data * data, ranks.shape[0]))
    return sparse.csr_matrix((data / norm[row], ranks.indices, ranks.indptr), shape=ranks.shape)


def transform(ranks: sparse.csr_matrix, model: Tfidf) -> np.ndarray:
    """Return the embedding of sentences, (n_cells, n_components) float32; each on its own."""
    return np.asarray(weigh(ranks, model.idf) @ model.axes, dtype=np.float32)


class TfidfEncoder(EmbeddingEncoder):
    """TF-IDF of cell sentences, reduced by a truncated SVD (latent semantic analysis).

    A baseline without pretraining: frequencies and axes are fitted to the cells that are encoded,
    without labels. What it gives as attention is the share that a gene has in the TF-IDF weights
    of the cell, times the genes read: how telling a word is here, not what a model looked at.

    Parameters
    ----------
    genes
        As in :class:`~scypher.encoders.cell2sentence.encoder.Cell2SentenceEncoder`.
    n_components
        Width of the embedding; fewer for few cells or genes.
    """

    name = "c2s_tfidf"

    def __init__(self, *, genes: Genes = None, n_components: int = N_COMPONENTS) -> None:
        if n_components < 1:
            message = f"{n_components} components were asked for; expected at least 1."
            raise InputError(message)
        self._genes = genes
        self._n_components = n_components

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return embedding, gene embedding and attention of checked cells."""
        names = [str(name) for name in cells.genes["symbol"]]
        sentences = sentences_of(cells.counts, names, genes=resolve_genes(self._genes, cells))
        progress("fitting TF-IDF", 0, 1)
        model, embedding = fit_tfidf(sentences.ranks, seed, self._n_components)
        progress("fitting TF-IDF", 1, 1)
        length = sentences.length
        empty = int((length == 0).sum())
        return Features(
            embedding=embedding,
            gene_embedding=(model.axes * model.strength).astype(np.float32),
            attention=lift(weigh(sentences.ranks, model.idf)),
            weights_hash=tensors_hash({"idf": _tensor(model.idf), "axes": _tensor(model.axes)}),
            parameters={
                "genes": describe(self._genes),
                "n_components": embedding.shape[1],
            },
            dropped_genes=list(cells.genes["name"].to_numpy()[~sentences.chosen].astype(str)),
            notes=[
                f"TF-IDF fitted to these {len(length)} cells: {embedding.shape[1]} axes, sentences "
                f"of {length.min()} to {length.max()} genes (median {np.median(length):.0f})",
                *(
                    [f"{int((~sentences.chosen).sum())} genes were not chosen as words"]
                    if not sentences.chosen.all()
                    else []
                ),
                *(
                    [f"{empty} cells express none of the chosen genes: their embedding is zero"]
                    if empty
                    else []
                ),
            ],
        )


def lift(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the share of each weight in its row times the entries of the row, highest kept."""
    lengths = np.diff(weights.indptr)
    row = np.repeat(np.arange(weights.shape[0]), lengths)
    total = np.bincount(row, weights.data, weights.shape[0])
    data = (weights.data / total[row] * lengths[row]).astype(np.float32)
    matrix = sparse.csr_matrix((data, weights.indices, weights.indptr), shape=weights.shape)
    return keep_top(matrix, TOP_ATTENDED)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
