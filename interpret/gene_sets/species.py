"""Resources carried over from human to mouse, or back, by a table of orthologs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self, TypeVar

import pandas as pd

from ...encoders.errors import InputError
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


class Resource(Protocol):
    """What can be carried over: gene sets, regulons, pairs of ligands and receptors."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def genes(self) -> set[str]: ...
    def write(self, path: str | Path) -> None: ...
    def renamed(self, becomes: Mapping[str, tuple[str, ...]], version: str) -> Self: ...


Carried = TypeVar("Carried", bound=Resource)


def translate(
    resource: Carried,
    orthologs: pd.DataFrame,
    *,
    to: Species = "human",
    one_to_one: bool = True,
) -> Carried:
    """Return a resource with its genes replaced by their orthologs.

    Genes without an ortholog are left out, as is what cannot be without them: sets that keep no
    gene, links that lose an end, pairs that lose a subunit. Its method ``write`` makes a file of
    the result; ``scypher build`` takes those of human genes.

    Parameters
    ----------
    resource
        Gene sets, regulons, or pairs of ligands and receptors of the other species.
    orthologs
        Table of :func:`read_orthologs`.
    to
        Species of the result.
    one_to_one
        Only pairs of which neither gene has another ortholog; else a gene becomes all of its
        orthologs.

    Returns
    -------
    GeneSetLibrary, Regulons or Pairs
        As given, under the same name; its version is a hash of the version before, the species and
        the pairs.

    Raises
    ------
    InputError
        The table has no gene of the resource, or more as genes of the species asked for; or ``to``
        is no species that it knows.
    """
    if to not in ("human", "mouse"):
        message = f"the species {to!r} was given; expected human or mouse; name one of them."
        raise InputError(message)
    pairs = orthologs[orthologs["one_to_one"]] if one_to_one else orthologs
    source = "mouse" if to == "human" else "human"
    becomes = {str(old): tuple(new) for old, new in pairs.groupby(source, sort=False)[to]}
    used = pairs[[source, to]].to_csv(index=False)
    digest = hashlib.sha256(f"{resource.version}\n{to}\n{used}".encode()).hexdigest()
    carried = resource.renamed(becomes, digest[:12])
    every = resource.genes()
    known, already = len(every & set(orthologs[source])), len(every & set(orthologs[to]))
    # some symbols, such as C3, are the same in both
    if not carried.genes() or already > known:
        message = (
            f"{resource.name} has {len(every)} genes such as {', '.join(sorted(every)[:5])}, of "
            f"which the ortholog table has {known} as {source} and {already} as {to} genes; "
            f"expected {source} symbols; give another table, or "
            f'to="{source}" if they are {to} symbols.'
        )
        raise InputError(message)
    return carried
