"""scDMC as an encoder: counts in; embedding and attention out."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ..base import Progress
from ..cells import Cells
from ..coded import EmbeddingEncoder, Features
from ..errors import InputError
from ..reading import TOP_ATTENDED, chunks_by_length, keep_top, to_columns
from .config import FIRST_GENE
from .model import Body
from .streams import FRAME, rank_stream, scale
from .vocabulary import Vocabulary
from .weights import NAME, load_pretrained

NUMBERS_PER_CHUNK = 2**24
"""Numbers of one layer that are held at once, padding included; bounds the memory."""


class ScDMCEncoder(EmbeddingEncoder):
    """scDMC (Guo et al., bioRxiv 2025.09.05.674596): a BERT over genes ordered by rank.

    The embedding of a cell is its cls token after the last layer; that of a gene its row of the
    word table. Attention is what the cls token attends to in the last layer.

    Parameters
    ----------
    path
        Folder or file of weights, see :func:`~scypher.encoders.scdmc.weights.load_pretrained`.
    """

    name = NAME

    def __init__(self, path: Path) -> None:
        self._pretrained = load_pretrained(path)

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return embedding, gene embedding and attention of checked cells.

        Raises
        ------
        InputError
            The encoder reads none of the genes.
        """
        body, vocabulary = self._pretrained.body, self._pretrained.vocabulary
        genes = pd.Index(vocabulary.genes)
        column = genes.get_indexer(pd.Index(cells.genes["ensembl_id"]))
        read = np.flatnonzero(column >= 0)
        if not len(read):
            message = (
                f"none of the {len(column)} genes is in the vocabulary of the weights, which "
                f"begins {', '.join(vocabulary.genes[:3])} ({len(genes)} genes); the data begin "
                f"{', '.join(map(str, cells.genes['key'][:3]))}. Give data of those genes, or "
                "weights trained on these."
            )
            raise InputError(message)
        counts = to_columns(cells.counts, column, len(genes))
        scaled = scale(counts, cells.totals, vocabulary.medians)
        most = body.config.max_tokens - FRAME
        cut = int((np.diff(scaled.indptr) > most).sum())
        embedding, attended = read_cells(body, scaled, vocabulary, progress=progress)
        found = attended[:, column[read]].tocoo()
        gene_embedding = np.zeros((len(column), body.config.width), np.float32)
        words = body.embeddings.word_embeddings.weight
        gene_embedding[read] = words[torch.from_numpy(vocabulary.token[column[read]])].numpy()
        unread = int((np.diff(scaled.indptr) == 0).sum())
        return Features(
            embedding=embedding,
            gene_embedding=gene_embedding,
            attention=sparse.csr_matrix(
                (found.data, (found.row, read[found.col])), shape=cells.counts.shape
            ),
            weights_hash=self._pretrained.weights_hash,
            parameters={
                "layout": body.config.layout,
                "width": body.config.width,
                "n_layers": body.config.n_layers,
                "n_heads": body.config.n_heads,
                "max_tokens": body.config.max_tokens,
                "epe_mode": body.config.epe_mode,
            },
            dropped_genes=[str(name) for name in cells.genes["name"].to_numpy()[column < 0]],
            notes=[
                f"encoder read {len(read)} of {len(column)} genes, with "
                f"{counts.sum() / cells.counts.sum():.0%} of all counts; "
                f"{len(column) - len(read)} are not in its vocabulary",
                *self._pretrained.notes,
                *([f"{cut} cells express more than {most} genes: top read"] if cut else []),
                *(
                    [f"{unread} cells express no gene that the encoder reads: all look alike"]
                    if unread
                    else []
                ),
            ],
        )


@torch.inference_mode()
def read_cells(
    body: Body, scaled: sparse.csr_matrix, vocabulary: Vocabulary, *, progress: Progress
) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return embedding (n, width) and attention (n, genes of the model) of cells.

    Attention is the weight of each gene among the genes of its cell, averaged over heads, times
    the number of genes read in the cell: 1 where the cls token attends to all alike.

    Parameters
    ----------
    body
        Ready to read.
    scaled
        CSR (n, genes of the model) as :func:`~scypher.encoders.scdmc.streams.scale` returns.
    vocabulary
        Tokens of the genes.
    progress
        Told how far it is.
    """
    most = body.config.max_tokens
    scaled = keep_top(scaled, most - FRAME)
    lengths = np.diff(scaled.indptr) + FRAME
    gene_of = torch.full((body.config.n_tokens,), -1)
    gene_of[torch.from_numpy(vocabulary.token)] = torch.arange(len(vocabulary.genes))
    widest = max(2 * body.config.hidden, 3 * body.config.width)
    embedding = np.empty((len(lengths), body.config.width), np.float32)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    done = 0
    for rows in chunks_by_length(lengths, max(NUMBERS_PER_CHUNK // widest, most)):
        token = torch.from_numpy(rank_stream(scaled[rows], vocabulary.token, most))
        cell, weights = body.read(token)
        embedding[rows] = cell.numpy()
        is_gene = token >= FIRST_GENE
        share = weights * is_gene
        n_genes = is_gene.sum(dim=1, keepdim=True)
        share = share / share.sum(dim=1, keepdim=True).clamp_min(1e-30) * n_genes
        kept = share.topk(min(TOP_ATTENDED, share.shape[1]), dim=1)
        row, place = (kept.values > 0).nonzero(as_tuple=True)
        gene = gene_of[token.gather(1, kept.indices)[row, place]]
        parts.append((rows[row.numpy()], gene.numpy(), kept.values[row, place].numpy()))
        done += len(rows)
        progress("encoding cells", done, len(lengths))
    row_of, columns, values = (np.concatenate(item) for item in zip(*parts, strict=True))
    attention = sparse.csr_matrix((values, (row_of, columns)), shape=scaled.shape)
    attention.sort_indices()
    return embedding, attention
