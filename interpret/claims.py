"""Claims with their evidence, as edge tables of the graph."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders.vocabulary import map_genes
from ..kg.build import Parts
from ..kg.evidence import Source, with_evidence
from ..kg.graph import EdgeKey
from .enrichment import enrich
from .gene_pairs import co_regulation
from .gene_sets import GeneSetLibrary
from .markers import rank_markers
from .modules import find_modules
from .variable_genes import select_genes

N_GENES = 1500
"""Most variable genes tested for co-regulation."""

TOP_MARKERS = 50
"""Markers kept per group, and asked about in enrichment."""

SETS_PER_QUERY = 50
"""Enriched sets kept per module, state or label and library, at q < 0.05."""

DEPTH_STRATA = 10


@dataclass
class Claims:
    """Node and edge tables to be added to a graph."""

    nodes: dict[str, pd.DataFrame] = field(default_factory=dict)
    edges: dict[EdgeKey, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A group of cells about which enrichment is asked: label of its node, position, genes."""

    label: str
    position: int
    genes: list[int]


def donors_of(parts: Parts) -> np.ndarray | None:
    """Return the donor of each cell (-1 unknown), ``None`` when fewer than two are known."""
    donor = parts.metadata.get("donor")
    if donor is None or len(donor.labels) < 2:
        return None
    return donor.values


def n_donors_of(parts: Parts) -> int:
    """Return the number of donors, 0 when unknown."""
    donor = parts.metadata.get("donor")
    return 0 if donor is None else len(donor.labels)


def marker_claims(
    parts: Parts, values: sparse.csr_matrix, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[Group]]:
    """Return ``MARKED_BY`` of states and cell types, and the markers to ask enrichment about."""
    claims = Claims()
    groups: list[Group] = []
    states = parts.states.table
    tables = []
    for level in sorted(states["level"].unique()):
        rows = np.flatnonzero(states["level"] == level)
        if len(rows) < 2:
            continue
        member = parts.states.cell[:, level - 1]
        local = np.where(member >= 0, np.searchsorted(rows, member), -1)
        found = _markers(parts, values, local, len(rows), rng)
        found["group"] = rows[found["group"].to_numpy()]
        tables.append(found)
    if tables:
        table = pd.concat(tables, ignore_index=True)
        claims.edges[("State", "MARKED_BY", "Gene")] = _marked_by(table, source)
        groups += _top(table, "State")
    labels = parts.metadata.get("cell_type")
    if labels is not None and len(labels.labels) > 1:
        table = _markers(parts, values, labels.values, len(labels.labels), rng)
        claims.edges[("CellType", "MARKED_BY", "Gene")] = _marked_by(table, source)
        groups += _top(table, "CellType")
    return claims, groups


def _markers(
    parts: Parts,
    values: sparse.csr_matrix,
    member: np.ndarray,
    n_groups: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    return rank_markers(
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
        Group(label, int(rows["group"].iloc[0]), rows["gene"].tolist())
        for _, rows in chosen.groupby("group")
    ]


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
        }
    )
    member = modules.membership
    claims.edges[("Gene", "MEMBER_OF", "Module")] = pd.DataFrame(
        {
            "source": member["gene"],
            "target": member["module"],
            "strength": member["strength"],
        }
    )
    groups = [
        Group("Module", int(rows["module"].iloc[0]), rows["gene"].tolist())
        for _, rows in member.groupby("module")
    ]
    return claims, groups


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
    queries = {f"{group.label}\t{group.position}": group for group in groups if group.genes}
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
