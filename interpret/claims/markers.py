"""Markers of states and cell types as edges."""

import numpy as np
import pandas as pd
from scipy import sparse

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..markers.consensus_markers import markers_with_nulls
from .base import Claims, Group, by_level, donors_of

TOP_MARKERS = 50
"""Markers kept per group, and asked about in enrichment."""


def marker_claims(
    parts: Parts,
    values: sparse.csr_matrix,
    source: Source,
    rng: np.random.Generator,
    *,
    attention_says: str,
) -> tuple[Claims, list[Group]]:
    """Return ``MARKED_BY`` of states and cell types, and the markers to ask enrichment about.

    ``attention_says`` is the verdict of the faithfulness card.
    """
    claims = Claims()
    groups: list[Group] = []
    tables = []
    for rows, local in by_level(parts.states):
        if len(rows) < 2:
            continue
        found = _markers(parts, values, local, len(rows), rng)
        found["group"] = rows[found["group"].to_numpy()]
        tables.append(found)
    if tables:
        table = pd.concat(tables, ignore_index=True)
        claims.edges[("State", "MARKED_BY", "Gene")] = _marked_by(
            table.assign(attention_says=attention_says), source
        )
        groups += _top(table, "State")
    labels = parts.metadata.get("cell_type")
    if labels is not None and len(labels.labels) > 1:
        table = _markers(parts, values, labels.values, len(labels.labels), rng)
        claims.edges[("CellType", "MARKED_BY", "Gene")] = _marked_by(
            table.assign(attention_says=attention_says), source
        )
        groups += _top(table, "CellType")
    return claims, groups


def _markers(
    parts: Parts,
    values: sparse.csr_matrix,
    member: np.ndarray,
    n_groups: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    return markers_with_nulls(
        values,
        member,
        n_groups,
        attention=parts.attention.genes,
        donors=donors_of(parts),
        rng=rng,
        top=TOP_MARKERS,
    )


def _marked_by(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    claims = table.rename(columns={"group": "source", "gene": "target"})
    evidence = {name: claims.pop(name).to_numpy() for name in ("n_cells", "n_donors")}
    return with_evidence(
        claims,
        source,
        effect=claims["log2_fold_change"].to_numpy(),
        p=claims["expression_p"].to_numpy(),
        q=claims["expression_q"].to_numpy(),
        null=(
            "expression: cells exchangeable between group and rest; attention: labels of cells "
            "permuted within donors; cells of one donor are no independent replicates"
        ),
        method=(
            "effect log2 fold change of mean counts per 10,000; p and q two-sided Wilcoxon rank "
            "sum, tie-corrected; attention_p and attention_q by permutation of graph attention"
        ),
        **evidence,
    )


def _top(table: pd.DataFrame, label: str) -> list[Group]:
    """Return the genes higher in each group by expression, by consensus rank."""
    chosen = table[(table["expression_q"] < 0.05) & (table["auroc"] > 0.5)]
    chosen = chosen[chosen["rank"] <= TOP_MARKERS].sort_values(["group", "rank"])
    return [
        Group(label, int(rows["group"].iloc[0]), rows["gene"].tolist(), "markers")
        for _, rows in chosen.groupby("group")
    ]
