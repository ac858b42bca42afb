"""Build the shipped gene table from HGNC and GENCODE files.

Run by maintainers when the sources are renewed::

    python -m scypher.encoders.vocabulary_build genes_hgnc.tsv.gz genes_gencode.tsv.gz

Sources: HGNC complete set (CC0; columns symbol, name, locus_group, locus_type, location,
alias_symbol, prev_symbol, ensembl_gene_id) and a GENCODE table (ensembl_id, symbol).
"""

import gzip
import sys
from pathlib import Path

import pandas as pd

from .vocabulary import GENE_TABLE

_RIBOSOMAL = r"^ribosomal protein (?:L|S|lateral stalk|SA)(?!.*(?:kinase|binding))"


def gene_classes(hgnc: pd.DataFrame) -> pd.Series:
    """Return one class per gene from its annotation, never from its symbol.

    Classes: mitochondrial (encoded in the mitochondrial genome), ribosomal (proteins of the
    cytosolic ribosome), immunoglobulin, t_cell_receptor, protein_coding, lncrna, pseudogene, other.
    """
    kind = hgnc["locus_type"]
    group = hgnc["locus_group"]
    classes = pd.Series("other", index=hgnc.index)
    classes[group == "protein-coding gene"] = "protein_coding"
    classes[kind == "RNA, long non-coding"] = "lncrna"
    classes[group == "pseudogene"] = "pseudogene"
    classes[kind.str.startswith("immunoglobulin gene")] = "immunoglobulin"
    classes[kind.str.startswith("T cell receptor gene")] = "t_cell_receptor"
    ribosomal = hgnc["name"].str.contains(_RIBOSOMAL, regex=True)
    classes[ribosomal & (group == "protein-coding gene")] = "ribosomal"
    classes[hgnc["location"] == "mitochondria"] = "mitochondrial"
    return classes


def build_table(hgnc: pd.DataFrame, gencode: pd.DataFrame) -> pd.DataFrame:
    """Return ensembl_id, symbol, gene_class, former symbols and aliases (`|` between names).

    GENCODE names win over older HGNC symbols, which become former ones.
    """
    hgnc = hgnc.assign(gene_class=gene_classes(hgnc))
    hgnc = hgnc[hgnc["ensembl_gene_id"] != ""].drop_duplicates("ensembl_gene_id")
    hgnc = hgnc.set_index("ensembl_gene_id")
    newer = gencode.drop_duplicates("ensembl_id").set_index("ensembl_id")["symbol"]
    ids = hgnc.index.union(newer.index)
    old = hgnc["symbol"].reindex(ids).fillna("")
    symbol = newer.reindex(ids).fillna("")
    # GENCODE repeats the id where a gene has no name.
    symbol = symbol.where((symbol != "") & (symbol != ids.to_series()), old)
    former = old.where(old != symbol, "") + "|" + hgnc["prev_symbol"].reindex(ids).fillna("")
    return pd.DataFrame(
        {
            "ensembl_id": ids,
            "symbol": symbol.to_numpy(),
            "gene_class": hgnc["gene_class"].reindex(ids).fillna("other").to_numpy(),
            "former": former.str.strip("|").to_numpy(),
            "aliases": hgnc["alias_symbol"].reindex(ids).fillna("").to_numpy(),
        }
    ).sort_values("ensembl_id")


def main(arguments: list[str]) -> None:
    """Write the gene table beside the module that reads it."""
    hgnc, gencode = (pd.read_csv(path, sep="\t", dtype=str).fillna("") for path in arguments)
    table = build_table(hgnc, gencode)
    text = table.to_csv(sep="\t", index=False).encode()
    Path(GENE_TABLE).write_bytes(gzip.compress(text, 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
