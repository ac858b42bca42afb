"""Regulons: which transcription factor acts on which gene, and how, by a published resource."""

import gzip
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from ...encoders.errors import InputError
from ..gene_sets.library import GeneSetLibrary

_SOURCE = ("tf", "source", "regulator")
_TARGET = ("target", "gene", "target_gene")
_SIGN = ("mor", "sign", "mode", "weight")
_CONFIDENCE = ("confidence", "level")
_REFERENCES = ("pmids", "pmid", "references")
_MODES = {"activation": 1.0, "repression": -1.0, "unknown": 0.0}
_COLUMNS = ("source", "target", "sign", "weight", "confidence", "pmids")


@dataclass(frozen=True)
class Regulons:
    """Directed links of transcription factors and their targets.

    Attributes
    ----------
    name
        Of the resource: the file without its suffixes.
    version
        First 12 digits of the SHA-256 of the file.
    table
        One row per link, by source and target: ``source``, ``target`` (as the file names them),
        ``sign`` (1 activates, -1 represses, 0 not known), ``weight`` (above 0; 1 where the file
        gives none), ``confidence`` and ``pmids`` (text, empty where the file gives none).
    """

    name: str
    version: str
    table: pd.DataFrame

    def library(self) -> GeneSetLibrary:
        """Return the targets of each factor as gene sets."""
        sets = {
            str(source): (f"targets by {self.name}", tuple(targets))
            for source, targets in self.table.groupby("source")["target"]
        }
        return GeneSetLibrary(self.name, self.version, sets)

    def genes(self) -> set[str]:
        """Return every factor and target."""
        return {*self.table["source"], *self.table["target"]}

    def renamed(self, becomes: Mapping[str, tuple[str, ...]], version: str) -> "Regulons":
        """Return the links with other names of genes; those that lose an end are left out."""
        table = self.table
        for end in ("source", "target"):
            table = table.assign(**{end: table[end].map(becomes)}).dropna(subset=end).explode(end)
        table = table.drop_duplicates(["source", "target"])
        table = table.sort_values(["source", "target"], ignore_index=True)
        return Regulons(self.name, version, table)

    def write(self, path: str | Path) -> None:
        """Write the links as a table with tabs, which :func:`read_regulons` reads."""
        self.table.to_csv(path, sep="\t", index=False)


def regulons_of(given: "Regulons | str | Path") -> Regulons:
    """Return regulons as they are, or read from a file."""
    return given if isinstance(given, Regulons) else read_regulons(given)


def read_regulons(path: str | Path) -> Regulons:
    """Read a table of transcription factors and targets: TSV or CSV, gzip or not.

    Columns, in any order and any case: ``tf`` (or ``source``, ``regulator``) and ``target`` (or
    ``gene``, ``target_gene``); and, where given, ``mor``, ``sign``, ``mode`` or ``weight`` (the
    first of these: a number whose sign is that of the effect, or Activation, Repression, Unknown),
    ``confidence`` and ``pmids``. A link given more than once is kept once: its sign is that on
    which all rows with one agree, else 0; its weight the largest; confidences and references are
    joined. Rows without a factor or a target are passed over.

    Parameters
    ----------
    path
        The file; its name without suffixes names the resource.

    Raises
    ------
    InputError
        There is no such file, it cannot be read as a table, a column is missing, a sign is
        neither a number nor a known word, or there is no link.
    """
    path = Path(path)
    if not path.is_file():
        _refuse(f"{path}, which is no file", "check the path of the regulons")
    content = path.read_bytes()
    table = _table(path, content)
    links = pd.DataFrame(
        {
            "source": _text(table, path, _SOURCE, needed=True),
            "target": _text(table, path, _TARGET, needed=True),
            "effect": _effect(table, path),
            "confidence": _text(table, path, _CONFIDENCE),
            "pmids": _text(table, path, _REFERENCES),
        }
    )
    links = links[(links["source"] != "") & (links["target"] != "")]
    if links.empty:
        _refuse(f"{path}, without any link", "choose another file")
    name = path.name.removesuffix(".gz")
    version = hashlib.sha256(content).hexdigest()[:12]
    return Regulons(name.rsplit(".", 1)[0], version, _once(links))


def _table(path: Path, content: bytes) -> pd.DataFrame:
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
        separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
        table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError) as error:
        _refuse(f"{path}, which cannot be read ({error})", "unpack or convert the file", error)
    except pd.errors.EmptyDataError as error:
        _refuse(f"{path}, which is empty", "choose another file", error)
    return table.rename(columns=lambda name: str(name).strip().lower())


def _text(
    table: pd.DataFrame, path: Path, names: tuple[str, ...], *, needed: bool = False
) -> "pd.Series[str]":
    for name in names:
        if name in table:
            return table[name].fillna("").str.strip()
    if needed:
        _refuse(
            f"{path} with the columns {', '.join(map(str, table.columns))}",
            f"name one of them {' or '.join(names[:2])}",
        )
    return pd.Series("", index=table.index)


def _effect(table: pd.DataFrame, path: Path) -> "pd.Series[float]":
    """Return signed weights, 0 where unknown, 1 and -1 for words."""
    found = _text(table, path, _SIGN).str.lower()
    if (found == "").all():
        return pd.Series(0.0, index=table.index)
    number = pd.to_numeric(found, errors="coerce")
    effect = number.where(number.notna(), found.map({**_MODES, "": 0.0}))
    wrong = found[~np.isfinite(effect.astype(float))]
    if len(wrong):
        _refuse(
            f"{path} with the effect {wrong.iloc[0]!r} in {len(wrong)} rows",
            "write numbers, or Activation, Repression and Unknown",
        )
    return effect.astype(float)


def _once(links: pd.DataFrame) -> pd.DataFrame:
    sign = np.sign(links["effect"])
    links = links.assign(up=sign > 0, down=sign < 0, weight=links["effect"].abs())
    keys = ["source", "target"]
    links = links.sort_values(keys, kind="stable")
    grouped = links.groupby(keys, sort=True)
    table = grouped.agg(up=("up", "any"), down=("down", "any"), weight=("weight", "max"))
    for name in ("confidence", "pmids"):
        table[name] = ""
        filled = links[links[name] != ""].drop_duplicates([*keys, name])
        if len(filled):
            joined = filled.groupby(keys)[name].agg(";".join)
            table[name] = joined.reindex(table.index, fill_value="")
    table["sign"] = table["up"].astype(np.int64) - table["down"].astype(np.int64)
    # a link without a strength counts as any other
    table["weight"] = table["weight"].where(table["weight"] > 0, 1.0)
    return table.reset_index()[list(_COLUMNS)].astype({"source": object, "target": object})


def _refuse(given: str, action: str, cause: BaseException | None = None) -> NoReturn:
    message = (
        f"{given}, was given; expected a table of TSV or CSV with a header, the columns tf and "
        f"target and, if known, mor; {action}."
    )
    raise InputError(message) from cause
