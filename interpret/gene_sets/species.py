"""Gene sets carried over from human to mouse, or back, by a table of orthologs."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ...encoders.errors import InputError
from .library import GeneSetLibrary
from .symbols import Species


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
    library: GeneSetLibrary,
    orthologs: pd.DataFrame,
    *,
    to: Species = "human",
    one_to_one: bool = True,
) -> GeneSetLibrary:
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
