"""Human or mouse: whose gene symbols a list of genes has."""

from collections.abc import Iterable
from typing import Literal

import pandas as pd

Species = Literal["human", "mouse"]

# CD19, HLA-A, C1orf112, ENSG00000156738; but Cd19, H2-Ab1, mt-Nd1, 1700001C02Rik
_HUMAN = r"(?:[A-Z][A-Z0-9]*-?[A-Z0-9.-]*[A-Z0-9]|C[0-9XY]+orf[0-9]+|ENSG[0-9.]+)"
_MOUSE = r"(?:(?:mt-)?[A-Z][a-z0-9]*[a-z][A-Za-z0-9.-]*|[0-9]+[A-Z][0-9]+Rik|ENSMUSG[0-9.]+)"
_OPEN_FRAME = r"C[0-9XY]+orf[0-9]+"


def foreign(theirs: Iterable[str], measured: Iterable[str]) -> str:
    """Return what to do where a resource has symbols of the other species, else an empty text."""
    asked, have = species_of(theirs), species_of(measured)
    if {asked, have} != {"human", "mouse"}:
        return ""
    return (
        f"it has {asked} symbols, the data {have} symbols: read a table of orthologs with "
        "scypher.interpret.read_orthologs and carry it over by "
        f'scypher.interpret.translate(resource, orthologs, to="{have}")'
    )


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
        Table of :func:`~scypher.interpret.gene_sets.species.read_orthologs`; with it a name counts
        where the table has it, whatever its spelling.
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
