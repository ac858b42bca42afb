"""CellVQ as an encoder: counts in; codes, embedding and attention out."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..base import Encoder, Encoding, Progress
from ..cells import Cells
from ..checkpoint import tensors_hash
from ..codes import assign_codes, binary, code_health
from ..counts import normalise
from ..errors import InputError
from ..reading import keep_top, to_columns
from .adapt import adapt
from .corruption import measured_share
from .inference import read_cells
from .recode import FittedCellVQ
from .weights import SHIPPED, load_model


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
        pretrained, model = self._pretrained, self._pretrained.model
        column = pd.Index(pretrained.genes).get_indexer(pd.Index(cells.genes["ensembl_id"]))
        read = np.flatnonzero(column >= 0)
        if not len(read):
            message = (
                f"none of the {len(column)} genes is read by the encoder "
                f"({len(pretrained.genes)} genes); give data with more genes."
            )
            raise InputError(message)
        counts = to_columns(cells.counts, column, len(pretrained.genes))
        share = self._share(cells)
        depth = cells.totals / share
        values = keep_top(normalise(counts, depth), model.config.max_tokens)
        embedding, attention = read_cells(model, values, depth, progress=progress)
        weights_hash = pretrained.weights_hash
        if self._adapt:
            model, embedding = adapt(model, values, embedding, seed=seed, progress=progress)
            weights_hash = tensors_hash(model.state_dict())
        self.fitted = FittedCellVQ(model, column, share, self._adapt)
        width = model.config.width
        whole = np.pad(
            embedding, ((0, 0), (0, width + model.config.own_width - embedding.shape[1]))
        )
        codes = assign_codes(model.discretise, whole)
        with torch.no_grad():
            codebook = model.discretise.codebook().numpy()
        attended = attention[:, column[read]].tocoo()
        gene_embedding = np.zeros((len(column), width), np.float32)
        loadings = pretrained.model.loadings.detach().numpy()
        gene_embedding[read] = loadings[column[read]] * len(pretrained.genes) ** 0.5
        cut = int((np.diff(counts.indptr) > model.config.max_tokens).sum())
        notes = [
            f"encoder read {len(read)} of {len(column)} genes, with "
            f"{counts.sum() / cells.counts.sum():.0%} of all counts",
            code_health(codes.code, len(codebook)),
        ]
        if cut:
            notes.append(f"{cut} cells express more than {model.config.max_tokens} genes: top read")
        return Encoding(
            *codes,
            embedding=embedding,
            gene_embedding=gene_embedding,
            attention=sparse.csr_matrix(
                (attended.data, (attended.row, read[attended.col])), shape=cells.counts.shape
            ),
            codebook=codebook,
            bits=binary(len(codebook)),
            weights_hash=weights_hash,
            parameters={
                "encoder": "cellvq",
                "pretrained": pretrained.weights_hash,
                "adapt": self._adapt,
                "trained_on": pretrained.trained_on,
                "seed": seed,
            },
            dropped_genes=[str(name) for name in cells.genes["name"].to_numpy()[column < 0]],
            notes=notes,
        )

    def _share(self, cells: Cells) -> float:
        """Return the share of all counts that the measured genes of the model usually have."""
        profile = self._pretrained.model.profile.numpy()
        known = cells.measured or set(cells.genes["ensembl_id"])
        measured = pd.Index(self._pretrained.genes).isin(known)
        return float(measured_share(measured, profile))
