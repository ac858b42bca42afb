"""Do the rankings of marker genes agree with marker databases, and with other rankings?

Precision at 10: share of the ten best genes of a cell type that PanglaoDB or CellMarker 2.0 list
for it, the mean over types. Ours are the ranks that the graph of a data set carries: attention
alone, expression alone, and the consensus of both. Beside them the Wilcoxon score of scanpy, COSG
(Dai 2022, Brief Bioinform 23:bbab579, its formula at mu = 1) and logistic regression (scanpy), all
over the same genes, those that three cells detect. A database lists what is well known, not what
is true, and old names are mapped to current ones.

Not blind: the ranking by expression was chosen among several while looking at PanglaoDB on
blood_pbmc3k. For the other data sets, and CellMarker, nothing was chosen.

    python tests/benchmarks/gold.py --data DIR [--quick] [--json] [--sets NAME …]
"""

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
from rows import Row, row, show
from scipy import sparse

from scypher.encoders.cells import Cells, prepare
from scypher.encoders.counts import normalise
from scypher.encoders.vocabulary import map_genes
from scypher.interpret.markers.group_sums import group_sums
from scypher.interpret.markers.welch import specificity
from scypher.interpret.pipeline import Options, build_tables

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = 10
MIN_MARKERS = 5
"""Measured genes that a database must list for a type."""

SETS = {
    "blood_pbmc3k": "Blood",
    "blood_kang_ifnb": "Blood",
    "brain_darmanis": "Brain",
    "pancreas_three_studies": "Pancreas",
}
"""Data set -> class of tissue in CellMarker; of blood_kang_ifnb the control cells only."""

QUICK = ("brain_darmanis", "pancreas_three_studies")

PANGLAODB = {
    "B": ("B cells",),
    "CD14+ monocyte": ("Monocytes",),
    "FCGR3A+ monocyte": ("Monocytes",),
    "CD4 memory T": ("T cells", "T memory cells", "T helper cells"),
    "CD4 naive T": ("T cells", "T cells naive", "T helper cells"),
    "CD8 T": ("T cells", "T cytotoxic cells"),
    "Dendritic": ("Dendritic cells",),
    "Plasmacytoid dendritic": ("Plasmacytoid dendritic cells",),
    "NK": ("NK cells",),
    "Platelet": ("Platelets", "Megakaryocytes"),
    "Megakaryocyte": ("Megakaryocytes", "Platelets"),
    "Astrocyte": ("Astrocytes",),
    "Endothelial": ("Endothelial cells", "Endothelial cells (blood brain barrier)"),
    "Microglia": ("Microglia",),
    "Neuron": ("Neurons",),
    "Fetal quiescent neuron": ("Immature neurons", "Neuroblasts"),
    "Fetal replicating progenitor": ("Radial glia cells",),
    "Oligodendrocyte": ("Oligodendrocytes",),
    "Oligodendrocyte precursor": ("Oligodendrocyte progenitor cells",),
    "Acinar": ("Acinar cells",),
    "Alpha": ("Alpha cells",),
    "Beta": ("Beta cells",),
    "Ductal": ("Ductal cells",),
    "Stellate": ("Pancreatic stellate cells",),
}
"""Label of the data -> cell types of PanglaoDB. Activated and hybrid cells have no counterpart."""

