"""Which row of the gene table stands for which gene of the data."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..vocabulary import map_genes


def match_tokens(genes: pd.DataFrame, tokens: Mapping[str, int]) -> np.ndarray:
    """Return the token of each gene, 0 for genes that the vocabulary does not hold.

    The names of the vocabulary are mapped to Ensembl ids, so a gene is found under its former
    symbols too; a gene not found by its id is looked up by its name as given. No two genes share a
    token.

    Parameters
    ----------
    genes
        ``Cells.genes``: at least ``name`` and ``ensembl_id``.
    tokens
        Symbol or Ensembl id -> token, 1 or more.

    Returns
    -------
    numpy.ndarray
        (n_genes,) int64.
    """
    names = list(tokens)
    known = map_genes(names).genes
    by_name = pd.Series(list(tokens.values()), index=names, dtype=np.int64)
    mapped = known["ensembl_id"].to_numpy() != ""
    by_id = pd.Series(by_name.to_numpy()[mapped], index=known.loc[mapped, "ensembl_id"])
    found = genes["ensembl_id"].map(by_id).fillna(0).to_numpy(np.int64)
    named = genes["name"].map(by_name).fillna(0).to_numpy(np.int64)
    free = (found == 0) & ~np.isin(named, found)
    return np.where(free, named, found)
