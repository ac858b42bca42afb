"""Tables of ligand-receptor pairs, complexes among them, and where their genes are in the data."""

import gzip
import hashlib
import io
import itertools
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..gene_sets.symbols import foreign
from ..statistics import Ints

LIGAND = ("ligand_genes", "genes_a", "source_genesymbol", "ligand_symbol", "ligand")
RECEPTOR = ("receptor_genes", "genes_b", "target_genesymbol", "receptor_symbol", "receptor")
"""Columns that may hold the genes of a side, those with genes before those with names."""

PATHWAY = ("pathway", "pathway_name", "classification")
CATEGORY = ("category", "annotation", "directionality")

_SUBUNITS = re.compile(r"[_,;&|\s]+")
_MAGIC = b"\x1f\x8b"
_FOREIGN = 0.1


@dataclass(frozen=True)
class Pairs:
    """Ligand-receptor pairs by the symbols of their genes.

    Attributes
    ----------
    name, version
        Name of the file without its suffixes; first 12 digits of the SHA-256 of its content.
    ligand, receptor
        For each pair the symbols of the subunits, one for a single gene.
    pathway, category
        For each pair what the table says, empty where it says nothing.
    notes
        What was left out, in sentences.
    """

    name: str
    version: str
    ligand: tuple[tuple[str, ...], ...]
    receptor: tuple[tuple[str, ...], ...]
    pathway: tuple[str, ...]
    category: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.ligand)

    def genes(self) -> set[str]:
        """Return every gene of a ligand or receptor."""
        return {gene for side in (*self.ligand, *self.receptor) for gene in side}

    def renamed(self, becomes: Mapping[str, tuple[str, ...]], version: str) -> "Pairs":
        """Return the pairs with other names of genes; those that lose a subunit are left out."""

        def called(side: tuple[str, ...]) -> list[tuple[str, ...]]:
            return list(itertools.product(*(becomes.get(gene, ()) for gene in side)))

        rows = [
            (ligand, receptor, pathway, category)
            for old, other, pathway, category in zip(
                self.ligand, self.receptor, self.pathway, self.category, strict=True
            )
            for ligand, receptor in itertools.product(called(old), called(other))
        ]
        return Pairs(
            self.name,
            version,
            tuple(row[0] for row in rows),
            tuple(row[1] for row in rows),
            tuple(row[2] for row in rows),
            tuple(row[3] for row in rows),
            self.notes,
        )

    def write(self, path: str | Path) -> None:
        """Write the pairs as a table with tabs, which :func:`read_pairs` reads."""
        sides = {"ligand": self.ligand, "receptor": self.receptor}
        columns = {name: ["_".join(genes) for genes in side] for name, side in sides.items()}
        table = pd.DataFrame(columns | {"pathway": self.pathway, "category": self.category})
        table.to_csv(path, sep="\t", index=False)


@dataclass(frozen=True)
class PairGenes:
    """Pairs by the positions of their genes in the data.

    Attributes
    ----------
    ligand, receptor
        Positions of the subunits, shape (n_pairs, most subunits), filled up with -1.
    row
        (n_pairs,) position of the pair in its :class:`Pairs`.
    notes
        How many pairs could not be located, in sentences.
    """

    ligand: Ints
    receptor: Ints
    row: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.ligand)


def pairs_of(given: "Pairs | str | Path") -> Pairs:
    """Return pairs as they are, or read from a file."""
    return given if isinstance(given, Pairs) else read_pairs(given)


def read_pairs(path: str | Path) -> Pairs:
    """Read ligand-receptor pairs from a table with a header, by tabs or commas, gzip or plain.

    The genes of a side are taken from the first column of :data:`LIGAND` and :data:`RECEPTOR` that
    the table has, or from numbered columns (``ligand_1``, ``ligand_2``, ...; ``receptor_1``, ...).
    Subunits of a complex are joined by ``_`` (also ``,`` ``;`` ``&`` ``|`` or blanks). The tables
    of LIANA (consensus), CellPhoneDB and CellChatDB are read as they are. A pair of the same genes
    is kept once, its first row; a row without a gene on one side is left out; notes count both.

    Parameters
    ----------
    path
        The file; its name without suffixes names the table.

    Raises
    ------
    InputError
        There is no such file, it is no table of text, a column is missing or no pair is left.
    """
    path = Path(path)
    if not path.is_file():
        _refuse(f"{path} was given, which is no file", "check the path of the pair table")
    content = path.read_bytes()
    table = _table(path, content)
    sides = [_side(path, table, side) for side in (LIGAND, RECEPTOR)]
    complete = [bool(ligand and receptor) for ligand, receptor in zip(*sides, strict=True)]
    seen: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for row, (ligand, receptor) in enumerate(zip(*sides, strict=True)):
        if complete[row]:
            # A complex is the same in any order of its subunits.
            seen.setdefault((tuple(sorted(ligand)), tuple(sorted(receptor))), row)
    if not seen:
        _refuse(f"{path} holds no pair in {len(table)} rows", "choose another table")
    rows = sorted(seen.values())
    notes = []
    if not all(complete):
        notes.append(f"{path.name}: {complete.count(False)} rows without a gene on one side")
    if len(rows) < sum(complete):
        notes.append(f"{path.name}: {sum(complete) - len(rows)} rows repeat the genes of another")
    return Pairs(
        name=path.name.split(".")[0],
        version=hashlib.sha256(content).hexdigest()[:12],
        ligand=tuple(sides[0][row] for row in rows),
        receptor=tuple(sides[1][row] for row in rows),
        pathway=_texts(table, PATHWAY, rows),
        category=_texts(table, CATEGORY, rows),
        notes=tuple(notes),
    )


