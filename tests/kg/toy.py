"""A small graph with rows in every table of the schema, for tests."""

from typing import Any

import numpy as np
import pandas as pd

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import METADATA, METADATA_EDGES, edge_type

CELL_TYPES = ("B cells", "T cells", 'odd "label"\n\\ é')
SYMBOLS = ("CD79A", "MS4A1", "CD3E", "LYZ", "NKG7", "PPBP", "GNLY", "CST3", "CD8A", "IL7R")
SMALLEST = float(np.finfo(np.float64).tiny)
ENCODER = "e" * 64
_RISEN = "genes that rise from condition 0 to condition 1"


def toy_graph(dataset: str = "alpha", *, seed: int = 0, n_cells: int = 24) -> Graph:
    """Return a graph of one data set; equal arguments give equal graphs.

    Genes, codes, gene sets and most metadata are shared between data sets. The first gene marks
    the first state and the first cell type; gene ``i`` is co-regulated with gene ``i + 1`` except
    for the last, which nothing connects to the others.
    """
    rng = np.random.default_rng([seed, sum(map(ord, dataset))])
    nodes = _nodes(dataset, rng, n_cells)
    return Graph(nodes, _edges(dataset, rng, nodes))


def _nodes(dataset: str, rng: np.random.Generator, n_cells: int) -> dict[str, pd.DataFrame]:
    n_genes = len(SYMBOLS)
    metadata = {
        field: [f"{field} {number}" for number in range(2)]
        for field in METADATA
        if field != "cell_type"
    } | {"cell_type": list(CELL_TYPES)}
    frames = {
        "Dataset": pd.DataFrame(
            {
                "key": [dataset],
                "content_hash": [f"{dataset}-content"],
                "source": [f"{dataset}.h5ad"],
                "encoder": ["toy"],
                "encoder_hash": [ENCODER],
                "parameters": ['{"seed": 0}'],
                "quality": ['{"nmi": 0.5}'],
                "faithfulness": ['{"verdict": "associated", "tests": []}'],
                "notes": ['["one note"]'],
                "code_version": ["0.1.0"],
                "n_cells": [n_cells],
                "n_genes": [n_genes],
                "excluded_donors": [[]],
                "stale": "",
            }
        ),
        "Cell": pd.DataFrame(
            {
                "key": [f"{dataset}:c{number}" for number in range(n_cells)],
                "dataset": dataset,
                "barcode": [f"c{number}" for number in range(n_cells)],
                "library_size": rng.integers(500, 5000, n_cells).astype(float),
                "n_genes": rng.integers(100, 900, n_cells),
                "mitochondrial": rng.random(n_cells).round(6),
                "x": rng.normal(size=n_cells),
                "y": rng.normal(size=n_cells),
            }
        ),
        "Code": pd.DataFrame(
            {
                "key": [f"{ENCODER[:12]}:{number}" for number in range(4)],
                "index": range(4),
                "bits": ["00", "01", "10", "11"],
                "vector": [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]],
                "usage": [0.25] * 4,
            }
        ),
        "State": pd.DataFrame(
            {
                "key": [f"{dataset}:{name}" for name in ("S1", "S2", "S1.1", "S1.2")],
                "dataset": dataset,
                "name": ["S1", "S2", "S1.1", "S1.2"],
                "level": [1, 1, 2, 2],
                "size": [n_cells // 2, n_cells - n_cells // 2, n_cells // 4, n_cells // 4],
                "n_donors": 2,
                "label": ["B cells", "T cells", "B cells", "B cells"],
                "label_share": [0.75, 1.0, 1.0, 0.5],
                "label_set": [["B cells"], ["T cells"], ["B cells", "T cells"], []],
                "label_confidence": [0.95, 0.99, 0.6, np.nan],
                "label_outcome": ["label", "label", "ambiguous", "abstain"],
                "stability": [0.9, 0.8, 0.7, np.nan],
                "embedding": [*_unit(rng.normal(size=(3, 4))), None],
                "stale": "",
            }
        ),
        "Gene": pd.DataFrame(
            {
                "key": [f"ENSG{number:011d}" for number in range(n_genes)],
                "symbol": SYMBOLS,
                "ensembl_id": [f"ENSG{number:011d}" for number in range(n_genes)],
                "gene_class": "protein_coding",
                "embedding": [None, *([float(n), 0.5, -1.0] for n in range(1, n_genes))],
            }
        ),
        "Module": pd.DataFrame(
            {
                "key": [f"{dataset}:M1", f"{dataset}:M2"],
                "dataset": dataset,
                "name": ["M1", "M2"],
                "size": [5, 4],
                "context": ["all", f"{dataset}:S1"],
                "stability": [0.9, 0.7],
                "donor_stability": [0.71, np.nan],
                "mean_weight": [0.4, np.nan],
                "null_weight": 0.02,
                "null_p": [0.001, np.nan],
                "null_q": [0.002, np.nan],
                "n_cells": [n_cells, n_cells // 2],
                "stale": "",
            }
        ),
        "GeneSet": pd.DataFrame(
            {
                "key": ["toy:B cell", "toy:T cell", "toy:platelet"],
                "name": ["B cell", "T cell", "platelet"],
                "library": "toy",
                "version": "0123456789ab",
                "source": "a textbook",
                "size": [8, 9, 7],
                "n_measured": [4, 5, 6],
            }
        ),
    }
    for field, label in METADATA.items():
        scope = f"{dataset}:" if field in ("donor", "batch") else ""
        labels = metadata[field]
        frames[label] = pd.DataFrame(
            {
                "key": [f"{field}:{scope}{value}" for value in labels],
                "label": labels,
                "ontology_id": "",
            }
        )
    return frames


def _edges(
    dataset: str, rng: np.random.Generator, nodes: dict[str, pd.DataFrame]
) -> dict[EdgeKey, pd.DataFrame]:
    n_cells, n_genes = len(nodes["Cell"]), len(nodes["Gene"])
    cells, genes = np.arange(n_cells), np.arange(n_genes)
    half = n_cells // 2
    edges: dict[EdgeKey, pd.DataFrame] = {
        ("Dataset", "MEASURES", "Gene"): _table(0, genes),
        ("Cell", "HAS_CODE", "Code"): _table(
            cells,
            cells % 4,
            probability=rng.random(n_cells),
            entropy=rng.random(n_cells),
            second=(cells + 1) % 4,
        ),
        ("Cell", "IN_STATE", "State"): _table(
            np.concatenate([cells, cells[:half]]),
            np.concatenate([(cells >= half).astype(int), 2 + cells[:half] % 2]),
        ),
        ("Code", "IN_STATE", "State"): _table(np.arange(4), np.arange(4) % 2),
        ("State", "PART_OF", "State"): _table([2, 3], 0),
        ("State", "CONNECTED_TO", "State"): _table(0, 1, connectivity=[1.5], stale=""),
        ("Cell", "EXPRESSES", "Gene"): _table(
            np.repeat(cells, 4),
            (np.repeat(cells, 4) + np.tile(np.arange(4), n_cells)) % n_genes,
            value=rng.random(4 * n_cells),
            rank=np.tile(np.arange(1, 5), n_cells),
        ),
        ("State", "EXPRESSES", "Gene"): _table(
            np.repeat(np.arange(4), n_genes),
            np.tile(genes, 4),
            mean=rng.random(4 * n_genes),
            detected=rng.random(4 * n_genes),
            n=half,
            stale="",
        ),
        ("Cell", "ATTENDS_TO", "Gene"): _table(
            np.repeat(cells, 3),
            (np.repeat(cells, 3) + np.tile(np.arange(3), n_cells)) % n_genes,
            encoder=rng.random(3 * n_cells),
            graph=np.where(np.arange(3 * n_cells) % 3 == 0, np.nan, rng.random(3 * n_cells)),
        ),
        ("Gene", "MEMBER_OF", "Module"): _table(
            genes[:9], genes[:9] // 5, strength=rng.random(9), stale=""
        ),
    }
    for label in METADATA.values():
        values = len(nodes[label])
        edges[("Cell", METADATA_EDGES[label], label)] = _table(cells, cells % values)
        edges[("State", "ATTENDS_TO", label)] = _claims(
            _table(np.arange(4), np.arange(4) % values, weight=rng.random(4), lift=1.5, z=2.0),
            dataset,
        )
    for group, size in (("State", 4), ("CellType", 3)):
        edges[(group, "MARKED_BY", "Gene")] = _markers(dataset, rng, size, n_genes)
        edges[(group, "SHIFTS", "Gene")] = _claims(
            _table(
                np.repeat(np.arange(size), 3),
                np.tile(genes[:3], size),
                condition="condition 1",
                reference="condition 0",
                rank=np.tile([1, 2, 3], size),
                log2_fold_change=np.tile([3.0, -2.0, 1.0], size),
                mean=2.0,
                mean_reference=1.0,
                donors_agreeing=2,
                attention_difference=np.tile([0.2, np.nan, 0.1], size),
                attention_q=np.tile([0.01, np.nan, 0.5], size),
            ),
            dataset,
        )
    for label in ("Condition", "Disease"):
        edges[("State", "DIFFERS_IN", label)] = _claims(
            _table(
                [0, 1],
                [0, 0],
                reference=f"{label.lower()} 1",
                share=[0.5, 0.2],
                share_reference=[0.1, 0.3],
                donors_with=[2.0, np.nan],
                donors_with_reference=[0.0, np.nan],
                presence_p=[0.01, np.nan],
                presence_q=[0.02, np.nan],
            ),
            dataset,
        )
    edges[("State", "FLIPS_WITHOUT", "Gene")] = _claims(
        _table(
            [0, 0, 1],
            [0, 1, 2],
            flipped=[0.6, 0.1, 0.3],
            state_flipped=[0.5, 0.0, 0.1],
            null_mean=0.05,
            z=[4.0, 1.0, 2.0],
            goes_to=[f"{dataset}:S2", "", f"{dataset}:S1"],
            to_share=[1.0, np.nan, 1.0],
        ),
        dataset,
    )
    edges[("State", "COMMUNICATES_WITH", "State")] = _claims(
        _table(
            [0, 0, 1, 1],
            [1, 1, 0, 1],
            ligand=["CD79A", "CST3", "CD79A", "LYZ_PPBP"],
            receptor=["CD3E", "CD3E", "CD8A_IL7R", "GNLY"],
            ligand_genes=[
                ["ENSG00000000000"],
                ["ENSG00000000007"],
                ["ENSG00000000000"],
                ["ENSG00000000003", "ENSG00000000005"],
            ],
            receptor_genes=[
                ["ENSG00000000002"],
                ["ENSG00000000002"],
                ["ENSG00000000008", "ENSG00000000009"],
                ["ENSG00000000006"],
            ],
            pathway=["BCR", "", "BCR", ""],
            score=[0.8, 0.6, 1.2, 0.4],
            specificity=[3.0, 2.0, 4.0, 1.5],
            ligand_detected=0.6,
            receptor_detected=0.4,
            decoy_p=[0.001, 0.2, 0.002, 0.4],
            decoy_q=[0.01, 0.5, 0.02, 0.7],
            donors_agreeing=2,
            donor_p=np.nan,
            verdict=["supported", "specific_only", "supported", "specific_only"],
        ),
        dataset,
    )
    edges[("State", "INTERMEDIATE_BETWEEN", "State")] = _claims(
        _table(
            [2, 2],
            [1, 3],
            other=[f"{dataset}:S1.2", f"{dataset}:S2"],
            connectivity=1.2,
            soft=[0.3, 0.4],
            doublet_score=0.1,
            library_ratio=0.5,
            mixture_r2=0.8,
            mixture_spread=1.5,
            own_genes=3,
            verdict="certified",
            reason="",
        ),
        dataset,
    )
    edges[("State", "MONOTONE_ALONG", "Gene")] = _claims(
        _table(
            [2, 2],
            [0, 1],
            first=f"{dataset}:S1.2",
            second=f"{dataset}:S2",
            rho=[0.8, -0.7],
            donors_agreeing=2,
        ),
        dataset,
    )
    edges[("Gene", "CO_REGULATED_WITH", "Gene")] = _claims(
        _table(
            genes[:-2],
            genes[1:-1],
            context="all",
            correlation=rng.random(n_genes - 2),
            correlation_z=3.0,
            correlation_q=0.01,
            attention=rng.random(n_genes - 2),
            attention_z=2.0,
            attention_q=0.02,
        ),
        dataset,
    )
    edges[("Gene", "REGULATES", "Gene")] = _claims(
        _table(
            [0, 3, 4],
            [1, 4, 6],
            context="all",
            sign=[1, -1, 0],
            resource="collectri",
            resource_version="64931bf70bb8",
            confidence="",
            pmids="",
            correlation=[0.37, 0.2, np.nan],
            correlation_z=[5.1, 2.0, np.nan],
            correlation_q=[0.0004, 0.2, np.nan],
            sign_agrees=["yes", "", ""],
        ),
        dataset,
    )
    for group, size in (("Module", 2), ("State", 4), ("CellType", 3)):
        edges[(group, "ENRICHED_IN", "GeneSet")] = _claims(
            _table(
                np.repeat(np.arange(size), 2),
                (np.repeat(np.arange(size), 2) + np.tile([0, 1], size)) % 3,
                of="members" if group == "Module" else np.tile(["markers", _RISEN], size),
                overlap=np.tile([3, 2], size),
                set_size=4,
                query_size=5,
                universe=n_genes,
                odds_ratio=np.where(np.arange(2 * size) == 0, np.inf, 4.5),
                genes=[["CD79A", "MS4A1"]] * (2 * size),
            ),
            dataset,
        )
    return edges


def _markers(dataset: str, rng: np.random.Generator, size: int, n_genes: int) -> pd.DataFrame:
    total = size * n_genes
    group, rank = np.repeat(np.arange(size), n_genes), np.tile(np.arange(n_genes), size)
    gene = (group + rank) % n_genes
    verdicts = np.array(["supported", "expression_only", "attention_only", "unsupported"])
    columns = {
        "rank": rank + 1,
        "attention_lift": 2 - rank / n_genes,
        "attention_z": 5.0 - rank,
        "attention_p": 0.001,
        "attention_q": 0.01,
        "attention_rank": n_genes - rank,
        "matched_z": 4.0 - rank,
        "matched_q": 0.02,
        "rewired_z": 3.0 - rank,
        "rewired_q": 0.03,
        "attention_says": "associated",
        "auroc": 0.9 - rank / 100,
        "log2_fold_change": 3.0 - rank / 10,
        "detected_in": rng.random(total),
        "detected_out": rng.random(total),
        "expression_p": SMALLEST,
        "expression_q": SMALLEST * 4,
        "expression_rank": (rank + 3) % n_genes + 1,
        "donors_agreeing": 2,
        "verdict": verdicts[rank % 4],
    }
    return _claims(_table(group, gene, **columns), dataset)


def _unit(vectors: np.ndarray) -> list[list[float]]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: list[list[float]] = (vectors / lengths).round(5).tolist()
    return rows


def _table(source: Any, target: Any, **columns: Any) -> pd.DataFrame:
    size = np.broadcast(np.asarray(source), np.asarray(target)).shape
    ends = {"source": source, "target": target}
    rows = size[0] if size else 1
    return pd.DataFrame(ends, index=range(rows)).assign(**columns)


def _claims(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    return frame.assign(
        effect=1.5,
        n_cells=24,
        n_donors=2,
        p=SMALLEST,
        q=0.01,
        null="labels permuted within donor, 999 times",
        method="toy",
        dataset=dataset,
        dataset_hash=f"{dataset}-content",
        encoder_hash=ENCODER,
        code_version="0.1.0",
        stale="",
    )


def declared_columns(key: EdgeKey) -> list[str]:
    """Return the properties of an edge table, in declared order."""
    return [item.name for item in edge_type(*key).properties]
