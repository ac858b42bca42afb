"""CellVQ as an encoder: counts in; codes, embedding and attention out."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..base import Encoder, Encoding, Progress
from ..cells import Cells
from ..counts import normalise
from ..errors import InputError
from .adapt import (
    AdaptConfig,
    adapt_codes,
    copy_of,
    fit_own_components,
    initialise_projection,
)
from .inference import assign_codes, embed
from .tokens import keep_top
from .weights import SHIPPED, load_model, state_hash


class CellVQEncoder(Encoder):
    """Native CellVQ (Wang et al., Nat Commun 2026) with learned latent tokens.

    Parameters
    ----------
    folder
        Weights as written by pretraining; the shipped ones by default.
    adapt
        Fit components and codebook to the data first, without labels.
    """

    name = "cellvq"

    def __init__(self, folder: Path = SHIPPED, *, adapt: bool = True) -> None:
        self._pretrained = load_model(folder)
        self._adapt = adapt

    def _encode(self, cells: Cells, seed: int, progress: Progress) -> Encoding:
        model_genes = pd.Index(self._pretrained.genes)
        column = model_genes.get_indexer(pd.Index(cells.genes["ensembl_id"]))
        read = np.flatnonzero(column >= 0)
        if not len(read):
            message = (
                f"none of the {len(column)} genes is read by the encoder "
                f"({len(model_genes)} genes); give data with more genes."
            )
            raise InputError(message)
        counts, totals = _to_model(cells.counts, column, len(model_genes)), cells.totals
        values = keep_top(normalise(counts, totals), self._pretrained.model.config.max_tokens)
        model, weights_hash = self._pretrained.model, self._pretrained.weights_hash
        embedding, attention = embed(model, values, totals, progress)
        if self._adapt:
            model = copy_of(model)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                embedding = fit_own_components(
                    model, values, embedding, np.random.default_rng(seed)
                )
                initialise_projection(model, embedding)
                adapt_codes(
                    model,
                    torch.from_numpy(embedding),
                    counts,
                    totals,
                    config=AdaptConfig(),
                    seed=seed,
                    progress=progress,
                )
            weights_hash = state_hash(model)
        code, second, probability, entropy = assign_codes(model, embedding)
        with torch.no_grad():
            codebook = model.discretise.codebook().numpy()
        attended = attention[:, column[read]].tocoo()
        dropped = cells.genes["name"].to_numpy()[column < 0]
        unit = model.config.n_genes**0.5
        gene_embedding = np.zeros((len(column), model.config.width), np.float32)
        loadings = self._pretrained.model.loadings.detach().numpy()
        gene_embedding[read] = loadings[column[read]] * unit
        usage = np.bincount(code, minlength=len(codebook)) / len(code)
        used = usage[usage > 0]
        cut = int((np.diff(counts.indptr) > model.config.max_tokens).sum())
        return Encoding(
            code=code,
            second=second,
            probability=probability,
            entropy=entropy,
            embedding=embedding if self._adapt else embedding[:, : model.config.width],
            gene_embedding=gene_embedding,
            attention=sparse.csr_matrix(
                (attended.data, (attended.row, read[attended.col])), shape=cells.counts.shape
            ),
            codebook=codebook,
            bits=[format(index, f"0{model.config.n_bits}b") for index in range(len(codebook))],
            weights_hash=weights_hash,
            parameters={
                "encoder": "cellvq",
                "pretrained": self._pretrained.weights_hash,
                "adapt": self._adapt,
                "seed": seed,
            },
            dropped_genes=[str(name) for name in dropped],
            notes=[
                f"encoder read {len(read)} of {len(column)} genes, with "
                f"{counts.sum() / cells.counts.sum():.0%} of all counts",
                f"{len(used)} of {len(codebook)} codes in use, perplexity "
                f"{np.exp(-(used * np.log(used)).sum()):.0f}",
                *(
                    [f"{cut} cells express more than {model.config.max_tokens} genes: top read"]
                    if cut
                    else []
                ),
            ],
        )


def _to_model(counts: sparse.csr_matrix, column: np.ndarray, n_genes: int) -> sparse.csr_matrix:
    """Return counts in the columns of the model; genes it does not read are left out."""
    known = np.flatnonzero(column >= 0)
    select = sparse.csr_matrix(
        (np.ones(len(known), np.float32), (known, column[known])),
        shape=(counts.shape[1], n_genes),
    )
    matrix = sparse.csr_matrix(counts @ select)
    matrix.sort_indices()
    return matrix
