"""Which published gene sets a list of genes over-represents, within the measured genes."""

import numpy as np
import pandas as pd

from .gene_sets import GeneSetLibrary, check_overlap
from .statistics import SMALLEST, adjust

_COUNTS = ("overlap", "set_size", "query_size", "universe")
_COLUMNS = ("query", "name", *_COUNTS, "odds_ratio", "p", "q", "genes")


def enrich(
    queries: dict[str, list[str]],
    library: GeneSetLibrary,
    universe: list[str],
    *,
    min_size: int = 5,
    max_size: int = 500,
) -> pd.DataFrame:
    """Test every list of genes against every set by the hypergeometric test, with gseapy, offline.

    ``p = P(X >= overlap)`` for ``query_size`` genes drawn from ``universe`` genes of which
    ``set_size`` are in the set (gseapy: Fang 2023, Bioinformatics 39:btac757). Queries and sets
    are first cut down to the universe.

    Parameters
    ----------
    queries
        Name of a list -> its genes.
    library
        Gene sets.
    universe
        The genes that could have been found: all measured genes.
    min_size, max_size
        Measured genes that a set must have to be tested.

    Returns
    -------
    pandas.DataFrame
        One row per query and set that share a gene, by query (in the order given), p and name:
        ``query``, ``name``, ``overlap``, ``set_size``, ``query_size``, ``universe``,
        ``odds_ratio`` (0.5 added to each count: Haldane 1956, Ann Hum Genet 20:309), ``p``
        in (0, 1], ``q`` (Benjamini-Hochberg over all queries and all tested sets of the library,
        those that share no gene among them) and ``genes`` (the shared ones, sorted).

    Raises
    ------
    InputError
        When the library and the universe share no gene.
    """
    check_overlap(library, universe)
    # gseapy folds case and reads digits as Entrez ids; neutral names keep genes what they are
    code = {gene: f"G{place}" for place, gene in enumerate(dict.fromkeys(universe))}
    gene_of = {short: gene for gene, short in code.items()}
    members = {
        name: [code[gene] for gene in genes if gene in code]
        for name, (_, genes) in library.sets.items()
    }
    sets = {name: genes for name, genes in members.items() if min_size <= len(genes) <= max_size}
    asked = {
        name: [code[gene] for gene in dict.fromkeys(genes) if gene in code]
        for name, genes in queries.items()
    }
    known = {gene for genes in sets.values() for gene in genes}
    frames = [
        _over_represented(genes, sets, list(gene_of)).assign(query=query, query_size=len(genes))
        # gseapy complains on the console about a list without any hit
        for query, genes in asked.items()
        if not known.isdisjoint(genes)
    ]
    if not frames:
        return _typed(pd.DataFrame(columns=list(_COLUMNS)))
    table = pd.concat(frames, ignore_index=True)
    table["genes"] = [
        sorted(gene_of[short] for short in shared.split(";")) for shared in table["shared"]
    ]
    table["overlap"] = table["genes"].str.len()
    table["set_size"] = table["name"].map({name: len(genes) for name, genes in sets.items()})
    table["universe"] = len(code)
    table["p"] = table["p"].clip(SMALLEST, 1)
    hypotheses = len(sets) * sum(bool(genes) for genes in asked.values())
    unshared = np.ones(hypotheses - len(table))
    table["q"] = adjust(np.concatenate([table["p"].to_numpy(float), unshared]))[: len(table)]
    place = table["query"].map({name: row for row, name in enumerate(queries)})
    order = np.lexsort((table["name"], table["p"], place))
    return _typed(table.loc[order, list(_COLUMNS)])


def _over_represented(
    genes: list[str], sets: dict[str, list[str]], background: list[str]
) -> pd.DataFrame:
    import gseapy

    # gseapy also takes the logarithm of p, for a score that is not used here
    with np.errstate(divide="ignore"):
        result: pd.DataFrame = gseapy.enrich(
            gene_list=genes, gene_sets=sets, background=background, outdir=None, no_plot=True
        ).results
    names = {"Term": "name", "P-value": "p", "Odds Ratio": "odds_ratio", "Genes": "shared"}
    return result[list(names)].rename(columns=names)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    kinds: dict[str, type] = dict.fromkeys(_COUNTS, np.int64)
    kinds |= dict.fromkeys(("odds_ratio", "p", "q"), np.float64)
    return table.astype(kinds).reset_index(drop=True)
