"""The gene list beside a checkpoint, and which of its genes the data hold."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..vocabulary import map_genes

GENE_LIST = "OS_scRNA_gene_index.19264.tsv"
"""Name under which the gene list was published."""


def read_genes(checkpoint: Path, n_genes: int) -> list[str]:
    """Return the names of the genes that weights read, in the order of the model.

    Parameters
    ----------
    checkpoint
        The weight file; the list lies beside it, tab-separated, columns ``gene_name, index``.
    n_genes
        Genes of the model.

    Raises
    ------
    InputError
        There is no such list, it has another form, or another number of genes than the weights.
    """
    path = checkpoint.parent / GENE_LIST
    if not path.is_file():
        message = (
            f"there is no {GENE_LIST} beside {checkpoint}; the weights do not name the {n_genes} "
            "genes they read. Put the list that was published with them (tab-separated, columns "
            "gene_name and index) into the same folder."
        )
        raise InputError(message)
    try:
        table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype={"gene_name": str})
    except (ValueError, OSError) as error:
        message = (
            f"{path} cannot be read as a table ({error}); expected tab-separated text with the "
            "columns gene_name and index. Fetch it again."
        )
        raise InputError(message) from error
    wanted = pd.RangeIndex(len(table))
    columns = {"gene_name", "index"} <= set(table.columns)
    if not columns or not wanted.equals(pd.Index(np.sort(table["index"].to_numpy()))):
        message = (
            f"{path} has the columns {', '.join(map(str, table.columns))} and {len(table)} rows; "
            "expected gene_name and index, with an index that counts the genes from 0. Fetch it "
            "again."
        )
        raise InputError(message)
    if len(table) != n_genes:
        message = (
            f"{path} lists {len(table)} genes, the weights in {checkpoint} read {n_genes}. Put the "
            "list that was published with these weights beside them."
        )
        raise InputError(message)
    names = table.sort_values("index")["gene_name"]
    if names.duplicated().any():
        message = (
            f"{path} repeats gene names ({', '.join(names[names.duplicated()].head(3))}); each "
            "gene has one row. Fetch it again."
        )
        raise InputError(message)
    return [str(name) for name in names]


def columns_of(names: list[str], genes: pd.DataFrame) -> np.ndarray:
    """Return the column of the model that each gene of the data has, -1 where it has none.

    Genes are the same when they have the same Ensembl id, so that old symbols and aliases are
    found on both sides; what is left is matched by the name as given. No column is given twice.

    Parameters
    ----------
    names
        Genes of the model.
    genes
        Genes of the data with ``name, key``, see :class:`~scypher.encoders.cells.Cells`.
    """
    keys = pd.Index(map_genes(names).genes["key"])
    column = keys.get_indexer(pd.Index(genes["key"]))
    by_name = pd.Index(names).get_indexer(pd.Index(genes["name"]))
    free = (column < 0) & (by_name >= 0) & ~np.isin(by_name, column)
    column[free] = by_name[free]
    return np.asarray(column, dtype=np.int64)
