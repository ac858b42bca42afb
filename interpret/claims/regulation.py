"""Links of transcription factors and targets as edges, only where a resource stands behind them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from ...encoders.vocabulary import map_genes
from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..modules.associations import associate
from ..networks.links import gene_network, network_genes
from ..networks.regulons import Regulons
from .base import Claims, n_donors_of
from .modules import depth_strata

MAX_GENES = 2_000
"""Genes of a resource that are tested, those detected in most cells."""


def regulation_claims(
    parts: Parts,
    values: sparse.csr_matrix,
    resources: Sequence[Regulons],
    source: Source,
    rng: np.random.Generator,
) -> Claims:
    """Return ``REGULATES`` of each resource, over all cells; genes are matched by their keys."""
    claims, tables = Claims(), []
    keys = parts.cells.genes["key"].astype(str).tolist()
    place = {key: row for row, key in enumerate(keys)}
    for regulons in resources:
        mapped = _mapped(regulons)
        genes = network_genes(values, mapped, keys, most=MAX_GENES)
        found = associate("correlation", values, genes=genes, strata=depth_strata(parts), rng=rng)
        tables.append(gene_network(found, mapped, keys, n_cells=values.shape[0]))
    if not tables:
        return claims
    table = pd.concat(tables, ignore_index=True)
    edges = pd.DataFrame(
        {
            "source": table["source"].map(place).astype(np.int64),
            "target": table["target"].map(place).astype(np.int64),
            "context": table["context"],
            "sign": table["sign"],
            "resource": table["resource"],
            "resource_version": table["version"],
            "confidence": table["confidence"],
            "pmids": table["pmids"],
            "correlation": table["correlation"],
            "correlation_z": table["z"],
            "correlation_q": table["q"],
            "sign_agrees": table["sign_agrees"],
        }
    )
    claims.edges[("Gene", "REGULATES", "Gene")] = with_evidence(
        edges,
        source,
        effect=table["correlation"].to_numpy(),
        p=table["p"].to_numpy(),
        q=table["q"].to_numpy(),
        n_cells=table["n_cells"].to_numpy(),
        n_donors=n_donors_of(parts),
        null=(
            "values of each gene permuted over cells of like depth and one donor; null draws "
            "pooled over pairs of genes expressed in like numbers of cells"
        ),
        method=(
            "direction and sign as the resource gives them; effect Pearson correlation of log1p "
            "counts per 10,000; p by permutation"
        ),
    )
    return claims


def _mapped(regulons: Regulons) -> Regulons:
    """Return links between the keys of genes, each once."""
    table = regulons.table
    names = sorted(set(table["source"]) | set(table["target"]))
    mapped = map_genes(names).genes
    key = dict(zip(mapped["name"], mapped["key"], strict=True))
    moved = table.assign(source=table["source"].map(key), target=table["target"].map(key))
    moved = moved.drop_duplicates(["source", "target"], ignore_index=True)
    return Regulons(regulons.name, regulons.version, moved)
