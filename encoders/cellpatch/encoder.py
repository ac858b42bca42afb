"""CellPatch as an encoder: counts in; embedding and attention out, codes fitted to them."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ..base import Progress
from ..cells import Cells
from ..coded import EmbeddingEncoder, Features
from ..counts import normalise
from ..errors import InputError
from ..reading import TOP_ATTENDED, keep_top, to_columns
from .genes import match_tokens
from .inference import Reading, patches_after, read_genes
from .weights import load_pretrained


class CellPatchEncoder(EmbeddingEncoder):
    r"""CellPatch (preprint, Research Square rs-7138411).

    The embedding of a cell is its patches one after the other (64 x 32 = 2048 components). Its
    attention to a gene is the mean of the cross-attention over patches and heads, times the genes
    read in the cell: 1 is uniform. Gene embeddings are rows of the gene table.

    Parameters
    ----------
    path
        Folder that training wrote, or a published checkpoint; see
        :func:`~scypher.encoders.cellpatch.weights.load_pretrained`.

    Raises
    ------
    InputError
        The weights cannot be read or do not fit.
    """

    name = "cellpatch"

    def __init__(self, path: Path) -> None:
        self.pretrained = load_pretrained(path)
        self.model = self.pretrained.model

    def read(self, cells: Cells) -> Reading:
        """Return what the encoder reads of the cells.

        Raises
        ------
        InputError
            The vocabulary holds none of the genes.
        """
        token = match_tokens(cells.genes, self.pretrained.tokens)
        genes = np.flatnonzero(token)
        if not len(genes):
            given, known = cells.genes["name"].head(3), list(self.pretrained.tokens)[:3]
            message = (
                f"none of the {len(token)} genes ({', '.join(given)} …) is among the "
                f"{len(self.pretrained.tokens)} of the encoder ({', '.join(known)} …). Give data "
                "with such genes, or the vocabulary that belongs to the weights."
            )
            raise InputError(message)
        column = np.full(len(token), -1)
        column[genes] = np.arange(len(genes))
        config = self.model.config
        counts = to_columns(cells.counts, column, len(genes))
        values = keep_top(normalise(counts, cells.totals), config.max_tokens)
        values.data = config.as_read(values.data)
        return Reading(values, genes, token[genes])

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return patches, gene table and attention; nothing in it is random."""
        reading = self.read(cells)
        config, (n_cells, n_genes) = self.model.config, cells.counts.shape
        embedding = np.empty((n_cells, config.n_patches * config.width), np.float32)
        attended = []
        for chunk in read_genes(self.model, reading):
            embedding[chunk.cells] = patches_after(self.model, chunk.update).flatten(1).numpy()
            attended.append(keep_top(_times_length(chunk.attention), TOP_ATTENDED))
            progress("patches read genes", chunk.cells.stop, n_cells)
        top = sparse.csr_matrix(sparse.vstack(attended))
        gene_embedding = np.zeros((n_genes, config.width), np.float32)
        table = self.model.gene.weight.detach().numpy()
        gene_embedding[reading.genes] = table[reading.tokens]
        unread = np.setdiff1d(np.arange(n_genes), reading.genes)
        parameters: dict[str, Any] = {"max_tokens": config.max_tokens, "whole": config.whole}
        if config.clip is not None:
            parameters["clip"] = config.clip
        return Features(
            embedding=embedding,
            gene_embedding=gene_embedding,
            attention=sparse.csr_matrix(
                (top.data, reading.genes[top.indices], top.indptr), shape=(n_cells, n_genes)
            ),
            weights_hash=self.pretrained.weights_hash,
            parameters=parameters,
            dropped_genes=[str(name) for name in cells.genes["name"].to_numpy()[unread]],
            notes=[*self.pretrained.notes, *self._notes(cells, reading)],
        )

    def _notes(self, cells: Cells, reading: Reading) -> list[str]:
        n_genes, most = cells.counts.shape[1], self.model.config.max_tokens
        measured = cells.counts[:, reading.genes]
        expressed = np.diff(measured.indptr)
        notes = [
            f"encoder read {len(reading.genes)} of {n_genes} genes "
            f"({n_genes - len(reading.genes)} dropped), with "
            f"{measured.sum() / cells.counts.sum():.0%} of all counts"
        ]
        if cut := int((expressed > most).sum()):
            notes.append(f"{cut} cells express more than {most} genes: the {most} highest read")
        if empty := int((expressed == 0).sum()):
            notes.append(
                f"{empty} cells express no gene that the encoder reads: they share one embedding"
            )
        return notes


def _times_length(attention: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return weights times the genes read in the cell."""
    lengths = np.diff(attention.indptr)
    values = attention.data * np.repeat(lengths, lengths).astype(np.float32)
    return sparse.csr_matrix((values, attention.indices, attention.indptr), attention.shape)