CELLMARKER = {
    "B": ("B cell",),
    "CD14+ monocyte": ("Monocyte", "Classical monocyte"),
    "FCGR3A+ monocyte": ("Monocyte", "CD16+ monocyte", "Non-classical monocyte"),
    "CD4 memory T": ("T cell", "CD4+ T cell", "Memory CD4+ T cell", "Central memory CD4+ T cell"),
    "CD4 naive T": ("T cell", "CD4+ T cell", "Naive CD4+ T cell"),
    "CD8 T": ("T cell", "CD8+ T cell", "Cytotoxic T cell", "Effector CD8+ memory T (Tem) cell"),
    "Dendritic": ("Dendritic cell", "CD1C+_A dendritic cell", "CD1C+_B dendritic cell"),
    "Plasmacytoid dendritic": ("Plasmacytoid dendritic cell", "Plasmacytoid dendritic cell(pDC)"),
    "NK": ("Natural killer cell",),
    "Platelet": ("Platelet", "Megakaryocyte"),
    "Megakaryocyte": ("Megakaryocyte", "Platelet"),
    "Astrocyte": ("Astrocyte",),
    "Endothelial": ("Endothelial cell",),
    "Microglia": ("Microglial cell",),
    "Neuron": ("Neuron", "Excitatory neuron", "Inhibitory neuron"),
    "Fetal replicating progenitor": ("Neural progenitor cell", "Radial glial cell"),
    "Oligodendrocyte": ("Oligodendrocyte",),
    "Oligodendrocyte precursor": (
        "Oligodendrocyte precursor cell",
        "Oligodendrocyte progenitor cell",
    ),
    "Acinar": ("Acinar cell",),
    "Alpha": ("Alpha cell (α cell)",),  # noqa: RUF001, the name in the database
    "Beta": ("Beta cell(β cell)",),
    "Ductal": ("Ductal cell", "Epithelial ductal cell", "Ductal epithelial cell"),
    "Stellate": ("Pancreatic stellate cell", "Stellate cell"),
}
"""Label of the data -> cell names of CellMarker, normal cells of the tissue."""

Markers = dict[str, set[str]]


def read_panglaodb(folder: Path) -> Markers:
    """Return the gene keys of each label, of the rows that apply to human."""
    table = pd.read_csv(folder / "markers_panglaodb.tsv.gz", sep="\t")
    table = table[table["species"].str.contains("Hs")]
    return _by_label(table, PANGLAODB, kind="cell type", gene="official gene symbol")


def read_cellmarker(folder: Path, tissue: str) -> Markers:
    """Return the gene keys of each label, of the normal cells of a tissue."""
    table = pd.read_csv(folder / "markers_cellmarker2_human.tsv.gz", sep="\t")
    table = table[(table["tissue_class"] == tissue) & (table["cell_type"] == "Normal cell")]
    return _by_label(table, CELLMARKER, kind="cell_name", gene="gene")


def _by_label(
    table: pd.DataFrame, names: dict[str, tuple[str, ...]], *, kind: str, gene: str
) -> Markers:
    table = table[table[gene].notna()]
    mapped = map_genes(sorted(table[gene].unique())).genes
    key = table[gene].map(dict(zip(mapped["name"], mapped["key"], strict=True)))
    return {label: set(key[table[kind].isin(chosen)]) for label, chosen in names.items()}


def cosg(values: sparse.csr_matrix, label: np.ndarray, n: int) -> np.ndarray:
    """Return the score of COSG: (n_groups, n_genes)."""
    return specificity(group_sums(values, label, n))


def by_scanpy(
    values: sparse.csr_matrix, label: np.ndarray, n: int, *, method: str, **options: Any
) -> np.ndarray:
    """Return the scores of scanpy: (n_groups, n_genes)."""
    import scanpy as sc

    data = anndata.AnnData(values.astype(np.float32))
    names = [str(i) for i in range(n)]
    data.obs["label"] = pd.Categorical.from_codes(label, names)
    sc.tl.rank_genes_groups(data, "label", method=method, **options)
    frames = [sc.get.rank_genes_groups_df(data, name) for name in names]
    genes = np.arange(values.shape[1]).astype(str)
    return np.array([frame.set_index("names")["scores"].loc[genes] for frame in frames])


PEERS: "dict[str, Callable[[sparse.csr_matrix, np.ndarray, int], np.ndarray]]" = {
    "Wilcoxon (scanpy)": lambda values, label, n: by_scanpy(
        values, label, n, method="wilcoxon", tie_correct=True
    ),
    "COSG": cosg,
    "logistic regression (scanpy)": lambda values, label, n: by_scanpy(
        values, label, n, method="logreg", max_iter=500
    ),
}

OURS = {"attention": "attention_rank", "expression": "expression_rank", "consensus": "rank"}


