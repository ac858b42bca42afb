"""Adapt a pretrained CellVQ to a data set, without labels, in seconds.

Two things are fitted; the body that reads the genes stays as it is. Components of the user's own
cells are added to the embedding, because a tissue that the corpus lacks is described poorly by the
corpus alone. Then a codebook is fitted to these cells: that of the corpus has few codes for any one
tissue.
"""

import copy

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

from ..base import Progress
from ..codes import CodesConfig, fit_codebook
from .model import OWN_MOST, CellVQ

ADAPTING = CodesConfig()


def adapt(
    model: CellVQ,
    values: sparse.csr_matrix,
    embedding: np.ndarray,
    *,
    seed: int,
    progress: Progress,
) -> tuple[CellVQ, np.ndarray]:
    """Return a copy of a model fitted to some cells, and their full embedding.

    Parameters
    ----------
    model
        Left as it is.
    values
        CSR (n_cells, n_genes of the model), log1p of counts per 10,000.
    embedding
        (n_cells, width).
    seed, progress
        Of every random choice; told how far it is.

    Returns
    -------
    tuple
        The model and (n_cells, width + own_width).
    """
    fitted = copy.deepcopy(model)
    whole = fit_own_components(fitted, values, embedding, np.random.default_rng(seed))
    fitted.discretise = fit_codebook(whole, seed=seed, progress=progress, config=ADAPTING)
    return fitted, whole


def fit_own_components(
    model: CellVQ, values: sparse.csr_matrix, embedding: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Set the own loadings of a model to the leading components of the given cells.

    Values are in deviations of their gene over these cells, at most 5.

    They are scaled to the total variance of the corpus components over these cells, so that both
    parts of the embedding weigh the same.

    Parameters
    ----------
    model
        Changed in place.
    values
        CSR (n_cells, n_genes of the model), log1p of counts per 10,000.
    embedding
        (n_cells, width).
    rng
        Source of the starting vector.

    Returns
    -------
    numpy.ndarray
        (n_cells, width + own_width), the embedding with the own components beside it.
    """
    mean = np.asarray(values.mean(axis=0)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    expressed = deviation[deviation > 0]
    # Floored, or genes that hardly vary would be blown up to the size of those that do.
    floor = np.quantile(expressed, 0.25) if len(expressed) else 1.0
    scale = np.maximum(deviation, floor)
    scaled = sparse.csr_matrix(values, dtype=np.float64, copy=True)
    scaled.data = np.minimum(scaled.data / scale[scaled.indices], OWN_MOST)
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    n = min(model.config.own_width, min(scaled.shape) - 1)
    operator = LinearOperator(
        scaled.shape,
        matvec=lambda x: scaled @ x.ravel() - mean @ x.ravel(),
        rmatvec=lambda y: scaled.T @ y.ravel() - mean * y.sum(),
        dtype=np.float64,
    )
    _, strength, right = svds(operator, k=n, v0=rng.standard_normal(min(scaled.shape)))
    loadings = right[np.argsort(-strength)].T
    # The sign of a singular vector is arbitrary: make its largest loading positive.
    loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(n)])
    own = scaled @ loadings
    centre = own.mean(axis=0)
    width = model.config.width
    factor = np.sqrt(own.var(axis=0).sum() / embedding.var(axis=0).sum())
    with torch.no_grad():
        model.own_loadings[:, :n] = torch.from_numpy(loadings / factor).float()
        model.own_scale.copy_(torch.from_numpy(scale))
        model.own_centre[:n] = torch.from_numpy(centre / factor).float()
    filled = np.pad(embedding, ((0, 0), (0, model.config.own_width)))
    filled[:, width : width + n] = (own - centre) / factor
    return filled
