"""Co-regulated genes and modules as nodes and edges."""

import numpy as np
import pandas as pd
from scipy import sparse

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..modules.context_frames import ALL
from ..modules.contexts import ContextModules, context_modules
from ..modules.strata import depth_strata as strata_by_depth
from .base import Claims, Group, donors_of, n_donors_of

N_GENES = 1500
"""Most variable genes tested for co-regulation over all cells."""

N_STATE_GENES = 500
"""Most variable genes tested for it within a state."""

_PAIRS = (
    *("correlation", "correlation_z", "correlation_q"),
    *("attention", "attention_z", "attention_q"),
)


def depth_strata(parts: Parts) -> np.ndarray:
    """Return strata of cells of one donor and like depth (tenths by library size)."""
    return strata_by_depth(parts.cells.totals, donors_of(parts))


def module_claims(
    parts: Parts, values: sparse.csr_matrix, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[Group]]:
    """Return ``CO_REGULATED_WITH``, modules and their members, over all cells and coarse states."""
    rows = np.flatnonzero(parts.states.table["level"].to_numpy() == 1)
    keys = [f"{parts.name}:{parts.states.table['name'].iloc[row]}" for row in rows]
    member = parts.states.cell[:, 0]
    found = context_modules(
        values,
        attention=parts.attention.genes,
        groups=np.where(member >= 0, np.searchsorted(rows, member), -1),
        labels=keys,
        donors=donors_of(parts),
        totals=parts.cells.totals,
        rng=rng,
        n_genes=N_GENES,
        n_group_genes=N_STATE_GENES,
        halve_groups=False,
    )
    claims = Claims()
    claims.edges[("Gene", "CO_REGULATED_WITH", "Gene")] = _pairs(parts, found, source)
    claims.nodes["Module"] = _modules(parts, found.modules)
    name = found.modules["context"] + found.modules["name"]
    place = dict(zip(name, range(len(name)), strict=True))
    members = found.membership
    position = (members["context"] + members["name"]).map(place).to_numpy(dtype=np.int64)
    claims.edges[("Gene", "MEMBER_OF", "Module")] = pd.DataFrame(
        {
            "source": members["position"],
            "target": position,
            "strength": members["strength"],
            "stale": "",
        }
    )
    groups = [
        Group("Module", module, members["position"][position == module].tolist(), "members")
        for module in np.unique(position).tolist()
    ]
    return claims, groups


def cells_of_modules(parts: Parts, claims: Claims) -> np.ndarray:
    """Return the number of cells that each module was found in."""
    table = parts.states.table
    size = dict(zip(parts.name + ":" + table["name"], table["size"], strict=True))
    size[ALL] = parts.cells.counts.shape[0]
    return claims.nodes["Module"]["context"].map(size).to_numpy(dtype=np.int64)


def _pairs(parts: Parts, found: ContextModules, source: Source) -> pd.DataFrame:
    """Return pairs, each once, from the lower key to the higher."""
    pairs = found.pairs
    keys = parts.cells.genes["key"].to_numpy()
    a, b = pairs["source"].to_numpy(), pairs["target"].to_numpy()
    swap = keys[a] > keys[b]
    edges = pairs[[*_PAIRS, "context"]].assign(
        source=np.where(swap, b, a), target=np.where(swap, a, b)
    )
    return with_evidence(
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


def _modules(parts: Parts, table: pd.DataFrame) -> pd.DataFrame:
    """Return modules: M1, M2, … of all cells, S1:M1, … of a state."""
    name = table["name"].str.removeprefix(f"{parts.name}:")
    return table[
        [
            *("context", "size", "stability", "donor_stability", "mean_weight"),
            *("null_weight", "null_p", "null_q", "n_cells"),
        ]
    ].assign(key=parts.name + ":" + name, dataset=parts.name, name=name, stale="")