def best_by_us(data: "anndata.AnnData", name: str) -> dict[str, Markers]:
    """Return ranking -> label -> keys of its ten best genes, from the graph of the data."""
    graph = build_tables(
        data,
        name=name,
        options=Options(
            faithfulness=False,
        ),
    )
    edges = graph.edges["CellType", "MARKED_BY", "Gene"]
    genes = graph.nodes["Gene"]["key"].to_numpy()
    labels = graph.nodes["CellType"]["label"].to_numpy()
    return {
        ranking: {
            labels[group]: set(genes[rows.loc[rows[column] <= TOP, "target"]])
            for group, rows in edges.groupby("source")
        }
        for ranking, column in OURS.items()
    }


def best_by_peers(cells: Cells, labels: list[str]) -> dict[str, Markers]:
    """Return ranking -> label -> keys of its ten best genes."""
    values = normalise(cells.counts, cells.totals)
    used = np.flatnonzero(np.bincount(values.indices, minlength=values.shape[1]) >= 3)
    keys = cells.genes["key"].to_numpy()[used]
    label = pd.Index(labels).get_indexer(cells.adata.obs["cell_type"].astype(str))
    found = {}
    for name, score in PEERS.items():
        order = np.argsort(-score(values[:, used], label, len(labels)), axis=1, kind="stable")
        found[name] = {one: set(keys[order[i, :TOP]]) for i, one in enumerate(labels)}
    return found


def precision(best: Markers, known: Markers, measured: set[str]) -> float:
    """Return the mean over labels of the share of the best genes that are known."""
    asked = [label for label in best if len(known.get(label, set()) & measured) >= MIN_MARKERS]
    return float(np.mean([len(best[label] & known[label]) / TOP for label in asked]))


def measure(path: Path) -> pd.DataFrame:
    """Return precision at 10 of a data set: ``dataset, database, ranking, precision``."""
    data = anndata.read_h5ad(path)
    if path.stem == "blood_kang_ifnb":
        data = data[data.obs["condition"] == "control"].copy()
    cells = prepare(data)
    labels = sorted(cells.adata.obs["cell_type"].astype(str).unique())
    best = best_by_us(data, path.stem) | best_by_peers(cells, labels)
    measured = set(cells.genes["key"])
    knowledge = path.parent / "knowledge"
    known = {
        "PanglaoDB": read_panglaodb(knowledge),
        "CellMarker": read_cellmarker(knowledge, SETS[path.stem]),
    }
    return pd.DataFrame(
        [
            (path.stem, database, ranking, precision(genes, markers, measured))
            for database, markers in known.items()
            for ranking, genes in best.items()
        ],
        columns=["dataset", "database", "ranking", "precision"],
    )


def to_rows(means: pd.DataFrame) -> list[Row]:
    """Return the consensus beside every other ranking, per case and over all cases."""
    rows = []
    means = means.assign(case=means["dataset"] + ", " + means["database"])
    every = means.groupby("ranking", sort=False)["precision"].mean()
    cases = [
        (str(case), part.set_index("ranking")["precision"])
        for case, part in means.groupby("case", sort=False)
    ]
    for case, of_case in [*cases, ("mean of all", every)]:
        single = of_case.drop("consensus")
        named = [*single.items(), (f"best single: {single.idxmax()}", single.max())]
        rows += [
            row(
                case,
                f"precision@{TOP} of the consensus",
                unit="share",
                ours=float(of_case["consensus"]),
                peer=float(value),
                peer_name=str(ranking),
            )
            for ranking, value in named
        ]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rankings of markers beside marker databases.")
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), help="only these data sets")
    parser.add_argument("--quick", action="store_true", help="the two small data sets only")
    parser.add_argument("--json", action="store_true", help="rows alone, as JSON")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="scanpy|sklearn|anndata")
    names = arguments.sets or (QUICK if arguments.quick else SETS)
    means = pd.concat([measure(arguments.data / f"{name}.h5ad") for name in names])
    show(to_rows(means), as_json=arguments.json)


if __name__ == "__main__":
    main()
