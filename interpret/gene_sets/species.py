"""Human or mouse: which symbols a list of genes has, and gene sets carried over by orthologs."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from ...encoders.errors import InputError

if TYPE_CHECKING:
    from .library import GeneSetLibrary

Species = Literal["human", "mouse"]

# CD19, HLA-A, C1orf112, ENSG00000156738; but Cd19, H2-Ab1, mt-Nd1, 1700001C02Rik
_HUMAN = r"(?:[A-Z][A-Z0-9]*-?[A-Z0-9.-]*[A-Z0-9]|C[0-9XY]+orf[0-9]+|ENSG[0-9.]+)"
_MOUSE = r"(?:(?:mt-)?[A-Z][a-z0-9]*[a-z][A-Za-z0-9.-]*|[0-9]+[A-Z][0-9]+Rik|ENSMUSG[0-9.]+)"
_OPEN_FRAME = r"C[0-9XY]+orf[0-9]+"


def species_of(
    names: Iterable[str], orthologs: pd.DataFrame | None = None
) -> Literal["human", "mouse", "unknown"]:
    """Return whose gene symbols the names are.

    Human symbols are in capitals (CD19), those of the mouse in lower case after the first letter
    (Cd19). A species is returned when more than half of all names are of its kind, and more than
    of the other's.

    Parameters
    ----------
    names
        Gene symbols or Ensembl ids.
    orthologs
        Table of :func:`read_orthologs`; with it a name counts where the table has it, whatever its
        spelling.
    """
    given = pd.Series(list(dict.fromkeys(names)), dtype=object).astype(str)
    given = given.str.removeprefix("symbol:")
    if given.empty:
        return "unknown"
    if orthologs is not None:
        human = given.isin(orthologs["human"]).mean()
        mouse = given.isin(orthologs["mouse"]).mean()
    else:
        of_mouse = given.str.fullmatch(_MOUSE) & ~given.str.fullmatch(_OPEN_FRAME)
        human = (given.str.fullmatch(_HUMAN) & ~given.str.startswith("ENSMUSG")).mean()
        mouse = (of_mouse | given.str.startswith("ENSMUSG")).mean()
    if max(human, mouse) <= 0.5 or human == mouse:
        return "unknown"
    return "human" if human > mouse else "mouse"


def read_orthologs(path: str | Path) -> pd.DataFrame:
    """Read a table of orthologs of human and mouse, with tabs between its columns.

    Parameters
    ----------
    path
        The file, with the columns ``human``, ``mouse`` and ``one_to_one`` (True or False).

    Returns
    -------
    pandas.DataFrame
        One row per pair: ``human``, ``mouse`` (symbols) and ``one_to_one`` (bool: neither gene has
        another ortholog).

    Raises
    ------
    InputError
        There is no such file, or it lacks a column or holds other values.
    """
    path = Path(path)
    if not path.is_file():
        message = (
            f"{path} was given, which is no file; expected a table of orthologs with the columns "
            "human, mouse and one_to_one; check the path."
        )
        raise InputError(message)
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    columns = ["human", "mouse", "one_to_one"]
    missing = [name for name in columns if name not in table]
    if missing or not table["one_to_one"].isin(["True", "False"]).all():
        message = (
            f"{path} has the columns {', '.join(map(str, table.columns))}; expected human, mouse "
            "and one_to_one, the last True or False; rename the columns, or choose another file."
        )
        raise InputError(message)
    table = table.loc[(table["human"] != "") & (table["mouse"] != ""), columns]
    table["one_to_one"] = table["one_to_one"] == "True"
    return table.drop_duplicates(["human", "mouse"], ignore_index=True)


def translate(
    library: "GeneSetLibrary",
    orthologs: pd.DataFrame,
    *,
    to: Species = "human",
    one_to_one: bool = True,
) -> "GeneSetLibrary":
    """Return a library with its genes replaced by their orthologs.

    Genes without an ortholog are left out, as are sets that keep no gene; how many genes the table
    has is told by ``known_genes(library, orthologs["mouse"])``.

    Parameters
    ----------
    library
        Gene sets of the other species.
    orthologs
        Table of :func:`read_orthologs`.
    to
        Species of the result.
    one_to_one
        Only pairs of which neither gene has another ortholog; else a gene becomes all of its
        orthologs.

    Returns
    -------
    GeneSetLibrary
        Same name; its version is a hash of the version before, the species and the pairs.

    Raises
    ------
    InputError
        The table has no gene of the library, or more as genes of the species asked for; or ``to``
        is no species that it knows.
    """
    if to not in ("human", "mouse"):
        message = f"the species {to!r} was given; expected human or mouse; name one of them."
        raise InputError(message)
    pairs = orthologs[orthologs["one_to_one"]] if one_to_one else orthologs
    source = "mouse" if to == "human" else "human"
    becomes = pairs.groupby(source, sort=False)[to].agg(tuple).to_dict()
    sets = {}
    for name, (description, genes) in library.sets.items():
        found = tuple(dict.fromkeys(new for gene in genes for new in becomes.get(gene, ())))
        if found:
            sets[name] = (description, found)
    every = {gene for _, members in library.sets.values() for gene in members}
    known, already = len(every & set(orthologs[source])), len(every & set(orthologs[to]))
    # some symbols, such as C3, are the same in both
    if not sets or already > known:
        message = (
            f"gene-set library {library.name} has {len(every)} genes such as "
            f"{', '.join(sorted(every)[:5])}, of which the ortholog table has {known} as {source} "
            f"and {already} as {to} genes; expected {source} symbols; give another table, or "
            f'to="{source}" if they are {to} symbols.'
        )
        raise InputError(message)
    used = pairs[[source, to]].to_csv(index=False)
    digest = hashlib.sha256(f"{library.version}\n{to}\n{used}".encode()).hexdigest()
    return replace(library, version=digest[:12], sets=sets)
