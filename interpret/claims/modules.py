"""Co-regulated genes and modules as nodes and edges."""

import numpy as np
import pandas as pd
from scipy import sparse

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..gene_pairs import co_regulation
from ..modules import find_modules
from ..variable_genes import select_genes
from .base import Claims, Group, donors_of, n_donors_of

N_GENES = 1500
"""Most variable genes tested for co-regulation."""

DEPTH_STRATA = 10


def depth_strata(parts: Parts) -> np.ndarray:
    """Return strata of cells of one donor and like depth (tenths by library size)."""
    order = np.argsort(np.argsort(parts.cells.totals, kind="stable"), kind="stable")
    depth = order * DEPTH_STRATA // len(order)
    donors = donors_of(parts)
    if donors is None:
        return depth
    return np.unique(np.column_stack([donors, depth]), axis=0, return_inverse=True)[1].ravel()


def module_claims(
    parts: Parts, values: sparse.csr_matrix, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[Group]]:
    """Return ``CO_REGULATED_WITH``, modules and their members, over all cells."""
    genes = select_genes(values, N_GENES)
    pairs = co_regulation(
        values,
        attention=parts.attention.genes,
        strata=depth_strata(parts),
        genes=genes,
        rng=rng,
    )
    modules = find_modules(pairs, values.shape[1], rng=rng, expression=values)
    claims = Claims()
    keys = parts.cells.genes["key"].to_numpy()
    columns = [
        "correlation",
        "correlation_z",
        "correlation_q",
        "attention",
        "attention_z",
        "attention_q",
    ]
    # Stored once, from the lower key to the higher.
    a, b = pairs["source"].to_numpy(), pairs["target"].to_numpy()
    swap = keys[a] > keys[b]
    edges = pairs[columns].assign(
        source=np.where(swap, b, a), target=np.where(swap, a, b), context="all"
    )
    claims.edges[("Gene", "CO_REGULATED_WITH", "Gene")] = with_evidence(
        edges,
        source,
        effect=pairs["correlation"].to_numpy(),
        p=pairs["correlation_p"].to_numpy(),
        q=pairs["correlation_q"].to_numpy(),
        n_cells=pairs["n_cells"].to_numpy(),
        n_donors=n_donors_of(parts),
        null=(
            "values of each gene permuted over cells of like depth and one donor; null draws "
            "pooled over pairs of genes expressed in like numbers of cells"
        ),
        method="effect Pearson correlation of log1p counts per 10,000; p by permutation",
    )
    table = modules.modules
    claims.nodes["Module"] = pd.DataFrame(
        {
            "key": [f"{parts.name}:M{number + 1}" for number in table["module"]],
            "dataset": parts.name,
            "name": [f"M{number + 1}" for number in table["module"]],
            "size": table["size"],
            "context": "all",
            "stability": table["stability"],
            "mean_weight": table["mean_weight"],
            "stale": "",
        }
    )
    member = modules.membership
    claims.edges[("Gene", "MEMBER_OF", "Module")] = pd.DataFrame(
        {
            "source": member["gene"],
            "target": member["module"],
            "strength": member["strength"],
            "stale": "",
        }
    )
    groups = [
        Group("Module", int(rows["module"].iloc[0]), rows["gene"].tolist(), "members")
        for _, rows in member.groupby("module")
    ]
    return claims, groups
