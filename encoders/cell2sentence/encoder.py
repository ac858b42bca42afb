"""Cell2Sentence as an encoder: cell sentences through a GPT-NeoX checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from ..base import Progress
from ..cells import Cells
from ..coded import EmbeddingEncoder, Features
from ..errors import InputError
from ..reading import TOP_ATTENDED, chunks_by_length, keep_top
from .choice import Genes, describe, resolve_genes
from .pieces import TEMPLATE, Pieces, Prompt, to_pieces
from .reading import read
from .sentences import Sentences, sentences_of
from .weights import load_language_model

MOST_WORDS = 200
"""Words of a sentence, as the published models were trained."""

BLOCK = 4096
"""Cells whose text is held at a time."""

SCORES = 2**22
"""Attention scores of a head in one chunk, pieces x pieces of all its cells: bounds the memory."""

_SHORT = 512
"""Pieces from which scores take more memory than states."""


class Cell2SentenceEncoder(EmbeddingEncoder):
    """Cell sentences read by a language model (Levine et al., ICML 2024).

    A cell becomes the names of its most expressed genes in a fixed prompt. Its embedding is the
    mean of the last hidden layer over the pieces of these names; the embedding of a gene the mean
    over cells of the mean over its pieces; attention is the rollout from the last piece of the
    sentence back to its pieces, those of a gene summed, times the genes read.

    Parameters
    ----------
    source
        Folder, or ``owner/name`` on the Hugging Face hub, of a GPT-NeoX checkpoint.
    genes
        Names of the genes that may be words (variable genes of the training cells); how many
        variable genes to choose on the cells themselves; all genes by default.
    most
        Words read a cell.
    whole_prompt
        Mean over the whole prompt, as published code does, not over the sentence alone.
    template, organism
        See :class:`~scypher.encoders.cell2sentence.pieces.Prompt`.
    device
        Where the model runs; a GPU when there is one by default.

    Raises
    ------
    InputError
        See :func:`~scypher.encoders.cell2sentence.weights.load_language_model`.
    """

    name = "c2s"

    def __init__(
        self,
        source: str | Path,
        *,
        genes: Genes = None,
        most: int = MOST_WORDS,
        whole_prompt: bool = False,
        template: str = TEMPLATE,
        organism: str = "Homo sapiens",
        device: str | None = None,
    ) -> None:
        if most < 1:
            message = f"{most} words of a cell were asked for; expected at least 1."
            raise InputError(message)
        self._prompt = Prompt(template, organism)
        self._language = load_language_model(source)
        self._genes = genes
        self._most = most
        self._whole_prompt = whole_prompt
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")

    def embed(self, cells: Cells, seed: int, progress: Progress) -> Features:
        """Return embedding, gene embedding and attention of checked cells; nothing is random."""
        names = [str(name) for name in cells.genes["symbol"]]
        chosen = resolve_genes(self._genes, cells)
        sentences = sentences_of(cells.counts, names, genes=chosen, most=self._most)
        n_cells, n_genes = cells.counts.shape
        width = self._language.width
        embedding = np.zeros((n_cells, width), np.float32)
        gene_sum = torch.zeros(n_genes, width, dtype=torch.float64)
        n_read = np.zeros(n_genes, np.int64)
        words = np.zeros(n_cells, np.int64)
        attended = []
        model = self._language.model.to(self._device)
        for rows, pieces, genes in self._chunks(sentences):
            chunk = read(model, pieces, whole_prompt=self._whole_prompt)
            embedding[rows] = chunk.embedding.numpy()
            words[rows] = pieces.n_words
            gene_sum.index_add_(0, torch.from_numpy(genes), chunk.state.double())
            n_read += np.bincount(genes, minlength=n_genes)
            lift = chunk.share.numpy() * np.repeat(pieces.n_words, pieces.n_words)
            attended.append(_top(lift, rows, genes, pieces.n_words, n_genes))
            progress("reading cell sentences", int((words > 0).sum()), n_cells)
        mean = gene_sum.numpy() / np.maximum(n_read, 1)[:, None]
        return Features(
            embedding=embedding,
            gene_embedding=mean.astype(np.float32),
            attention=_stack(attended, cells.counts.shape),
            weights_hash=self._language.weights_hash,
            parameters=self._parameters(),
            dropped_genes=list(cells.genes["name"].to_numpy()[~sentences.chosen].astype(str)),
            notes=_notes(sentences, words, int((n_read > 0).sum())),
        )

    def _chunks(self, sentences: Sentences) -> Iterator[tuple[np.ndarray, Pieces, np.ndarray]]:
        """Yield rows, their pieces, and the gene of every word of them in one row."""
        filled = np.flatnonzero(sentences.length)
        for start in range(0, len(filled), BLOCK):
            block = filled[start : start + BLOCK]
            genes = [sentences.genes_of(row) for row in block]
            texts = [[sentences.words[gene] for gene in item] for item in genes]
            pieces = to_pieces(
                self._language.tokenizer, self._prompt, texts, self._language.max_pieces
            )
            cost = pieces.length * np.maximum(pieces.length, _SHORT)
            for chunk in chunks_by_length(cost, SCORES):
                part = Pieces(
                    [pieces.ids[index] for index in chunk],
                    [pieces.word[index] for index in chunk],
                    pieces.n_words[chunk],
                )
                read_genes = [genes[index][: pieces.n_words[index]] for index in chunk]
                yield block[chunk], part, np.concatenate(read_genes)

    def _parameters(self) -> dict[str, Any]:
        return {
            "pretrained": self._language.weights_hash,
            "genes": describe(self._genes),
            "most_words": self._most,
            "whole_prompt": self._whole_prompt,
            "template": self._prompt.template,
            "organism": self._prompt.organism,
        }


def _top(
    lift: np.ndarray, rows: np.ndarray, genes: np.ndarray, n_words: np.ndarray, n_genes: int
) -> sparse.coo_matrix:
    """Return the highest entries of a chunk; rows are those of the data."""
    owner = np.repeat(np.arange(len(rows)), n_words)
    matrix = sparse.csr_matrix((lift, (owner, genes)), shape=(len(rows), n_genes))
    matrix.sort_indices()
    top = keep_top(matrix, TOP_ATTENDED).tocoo()
    return sparse.coo_matrix((top.data, (rows[top.row], top.col)), shape=(rows.max() + 1, n_genes))


def _stack(parts: list[sparse.coo_matrix], shape: tuple[int, int]) -> sparse.csr_matrix:
    data, row, col = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "row", "col")
    )
    return sparse.csr_matrix((data.astype(np.float32), (row, col)), shape=shape)


def _notes(sentences: Sentences, words: np.ndarray, n_read: int) -> list[str]:
    n_chosen, length = int(sentences.chosen.sum()), sentences.length
    notes = [
        f"sentences of {len(words)} cells hold {words.min()} to {words.max()} genes (median "
        f"{np.median(words):.0f}); {n_read} of {len(sentences.words)} genes stand in one"
    ]
    if n_chosen < len(sentences.words):
        notes.append(f"{len(sentences.words) - n_chosen} genes were not chosen as words")
    if sentences.n_truncated:
        notes.append(
            f"{sentences.n_truncated} cells express more than {length.max()} genes: their "
            f"{length.max()} most expressed ones read"
        )
    cut = int((words < length).sum())
    if cut:
        notes.append(f"{cut} sentences are longer than the model reads: their last genes cut")
    empty = int((length == 0).sum())
    if empty:
        notes.append(f"{empty} cells express none of the chosen genes: their embedding is zero")
    return notes
