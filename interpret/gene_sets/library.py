"""Gene-set libraries in GMT files: a set per line, its name, description and genes by tabs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...encoders.errors import InputError
from .symbols import foreign

_FOREIGN = 0.1


@dataclass(frozen=True)
class GeneSetLibrary:
    """A named library of gene sets.

    ``version`` is the first 12 digits of the SHA-256 of the file; ``sets`` leads from the name of
    a set to its description and its genes, each gene once, in the order of the file.
    """

    name: str
    version: str
    sets: dict[str, tuple[str, tuple[str, ...]]]

    def genes(self) -> set[str]:
        """Return every gene of the library."""
        return {gene for _, members in self.sets.values() for gene in members}

    def renamed(self, becomes: Mapping[str, tuple[str, ...]], version: str) -> "GeneSetLibrary":
        """Return the library with other names of genes; sets that keep none are left out."""
        sets = {}
        for name, (description, genes) in self.sets.items():
            found = tuple(dict.fromkeys(new for gene in genes for new in becomes.get(gene, ())))
            if found:
                sets[name] = (description, found)
        return GeneSetLibrary(self.name, version, sets)

    def write(self, path: str | Path) -> None:
        """Write the library as a GMT file, which :func:`read_gmt` reads."""
        lines = [
            "\t".join([name, description, *genes])
            for name, (description, genes) in self.sets.items()
        ]
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def immune_textbook() -> Path:
    """Return the path of the library of textbook immune gene sets that comes with the package."""
    return Path(__file__).with_name("immune_textbook.gmt")


def read_gmt(path: str | Path) -> GeneSetLibrary:
    """Read a GMT file; its name without the suffix names the library.

    Blank lines and empty gene fields are passed over.

    Parameters
    ----------
    path
        The file: a set per line, its name, description and genes with tabs between them.

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


GeneSets = str | Path | GeneSetLibrary | Mapping[str, Sequence[str]]
"""What is taken for a library: path of a GMT file, a library, or names of sets with their genes."""


def read_libraries(gene_sets: GeneSets | Sequence[GeneSets]) -> list[GeneSetLibrary]:
    """Return the libraries of one or several GMT files, libraries or mappings of sets to genes.

    A mapping is named ``given``; its version is a hash of its content.

    Raises
    ------
    InputError
        There is none, two have the same name, a set is empty, or a file cannot be read.
    """
    if isinstance(gene_sets, (str, Path, GeneSetLibrary, Mapping)):
        gene_sets = [gene_sets]
    libraries = [_library(one) for one in gene_sets]
    names = [library.name for library in libraries]
    if not names or len(set(names)) < len(names):
        message = (
            f"gene-set libraries named {', '.join(names) or 'nothing'} were given; expected at "
            "least one, each with a name of its own; rename or leave out one of the files."
        )
        raise InputError(message)
    return libraries


def merge(libraries: Sequence[GeneSetLibrary]) -> GeneSetLibrary:
    """Return one library of all sets, each named by its library, a tab, and its name."""
    sets = {
        f"{library.name}\t{name}": found
        for library in libraries
        for name, found in library.sets.items()
    }
    versions = "\n".join(f"{library.name}\t{library.version}" for library in libraries)
    digest = hashlib.sha256(versions.encode()).hexdigest()
    return GeneSetLibrary(", ".join(library.name for library in libraries), digest[:12], sets)


def membership(library: GeneSetLibrary, genes: Sequence[str]) -> sp.csr_matrix:
    """Return which genes each set holds, (n_sets, n_genes), 1 where it does, indices sorted.

    Parameters
    ----------
    library
        Gene sets, in whose order the rows are.
    genes
        Names of the columns, each once; genes of a set that are none of them are left out.
    """
    return incidence([members for _, members in library.sets.values()], genes)


def incidence(lists: Sequence[Sequence[str]], genes: Sequence[str]) -> sp.csr_matrix:
    """Return which genes each list holds, (n_lists, n_genes), as :func:`membership`."""
    row = np.repeat(np.arange(len(lists)), [len(members) for members in lists])
    names = np.array([gene for members in lists for gene in members], dtype=object)
    column = pd.Index(np.array(genes, dtype=object)).get_indexer(pd.Index(names))
    found = column >= 0
    ones = np.ones(int(found.sum()), dtype=np.int64)
    matrix = sp.csr_matrix((ones, (row[found], column[found])), shape=(len(lists), len(genes)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def known_genes(library: GeneSetLibrary, universe: Iterable[str]) -> tuple[int, int]:
    """Return how many different genes of a library are among the measured, and how many are not."""
    genes = library.genes()
    known = len(genes & set(universe))
    return known, len(genes) - known


def check_overlap(
    library: GeneSetLibrary, universe: Iterable[str], *, kind: str = "gene-set library"
) -> None:
    """Raise :class:`InputError` when a library cannot be asked of the measured genes.

    That is when both share no gene; or when fewer than a tenth of the library's genes are measured
    and its names are those of human genes and the measured ones those of mouse genes, or the other
    way round: some symbols, such as C3, are the same in both.
    """
    measured = list(universe)
    known, unknown = known_genes(library, measured)
    way_out = ""
    if known == 0 or known < _FOREIGN * (known + unknown):
        genes = [gene for _, members in library.sets.values() for gene in members]
        way_out = foreign(genes, measured)
        if known and not way_out:
            return
        number = f"only {known} of {known + unknown}" if known else "none"
        message = (
            f"{kind} {library.name} has genes such as {_few(genes)}, the data has "
            f"{_few(measured)}, and {number} are shared; expected the same kind of gene names in "
            "both; "
            + (way_out or "choose a resource of the same species that uses gene symbols")
            + "."
        )
        raise InputError(message)


def _library(given: GeneSets) -> GeneSetLibrary:
    if isinstance(given, GeneSetLibrary):
        return given
    if isinstance(given, (str, Path)):
        return read_gmt(given)
    sets = {str(name): ("", tuple(dict.fromkeys(map(str, genes)))) for name, genes in given.items()}
    empty = [name for name, (_, genes) in sets.items() if not genes]
    if empty or not sets:
        message = (
            f"the gene sets {_few(empty)} without a gene were given; expected names of sets, each "
            "with its genes; leave out the empty ones."
            if empty
            else "an empty mapping was given; expected names of sets, each with its genes; add one."
        )
        raise InputError(message)
    digest = hashlib.sha256(repr(sorted(sets.items())).encode()).hexdigest()
    return GeneSetLibrary("given", digest[:12], sets)


def _few(names: list[str]) -> str:
    few = [name.removeprefix("symbol:") for name in dict.fromkeys(names)][:5]
    return ", ".join(few) or "no genes at all"


def _refuse(given: str, action: str) -> NoReturn:
    message = f"{given}; expected a GMT file with name, description and genes per line; {action}."
    raise InputError(message)
