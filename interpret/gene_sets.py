"""Gene-set libraries in GMT files: a set per line, its name, description and genes by tabs."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..encoders.errors import InputError


@dataclass(frozen=True)
class GeneSetLibrary:
    """A named library of gene sets.

    ``version`` is the first 12 digits of the SHA-256 of the file; ``sets`` leads from the name of
    a set to its description and its genes, each gene once, in the order of the file.
    """

    name: str
    version: str
    sets: dict[str, tuple[str, tuple[str, ...]]]


def immune_textbook() -> Path:
    """Return the path of the library of textbook immune gene sets that comes with the package."""
    return Path(__file__).with_name("immune_textbook.gmt")


def read_gmt(path: str | Path) -> GeneSetLibrary:
    """Read a GMT file; its name without the suffix names the library.

    Blank lines and empty gene fields are passed over.

    Raises
    ------
    InputError
        When there is no such file, it is empty or not UTF-8 text, a line has fewer than three
        fields or no gene, or a set name is empty or given twice; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        _refuse(f"{path} was given, which is no file", "check the path of the gene-set library")
    content = path.read_bytes()
    sets: dict[str, tuple[str, tuple[str, ...]]] = {}
    lines: dict[str, int] = {}
    for number, raw in enumerate(content.splitlines(), start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            _refuse(f"{path}, line {number}, is not UTF-8 text", "unpack or convert the file")
        if not line.strip():
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = tuple(dict.fromkeys(field for field in rest[1:] if field))
        if not name or not genes:
            _refuse(
                f"{path}, line {number}, has {len(rest) + 1} tab-separated fields and "
                f"{len(genes)} genes",
                "separate the fields by tabs, or take the line out",
            )
        if name in sets:
            _refuse(
                f"{path}, line {number}, names the set {name!r} again (first on line "
                f"{lines[name]})",
                "rename or merge one of the two",
            )
        sets[name] = (rest[0], genes)
        lines[name] = number
    if not sets:
        _refuse(f"{path} holds no gene set in {len(content)} bytes", "choose another file")
    return GeneSetLibrary(path.stem, hashlib.sha256(content).hexdigest()[:12], sets)


def check_overlap(library: GeneSetLibrary, universe: Iterable[str]) -> None:
    """Raise :class:`InputError` when a library shares no gene with the measured genes."""
    measured = list(universe)
    known = set(measured)
    if any(gene in known for _, genes in library.sets.values() for gene in genes):
        return
    genes = [gene for _, members in library.sets.values() for gene in members]
    message = (
        f"gene-set library {library.name} has genes such as {_few(genes)}, the data has "
        f"{_few(measured)}, and none are shared; expected the same kind of gene names in both; "
        "choose a library of the same species that uses gene symbols."
    )
    raise InputError(message)


def _few(names: list[str]) -> str:
    return ", ".join(list(dict.fromkeys(names))[:5]) or "no genes at all"


def _refuse(given: str, action: str) -> NoReturn:
    message = f"{given}; expected a GMT file with name, description and genes per line; {action}."
    raise InputError(message)
