"""Which gene is which token, and how much of each gene is usual."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .config import FIRST_GENE

VOCABULARY_FILES = ("vocab.json", "token_dictionary.json")
"""Names under which a vocabulary is looked for beside the weights."""

MEDIAN_FILE = "gene_median.json"

_SPECIAL = ("pad", "mask", "cls", "eos")


@dataclass(frozen=True)
class Vocabulary:
    """Genes that a model reads.

    Attributes
    ----------
    genes
        Ensembl ids, in the order of their tokens.
    token
        (n_genes,) int64 id of each gene.
    medians
        (n_genes,) float64 usual value of each gene per 10,000 counts; 1 where none is known.
    """

    genes: list[str]
    token: np.ndarray
    medians: np.ndarray

    @classmethod
    def of(cls, genes: list[str], medians: np.ndarray | None = None) -> "Vocabulary":
        """Return the vocabulary in which the genes follow the special tokens."""
        known = np.ones(len(genes)) if medians is None else np.asarray(medians, np.float64)
        return cls(list(genes), np.arange(len(genes)) + FIRST_GENE, known)


def read_vocabulary(folder: Path) -> tuple[Vocabulary, bool]:
    """Read the vocabulary beside published weights; also whether there are medians of genes.

    Parameters
    ----------
    folder
        Holds ``vocab.json`` or ``token_dictionary.json`` (token -> id: pad 0, mask 1, cls 2,
        eos 3, then Ensembl ids) and, perhaps, ``gene_median.json`` (Ensembl id -> median).

    Raises
    ------
    InputError
        There is no vocabulary, or it or the medians are of another kind.
    """
    path = next((folder / name for name in VOCABULARY_FILES if (folder / name).is_file()), None)
    if path is None:
        message = (
            f"{folder} holds no vocabulary; expected {' or '.join(VOCABULARY_FILES)} (token -> id) "
            "beside the weights. Put it there: without it no gene can be told from another."
        )
        raise InputError(message)
    ids = read_json(path)
    _check_ids(ids, path)
    genes = sorted((name for name in ids if ids[name] >= FIRST_GENE), key=ids.__getitem__)
    token = np.array([ids[name] for name in genes], np.int64)
    medians, given = np.ones(len(genes)), (folder / MEDIAN_FILE).is_file()
    if given:
        known = read_json(folder / MEDIAN_FILE)
        _check_medians(known, folder / MEDIAN_FILE)
        medians = np.array([known.get(name, 1.0) for name in genes], np.float64)
    return Vocabulary(genes, token, medians), given


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        There is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as JSON ({error}); give the file that came with weights."
        raise InputError(message) from error
    if not isinstance(content, dict):
        message = (
            f"{path} holds a JSON {type(content).__name__}, expected an object; give the file that "
            "came with the weights."
        )
        raise InputError(message)
    return content


def _check_ids(ids: dict[str, Any], path: Path) -> None:
    by_id: dict[Any, str] = {number: name for name, number in ids.items()}
    whole = all(isinstance(number, int) and number >= 0 for number in by_id)
    special = [re.sub("[^a-z]", "", by_id.get(number, "").lower()) for number in range(FIRST_GENE)]
    if not whole or len(by_id) != len(ids) or special != list(_SPECIAL) or len(ids) <= FIRST_GENE:
        first = ", ".join(f"{by_id.get(number, 'nothing')} {number}" for number in range(4))
        message = (
            f"{path} is no scDMC vocabulary: it holds {len(ids)} names, {len(by_id)} different "
            f"ids, {first}; expected pad 0, mask 1, cls 2, eos 3, then Ensembl ids, each with a "
            "number of its own. Give the vocabulary that the weights were trained with."
        )
        raise InputError(message)


def _check_medians(known: dict[str, Any], path: Path) -> None:
    wrong = [
        name
        for name, value in known.items()
        if not isinstance(value, int | float) or not 0 < value < float("inf")
    ]
    if wrong:
        message = (
            f"{path} gives {len(wrong)} genes a median that is no positive number "
            f"({', '.join(wrong[:5])}); expected Ensembl id -> median of the non-zero values. "
            "Remove those genes: their median is then taken as 1."
        )
        raise InputError(message)