def locate_pairs(pairs: Pairs, symbols: Sequence[str]) -> PairGenes:
    """Return the pairs of which every gene is measured, by the positions of their genes.

    A symbol that the data hold more than once stands for its first column.

    Raises
    ------
    InputError
        No pair is measured, or the table is of another species.
    """
    place: dict[str, int] = {}
    for position, symbol in enumerate(symbols):
        place.setdefault(str(symbol), position)
    row = [
        number
        for number, sides in enumerate(zip(pairs.ligand, pairs.receptor, strict=True))
        if all(gene in place for side in sides for gene in side)
    ]
    wanted = pairs.genes()
    way_out = "" if len(row) > _FOREIGN * len(pairs) else foreign(wanted, place)
    if not row or way_out:
        action = way_out or "name the column of var with the symbols, or choose another table"
        message = (
            f"pair table {pairs.name} has genes such as {_few(sorted(wanted))}, the data has "
            f"{_few([str(symbol) for symbol in symbols])}, and {len(row) or 'no'} pairs have all "
            f"their genes in the data; expected symbols of the same species in both; {action}."
        )
        raise InputError(message)
    notes = list(pairs.notes)
    if len(row) < len(pairs):
        unknown = sorted(wanted - place.keys())
        notes.append(
            f"{pairs.name}: {len(row)} of {len(pairs)} pairs are measured; {len(unknown)} genes "
            f"are not, such as {_few(unknown)}"
        )
    return PairGenes(
        _positions([pairs.ligand[number] for number in row], place),
        _positions([pairs.receptor[number] for number in row], place),
        np.array(row, dtype=np.int64),
        tuple(notes),
    )


def _table(path: Path, content: bytes) -> pd.DataFrame:
    try:
        plain = gzip.decompress(content) if content.startswith(_MAGIC) else content
        text = plain.decode("utf-8-sig")
        separator = "\t" if "\t" in text.partition("\n")[0] else ","
        # Some symbols look like missing values, so that nothing is taken for one.
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
        table = table.fillna("")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _refuse(f"{path} cannot be read ({reason})", "unpack, repair or convert the file")
    table.columns = table.columns.str.strip().str.lower()
    return table


def _side(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the symbols of one side of every row, each once."""
    side = names[-1]
    chosen = [name for name in names if name in table][:1] or sorted(
        (name for name in map(str, table) if re.fullmatch(rf"{side}(_subunit|_gene)?_?\d+", name)),
        key=lambda name: int(re.findall(r"\d+", name)[0]),
    )
    if not chosen:
        _refuse(
            f"{path} has the columns {', '.join(table.columns)}, none of them with the {side}",
            f"name it one of {', '.join(names)}, or {side}_1, {side}_2, ...",
        )
    joined = map("_".join, table[chosen].to_numpy(dtype=object))
    return [tuple(dict.fromkeys(filter(None, _SUBUNITS.split(text)))) for text in joined]


def _texts(table: pd.DataFrame, names: tuple[str, ...], rows: list[int]) -> tuple[str, ...]:
    found = [name for name in names if name in table][:1]
    return tuple(table[found[0]].to_numpy()[rows]) if found else ("",) * len(rows)


def _positions(sides: list[tuple[str, ...]], place: dict[str, int]) -> Ints:
    out = np.full((len(sides), max(map(len, sides))), -1, dtype=np.int64)
    for row, genes in enumerate(sides):
        out[row, : len(genes)] = [place[gene] for gene in genes]
    return out


def _few(names: Sequence[str]) -> str:
    return ", ".join(list(dict.fromkeys(names))[:5]) or "no genes at all"


def _refuse(given: str, action: str) -> NoReturn:
    message = (
        f"{given}; expected a table with a header and the genes of ligand and receptor in each "
        f"row; {action}."
    )
    raise InputError(message)
