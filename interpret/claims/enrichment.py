"""Enriched gene sets as nodes and edges."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ...encoders.vocabulary import map_genes
from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..gene_sets.enrichment import enrich
from ..gene_sets.library import GeneSetLibrary
from .base import Claims, Group, n_donors_of

SETS_PER_QUERY = 50
"""Enriched sets kept per module, state or label and library, at q < 0.05."""


def enrichment_claims(
    parts: Parts,
    groups: Iterable[Group],
    libraries: Iterable[GeneSetLibrary],
    source: Source,
    sizes: Mapping[str, np.ndarray],
) -> Claims:
    """Return gene sets and ``ENRICHED_IN`` for groups of genes; the universe is what was measured.

    Parameters
    ----------
    groups
        Modules, states, labels with their genes.
    libraries
        Gene sets whose genes are keys (see :func:`by_key`).
    sizes
        Label of a node -> number of cells of each.
    """
    queries = {
        f"{group.label}\t{group.position}\t{group.what}": group for group in groups if group.genes
    }
    keys = parts.cells.genes["key"].to_numpy()
    symbols = dict(zip(keys, parts.cells.genes["symbol"], strict=True))
    universe = [str(key) for key in keys]
    measured = set(universe)
    claims = Claims()
    set_rows: dict[str, dict[str, object]] = {}
    edge_rows: dict[str, list[pd.DataFrame]] = {}
    for library in libraries:
        asked = {name: [str(k) for k in keys[group.genes]] for name, group in queries.items()}
        found = enrich(asked, library, universe)
        found = found[found["q"] < 0.05]
        found = found[found.groupby("query").cumcount() < SETS_PER_QUERY]
        for name in found["name"].unique():
            description, genes = library.sets[name]
            set_rows.setdefault(
                f"{library.name}:{name}",
                {
                    "key": f"{library.name}:{name}",
                    "name": name,
                    "library": library.name,
                    "version": library.version,
                    "source": description,
                    "size": len(genes),
                    "n_measured": len(measured & set(genes)),
                },
            )
        for name, rows in found.groupby("query"):
            group = queries[str(name)]
            genes_in_both = [sorted(symbols[key] for key in row) for row in rows["genes"]]
            edge_rows.setdefault(group.label, []).append(
                rows.drop(columns=["query", "name"]).assign(
                    source=group.position,
                    of=group.what,
                    target=library.name + ":" + rows["name"],
                    genes=pd.Series(genes_in_both, index=rows.index),
                    n_cells=int(sizes[group.label][group.position]),
                )
            )
    if set_rows:
        claims.nodes["GeneSet"] = pd.DataFrame(set_rows.values())
        position = {key: i for i, key in enumerate(set_rows)}
        for label, frames in edge_rows.items():
            table = pd.concat(frames, ignore_index=True)
            table["target"] = table["target"].map(position)
            claims.edges[(label, "ENRICHED_IN", "GeneSet")] = _enriched_in(table, parts, source)
    return claims


def _enriched_in(table: pd.DataFrame, parts: Parts, source: Source) -> pd.DataFrame:
    given = {name: table.pop(name).to_numpy() for name in ("p", "q", "n_cells")}
    return with_evidence(
        table,
        source,
        effect=table["odds_ratio"].to_numpy(),
        n_donors=n_donors_of(parts),
        null="genes drawn at random from all measured genes",
        method="effect odds ratio; p one-sided hypergeometric; q over all groups of the library",
        **given,
    )


def by_key(library: GeneSetLibrary) -> GeneSetLibrary:
    """Return the library with its gene names replaced by gene keys, as they are in the graph."""
    names = sorted({gene for _, genes in library.sets.values() for gene in genes})
    mapped = map_genes(names).genes
    key = dict(zip(mapped["name"], mapped["key"], strict=True))
    sets = {
        name: (description, tuple(dict.fromkeys(key[gene] for gene in genes)))
        for name, (description, genes) in library.sets.items()
    }
    return GeneSetLibrary(library.name, library.version, sets)
