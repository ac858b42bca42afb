"""Which genes may be words: all, given ones, or the variable ones of the cells."""

from pathlib import Path

from ..cells import Cells
from ..errors import InputError
from .variable import variable_genes_of

Genes = list[str] | int | None
"""Names; how many variable genes to choose; or ``None`` for all genes."""

_MARK = "genes="


def split_argument(argument: str | None) -> tuple[str | None, Genes]:
    """Return what stands before ``genes=…`` in an argument, and the genes.

    Parameters
    ----------
    argument
        ``REST``, ``REST,genes=2000``, ``genes=2000``, or a file with one gene name a line in place
        of the number.

    Raises
    ------
    InputError
        The number is not positive, or the file cannot be read or is empty.

    Examples
    --------
    >>> split_argument("model,genes=2000"), split_argument("genes=5"), split_argument(None)
    (('model', 2000), (None, 5), (None, None))
    """
    before, mark, value = (argument or "").rpartition(_MARK)
    if not mark or (before and not before.endswith(",")):
        return argument, None
    rest = before.removesuffix(",") or None
    if value.isdecimal() and int(value) > 0:
        return rest, int(value)
    try:
        names = Path(value).read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        message = (
            f"genes={value} is neither a number above 0 nor a file that can be read ({error}); "
            "expected genes=2000, or a file with one gene name a line."
        )
        raise InputError(message) from error
    if not names:
        message = f"{value} names no gene; expected one gene name a line. Write them into it."
        raise InputError(message)
    return rest, names


def resolve_genes(genes: Genes, cells: Cells) -> list[str] | None:
    """Return the words of the chosen genes, ``None`` for all."""
    if isinstance(genes, int):
        return variable_genes_of(cells.counts, list(cells.genes["symbol"]), genes)
    return genes


def describe(genes: Genes) -> str:
    """Return the choice in plain text, for the parameters of a run."""
    if genes is None:
        return "all"
    return f"variable: {genes}" if isinstance(genes, int) else f"given: {len(genes)}"
