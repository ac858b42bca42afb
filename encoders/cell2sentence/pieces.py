"""Prompts around cell sentences, and which word every piece of a tokeniser belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEMPLATE = (
    "Genes of one {organism} cell by expression, the {n_genes} most expressed ones, highest "
    "first. Name the type of this cell.\nGenes: {sentence}\nType of the cell:"
)
"""One wording for every cell: a template drawn per cell would change its embedding."""

_MARK = "{sentence}"


@dataclass(frozen=True)
class Prompt:
    """Text around a sentence.

    Parameters
    ----------
    template
        Holds ``{sentence}`` once; ``{n_genes}`` and ``{organism}`` where wanted.
    organism
        Name of the species.

    Raises
    ------
    InputError
        The template has no ``{sentence}`` or other fields.
    """

    template: str = TEMPLATE
    organism: str = "Homo sapiens"

    def __post_init__(self) -> None:
        try:
            whole = self.template.count(_MARK) == 1 and self.around(1)
        except (KeyError, IndexError, ValueError):
            whole = False
        if not whole:
            message = (
                f"the prompt {self.template!r} cannot be filled; expected {_MARK} once, and no "
                "fields but {n_genes} and {organism}. Correct it or leave it out."
            )
            raise InputError(message)

    def around(self, n_genes: int) -> tuple[str, str]:
        """Return the text before and after a sentence of so many words."""
        before, after = self.template.split(_MARK)
        fields = {"n_genes": n_genes, "organism": self.organism}
        return before.format(**fields), after.format(**fields)


class Pieces(NamedTuple):
    """Pieces of some prompts.

    Attributes
    ----------
    ids
        For every prompt the (n_pieces,) numbers of its pieces.
    word
        For every prompt the (n_pieces,) place in the sentence of the word that a piece belongs to,
        -1 for the text around the sentence.
    n_words
        (n_prompts,) words of each sentence that are read.
    """

    ids: list[np.ndarray]
    word: list[np.ndarray]
    n_words: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """Pieces of each prompt, (n_prompts,)."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)


def to_pieces(
    tokenizer: "Tokenizer", prompt: Prompt, sentences: Sequence[Sequence[str]], most: int
) -> Pieces:
    """Return the pieces of prompts; words at the end of a sentence that do not fit are left out.

    Parameters
    ----------
    tokenizer
        A tokeniser without truncation and padding.
    prompt
        Text around every sentence.
    sentences
        Words of each sentence, without blanks inside.
    most
        Pieces of a prompt that the model reads.

    Raises
    ------
    InputError
        The prompt leaves no room for a word.
    """
    ids: list[np.ndarray] = [np.empty(0, np.int64)] * len(sentences)
    word: list[np.ndarray] = [np.empty(0, np.int64)] * len(sentences)
    n_words = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    open_ = list(range(len(sentences)))
    while open_:
        chosen = [sentences[index][: n_words[index]] for index in open_]
        for index, (numbers, place) in zip(open_, _encode(tokenizer, prompt, chosen), strict=True):
            ids[index], word[index] = numbers, place
        open_ = [index for index in open_ if len(ids[index]) > most]
        for index in open_:
            # A shorter sentence changes its number in the prompt too, so each is read again.
            n_words[index] = _fitting(word[index], int(n_words[index]), most)
            if n_words[index] < 1:
                message = (
                    f"the model reads {most} pieces and the prompt alone leaves no room for a "
                    "gene. Give a shorter prompt."
                )
                raise InputError(message)
    return Pieces(ids, word, n_words)


def _fitting(word: np.ndarray, n_words: int, most: int) -> int:
    """Return how many words fit, fewer than now."""
    around = int((word < 0).sum())
    used = around + np.cumsum(np.bincount(word[word >= 0], minlength=n_words))
    return min(int(np.searchsorted(used, most, side="right")), n_words - 1)


def _encode(
    tokenizer: "Tokenizer", prompt: Prompt, sentences: Sequence[Sequence[str]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    around = [prompt.around(len(sentence)) for sentence in sentences]
    texts = [
        before + " ".join(sentence) + after
        for (before, after), sentence in zip(around, sentences, strict=True)
    ]
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    return [
        (
            np.array(encoding.ids, dtype=np.int64),
            _word_of(np.array(encoding.offsets).reshape(-1, 2), len(before), sentence),
        )
        for encoding, (before, _), sentence in zip(encodings, around, sentences, strict=True)
    ]


def _word_of(offsets: np.ndarray, start: int, sentence: Sequence[str]) -> np.ndarray:
    """Return the word that holds the last letter of every piece: a blank may come before it."""
    lengths = np.array([len(word) for word in sentence], dtype=np.int64)
    starts = start + np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    last = offsets[:, 1] - 1
    word = np.searchsorted(starts, last, side="right") - 1
    inside = (word >= 0) & (offsets[:, 1] > offsets[:, 0])
    inside &= last < (starts + lengths)[np.maximum(word, 0)]
    return np.where(inside, word, -1)
