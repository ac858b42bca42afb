"""Run a trained CellVQ over many cells: embedding, attention, codes."""

import numpy as np
import torch
from scipy import sparse

from ..base import Progress
from .model import CellVQ
from .tokens import tokenise

SOFT_TEMPERATURE = 0.1
"""Temperature of the soft code probabilities."""

TOP_ATTENDED = 64
"""Attention entries kept per cell."""

TOKENS_PER_CHUNK = 200_000
"""Genes read at once, padding included; bounds the memory."""


@torch.no_grad()
def embed(
    model: CellVQ,
    values: sparse.csr_matrix,
    totals: np.ndarray,
    progress: Progress = lambda what, done, total: None,
) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return embedding (n, width + own_width) and top attention (n, genes of the model)."""
    lengths = np.diff(values.indptr)
    # Cells of like length share a chunk, so that little padding is computed.
    order = np.argsort(lengths, kind="stable")
    chunk = max(1, int(TOKENS_PER_CHUNK // max(1, lengths.max())))
    embedding = np.empty(
        (len(lengths), model.config.width + model.config.own_width), dtype=np.float32
    )
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(order), chunk):
        rows = order[start : start + chunk]
        tokens = tokenise(sparse.csr_matrix(values[rows]), totals[rows])
        body = model.read(tokens)
        embedding[rows] = model.whole(body, tokens).numpy()
        weights = model.latent_weights(body).unsqueeze(1)
        attention = torch.bmm(weights, body.attention).squeeze(1) * tokens.length
        attention = attention.masked_fill(~tokens.present, -1)
        kept = attention.topk(min(TOP_ATTENDED, attention.shape[1]), dim=1)
        real = kept.values > 0
        row, place = real.nonzero(as_tuple=True)
        gene = tokens.gene.gather(1, kept.indices)[row, place]
        parts.append((rows[row.numpy()], gene.numpy(), kept.values[row, place].numpy()))
        progress("encoding cells", min(start + chunk, len(order)), len(order))
    rows, genes, weight = (np.concatenate(item) for item in zip(*parts, strict=True))
    matrix = sparse.csr_matrix((weight, (rows, genes)), shape=values.shape)
    matrix.sort_indices()
    return embedding, matrix


@torch.no_grad()
def assign_codes(
    model: CellVQ, embedding: np.ndarray, chunk: int = 8192
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return code, second choice, soft probability and entropy (nats) of each cell.

    The code is the codebook entry of highest cosine, ties to the lowest index.
    """
    codebook = model.discretise.codebook()
    parts = []
    for start in range(0, len(embedding), chunk):
        cells = torch.from_numpy(embedding[start : start + chunk])
        similarity = model.discretise.similarity(cells, codebook)
        probability = (2 * similarity / SOFT_TEMPERATURE).softmax(dim=1)
        code = similarity.argmax(dim=1)
        best = probability.gather(1, code[:, None]).squeeze(1)
        entropy = -(probability * torch.log(probability.clamp_min(1e-12))).sum(dim=1)
        second = similarity.scatter(1, code[:, None], -2).argmax(dim=1)
        parts.append([item.numpy() for item in (code, second, best, entropy)])
    joined = [np.concatenate(item) for item in zip(*parts, strict=True)]
    return joined[0], joined[1], joined[2], joined[3]
