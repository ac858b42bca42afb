"""The gene vocabulary: symbols, Ensembl ids and aliases of human genes.

Inside Scypher a gene is its Ensembl id; symbols are for display. A name that could mean several
genes is listed and stays as it was given, it is never guessed and never given a suffix.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError

GENE_TABLE = Path(__file__).with_name("genes.tsv.gz")
"""HGNC complete set (CC0) joined with GENCODE v44 names."""

ENSEMBL_COLUMNS = ("ensembl_id", "gene_ids", "gene_id", "ensembl", "feature_id", "ensembl_gene_id")
"""Columns of ``adata.var`` in which Ensembl ids are looked for, in this order."""

_PRIORITY = {"ensembl": 0, "symbol": 1, "former": 2, "alias": 3}


@dataclass(frozen=True)
class GeneMapping:
    """What became of each gene name.

    Attributes
    ----------
    genes
        One row per name, in the order given: ``name``, ``key`` (Ensembl id, or ``symbol:<name>``
        when the name is not mapped), ``ensembl_id`` (empty when not mapped), ``symbol`` (approved,
        else the name), ``gene_class``, ``how`` (``ensembl``, ``symbol``, ``former``, ``alias``,
        ``ambiguous``, ``unknown``).
    """

    genes: pd.DataFrame

    @property
    def mapped(self) -> float:
        """Share of names with an Ensembl id, [0, 1]."""
        return float((self.genes["ensembl_id"] != "").mean())

    def notes(self, n_examples: int = 5) -> list[str]:
        """Return the loss report in sentences: mapped, renamed, ambiguous, unknown."""
        how = self.genes["how"]
        total = len(self.genes)
        lines = [f"genes: {int((self.genes['ensembl_id'] != '').sum())} of {total} mapped"]
        renamed = self.genes[how.isin(["former", "alias"])]
        if len(renamed):
            pairs = (renamed["name"] + " is " + renamed["symbol"]).head(n_examples)
            lines.append(
                f"genes renamed from a former symbol or alias: {len(renamed)} "
                f"({', '.join(pairs)} …)"
            )
        for kind, text in (
            ("ambiguous", "genes with an ambiguous name, kept as given"),
            ("unknown", "genes not in the vocabulary, kept as given, not read by the encoder"),
        ):
            names = self.genes.loc[how == kind, "name"]
            if len(names):
                lines.append(f"{text}: {len(names)} ({', '.join(names.head(n_examples))} …)")
        return lines


@functools.cache
def gene_table() -> pd.DataFrame:
    """Return the shipped table: ensembl_id, symbol, gene_class, former, aliases."""
    return pd.read_csv(GENE_TABLE, sep="\t", dtype=str, keep_default_na=False)


def vocabulary_hash() -> str:
    """Return the SHA-256 of the shipped gene table."""
    return hashlib.sha256(GENE_TABLE.read_bytes()).hexdigest()


@functools.cache
def _lookups() -> tuple[pd.Index, dict[str, pd.Series]]:
    """Ensembl ids; kind of name -> name -> row, -2 where a name means several genes."""
    table = gene_table()
    rows = pd.Series(np.arange(len(table)))
    known = table["gene_class"] != "other"
    # A symbol shared by several ids means the annotated one, if that is unique.
    symbol = _unique(table["symbol"], rows, preferred=known)
    lookups = {"symbol": symbol}
    for kind, column in (("former", "former"), ("alias", "aliases")):
        split = table[column].str.split("|").explode()
        split = split[split != ""]
        lookups[kind] = _unique(split.reset_index(drop=True), pd.Series(split.index.to_numpy()))
    return pd.Index(table["ensembl_id"]), lookups


def _unique(names: pd.Series, rows: pd.Series, preferred: pd.Series | None = None) -> pd.Series:
    frame = pd.DataFrame({"name": names.to_numpy(), "row": rows.to_numpy()})
    if preferred is not None:
        frame["worse"] = ~preferred.to_numpy()
        best = frame.groupby("name")["worse"].transform("min")
        frame = frame[frame["worse"] == best]
    frame = frame.drop_duplicates(["name", "row"])
    several = frame["name"].duplicated(keep=False)
    frame.loc[several, "row"] = -2
    return frame.drop_duplicates("name").set_index("name")["row"]


def map_genes(names: list[str], ensembl_ids: list[str] | None = None) -> GeneMapping:
    """Map gene names to Ensembl ids: by id, approved symbol, former symbol, then alias.

    Parameters
    ----------
    names
        Symbols, aliases or Ensembl ids (a version suffix is ignored), each once.
    ensembl_ids
        Ids of the same genes where the data have them; they win over the names.

    Returns
    -------
    GeneMapping
        Two names that lead to one gene: the better evidence, in that order, keeps it, the
        other is ``ambiguous``; with equal evidence the approved symbol, else neither.

    Examples
    --------
    >>> found = map_genes(["CD79A", "SEPT2", "ENSG00000156738.17", "Cd79a"]).genes
    >>> found[["symbol", "ensembl_id", "how"]].to_numpy().tolist()
    [['CD79A', 'ENSG00000105369', 'symbol'], ['SEPTIN2', 'ENSG00000168385', 'former'], \
['MS4A1', 'ENSG00000156738', 'ensembl'], ['Cd79a', '', 'unknown']]
    """
    table = gene_table()
    ids, lookups = _lookups()
    given = pd.Series(names, dtype=object)
    rows = np.full(len(given), -1)
    how = np.full(len(given), "unknown", dtype=object)
    candidates = [("ensembl", ids.get_indexer(_strip_version(given)))]
    if ensembl_ids is not None:
        column = _strip_version(pd.Series(ensembl_ids, dtype=object))
        candidates.insert(0, ("ensembl", ids.get_indexer(column)))
    for kind, lookup in lookups.items():
        candidates.append((kind, given.map(lookup).fillna(-1).to_numpy(np.int64)))
    for kind, found in candidates:
        open_ = rows == -1
        rows[open_] = found[open_]
        how[open_ & (found >= 0)] = kind
    how[rows == -2] = "ambiguous"
    rows[rows == -2] = -1
    approved = given.to_numpy() == np.where(rows >= 0, table["symbol"].to_numpy()[rows], "")
    _settle_collisions(rows, how, approved)
    mapped = rows >= 0
    ensembl = np.where(mapped, table["ensembl_id"].to_numpy()[rows], "")
    symbol = np.where(mapped, table["symbol"].to_numpy()[rows], given.to_numpy())
    genes = pd.DataFrame(
        {
            "name": given.to_numpy(),
            "key": np.where(mapped, ensembl, "symbol:" + given.to_numpy()),
            "ensembl_id": ensembl,
            "symbol": np.where(symbol == "", given.to_numpy(), symbol),
            "gene_class": np.where(mapped, table["gene_class"].to_numpy()[rows], "unknown"),
            "how": how,
        }
    )
    return GeneMapping(genes)


def require_known(mapping: GeneMapping, least: float = 0.5) -> None:
    """Raise :class:`InputError` when less than the given share of genes is in the vocabulary."""
    if mapping.mapped < least:
        unknown = mapping.genes.loc[mapping.genes["ensembl_id"] == "", "name"].head(5)
        message = (
            f"{mapping.mapped:.0%} of {len(mapping.genes)} gene names are human symbols or Ensembl "
            f"ids (not found: {', '.join(unknown)}); at least {least:.0%} are needed. Put human "
            "symbols or Ensembl ids into var_names; genes of other species must be translated "
            "to human orthologs first."
        )
        raise InputError(message)


def ensembl_column(columns: list[str]) -> str | None:
    """Return the first column that by its name holds Ensembl ids, if any."""
    return next((name for name in ENSEMBL_COLUMNS if name in columns), None)


def _strip_version(names: pd.Series) -> pd.Index:
    return pd.Index(names.astype(str).str.replace(r"^(ENSG\d+)\.\d+$", r"\1", regex=True))


def _settle_collisions(rows: np.ndarray, how: np.ndarray, approved: np.ndarray) -> None:
    """Leave one name per gene: the best evidence, then the approved symbol; else none."""
    level = np.array([_PRIORITY.get(kind, 9) for kind in how]) - 0.5 * approved
    frame = pd.DataFrame({"row": rows, "level": level})
    frame = frame[frame["row"] >= 0]
    frame = frame[frame["row"].duplicated(keep=False)]
    best = frame.groupby("row")["level"].transform("min")
    first = frame["level"] == best
    tied = first.groupby(frame["row"]).transform("sum") > 1
    losers = frame.index[~first | tied]
    rows[losers] = -1
    how[losers] = "ambiguous"
