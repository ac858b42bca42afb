"""Cell2Sentence: names of genes through a language model that the user has."""

from typing import TYPE_CHECKING

from ..card import Card

if TYPE_CHECKING:
    from ..base import Encoder


def _make(argument: str | None, adapt: bool) -> "Encoder":
    from ..cell2sentence.choice import split_argument
    from ..cell2sentence.encoder import Cell2SentenceEncoder
    from ..errors import InputError

    source, genes = split_argument(argument)
    if source is None:
        message = (
            "c2s comes without weights; expected a checkpoint. Write c2s:FOLDER, or c2s:OWNER/NAME "
            "to fetch a model from the Hugging Face hub."
        )
        raise InputError(message)
    if isinstance(genes, int) and not adapt:
        message = (
            f"genes={genes} chooses variable genes on the cells that are encoded, and the encoder "
            "may not fit itself to them. Give genes=FILE with names chosen on training cells."
        )
        raise InputError(message)
    return Cell2SentenceEncoder(source, genes=genes)


CARD = Card(
    "c2s",
    "Cell2Sentence: the most expressed genes as words, read by a GPT-NeoX language model",
    "Levine et al., ICML 2024 (Cell2Sentence), with variable-gene selection",
    "that of the weights you give (published ones: CC BY-NC-ND 4.0 on their cards of 2024)",
    "folder or hub name of a GPT-NeoX checkpoint; then ,genes=N or ,genes=FILE for fewer words",
    _make,
)
