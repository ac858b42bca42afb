"""Build the property graph of one data set from its cells and their encoding: no claims yet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..encoders.base import Encoding
from ..encoders.cells import Cells
from ..encoders.counts import normalise
from .attention import GraphAttention
from .graph import EdgeKey, Graph
from .metadata import Metadata
from .neighbours import Neighbours
from .schema import METADATA, METADATA_EDGES
from .states import States

TOP_EXPRESSED = 64
"""Genes of highest expression kept per cell."""

TOP_ATTENDED = 16
"""Attended genes kept per cell, by the larger of encoder and graph attention."""

MIN_DETECTED = 0.1
"""Share of cells of a state that must express a gene for the edge to be kept."""


@dataclass(frozen=True)
class Parts:
    """Everything that is known of a data set before evidence is attached.

    Attributes
    ----------
    name
        Key of the data set.
    cells, encoding, metadata, states, neighbours, attention
        Results of the stages before.
    labels
        One row per state with ``label_set``, ``confidence`` and ``outcome``; ``None`` where there
        are no labels to predict.
    properties
        Further properties of the ``Dataset`` node.
    """

    name: str
    cells: Cells
    encoding: Encoding
    metadata: dict[str, Metadata]
    states: States
    neighbours: Neighbours
    attention: GraphAttention
    labels: pd.DataFrame | None = None
    properties: dict[str, Any] = field(default_factory=dict)


def build_graph(parts: Parts) -> Graph:
    """Return nodes and edges of a data set, without claims.

    Positions of cells, genes and states in the tables are those of the parts, so that claims can
    be added by position.
    """
    values = normalise(parts.cells.counts, parts.cells.totals)
    nodes = {
        "Dataset": _dataset(parts),
        "Cell": _cells(parts),
        "Code": _codes(parts),
        "State": _states(parts),
        "Gene": _genes(parts),
    }
    n_cells, n_genes = parts.cells.counts.shape
    edges: dict[EdgeKey, pd.DataFrame] = {
        ("Dataset", "MEASURES", "Gene"): _ends(np.zeros(n_genes), np.arange(n_genes)),
        ("Cell", "HAS_CODE", "Code"): _ends(
            np.arange(n_cells),
            _present_codes(parts).get_indexer(pd.Index(parts.encoding.code)),
            probability=parts.encoding.probability,
            entropy=parts.encoding.entropy,
            second=parts.encoding.second,
        ),
        ("Cell", "EXPRESSES", "Gene"): _top_expressed(values),
        ("State", "EXPRESSES", "Gene"): _state_expression(values, parts.states),
        ("Cell", "ATTENDS_TO", "Gene"): _top_attended(parts),
        **_state_edges(parts),
    }
    for name, found in parts.metadata.items():
        label = METADATA[name]
        nodes[label] = _metadata_nodes(found, parts.name)
        known = np.flatnonzero(found.values >= 0)
        edges[("Cell", METADATA_EDGES[label], label)] = _ends(known, found.values[known])
    return Graph(nodes, {key: frame for key, frame in edges.items() if len(frame)})


def add_claims(
    graph: Graph, nodes: Mapping[str, pd.DataFrame], edges: Mapping[EdgeKey, pd.DataFrame]
) -> Graph:
    """Return the graph with further tables, such as claims with their evidence."""
    kept = {key: frame for key, frame in edges.items() if len(frame)}
    return Graph(
        graph.nodes | {label: frame for label, frame in nodes.items() if len(frame)},
        graph.edges | kept,
    )


def code_key(weights_hash: str, index: int) -> str:
    """Return the key of a code: same weights, same code."""
    return f"{weights_hash[:12]}:{index}"


def metadata_key(field_name: str, dataset: str, label: str, ontology_id: str) -> str:
    """Return the key of a metadata value; donors and batches are never shared by data sets.

    Examples
    --------
    >>> metadata_key("cell_type", "pbmc", "B", "CL:0000236")
    'CL:0000236'
    >>> metadata_key("tissue", "pbmc", "blood", ""), metadata_key("donor", "pbmc", "1", "")
    ('tissue:blood', 'donor:pbmc:1')
    """
    if field_name in ("donor", "batch"):
        return f"{field_name}:{dataset}:{label}"
    return ontology_id or f"{field_name}:{label}"


def _ends(source: np.ndarray, target: np.ndarray, **properties: Any) -> pd.DataFrame:
    ends = {"source": source.astype(np.int64), "target": target.astype(np.int64)}
    return pd.DataFrame({**ends, **properties})


def _dataset(parts: Parts) -> pd.DataFrame:
    n_cells, n_genes = parts.cells.counts.shape
    row = {
        "key": parts.name,
        "source": parts.cells.source,
        "encoder_hash": parts.encoding.weights_hash,
        "n_cells": n_cells,
        "n_genes": n_genes,
        "excluded_donors": [],
        "stale": "",
        **parts.properties,
    }
    return pd.DataFrame([row])


def _cells(parts: Parts) -> pd.DataFrame:
    counts, totals = parts.cells.counts, parts.cells.totals
    barcodes = [str(name) for name in parts.cells.adata.obs_names]
    mitochondrial = (parts.cells.genes["gene_class"] == "mitochondrial").to_numpy()
    return pd.DataFrame(
        {
            "key": [f"{parts.name}:{barcode}" for barcode in barcodes],
            "dataset": parts.name,
            "barcode": barcodes,
            "library_size": totals,
            "n_genes": np.diff(counts.indptr),
            "mitochondrial": np.asarray(counts[:, mitochondrial].sum(axis=1)).ravel() / totals,
            "x": parts.neighbours.layout[:, 0],
            "y": parts.neighbours.layout[:, 1],
        }
    )


def _present_codes(parts: Parts) -> pd.Index:
    return pd.Index(sorted(parts.states.code))


def _codes(parts: Parts) -> pd.DataFrame:
    encoding, present = parts.encoding, _present_codes(parts)
    usage = np.bincount(encoding.code, minlength=len(encoding.codebook)) / len(encoding.code)
    return pd.DataFrame(
        {
            "key": [code_key(encoding.weights_hash, int(index)) for index in present],
            "index": present.to_numpy(),
            "bits": [encoding.bits[index] for index in present],
            "vector": _lists(encoding.codebook[present]),
            "usage": usage[present],
        }
    )


def _genes(parts: Parts) -> pd.DataFrame:
    genes, embedding = parts.cells.genes, parts.encoding.gene_embedding
    known = np.abs(embedding).sum(axis=1) > 0
    vectors = _lists(embedding)
    return pd.DataFrame(
        {
            "key": genes["key"],
            "symbol": genes["symbol"],
            "ensembl_id": genes["ensembl_id"],
            "gene_class": genes["gene_class"],
            "embedding": [
                vector if is_known else None
                for vector, is_known in zip(vectors, known, strict=True)
            ],
        }
    )


def _lists(matrix: np.ndarray) -> list[list[float]]:
    """Return rows as lists, rounded to five digits: more says nothing and costs space."""
    rows: list[list[float]] = np.round(matrix.astype(np.float64), 5).tolist()
    return rows


def _states(parts: Parts) -> pd.DataFrame:
    states = parts.states
    donors, labels = parts.metadata.get("donor"), parts.metadata.get("cell_type")
    rows = []
    for position, state in enumerate(states.table.itertuples()):
        inside = states.cell[:, int(str(state.level)) - 1] == position
        donor = donors.values[inside] if donors else np.array([], int)
        label, share = "", 0.0
        if labels:
            counts = np.bincount(labels.values[inside] + 1, minlength=2)
            # Position 0 counts cells without a label.
            if counts[1:].any():
                label = labels.labels[int(counts[1:].argmax())]
                share = float(counts[1:].max() / counts.sum())
        rows.append(
            {
                "key": f"{parts.name}:{state.name}",
                "dataset": parts.name,
                "name": state.name,
                "level": state.level,
                "size": state.size,
                "n_donors": len(np.unique(donor[donor >= 0])),
                "label": label,
                "label_share": share,
                "embedding": _direction(parts.encoding.embedding[inside]),
                "stale": "",
            }
        )
    table = pd.DataFrame(rows).assign(stability=states.table["stability"].to_numpy())
    if parts.labels is None:
        empty: pd.Series[Any] = pd.Series([[] for _ in rows], dtype=object)
        return table.assign(label_set=empty, label_confidence=np.nan, label_outcome="not tested")
    return table.assign(
        label_set=parts.labels["label_set"].map(sorted).to_numpy(),
        label_confidence=parts.labels["confidence"].to_numpy(),
        label_outcome=parts.labels["outcome"].to_numpy(),
    )


def _direction(embedding: np.ndarray) -> list[float] | None:
    """Return the mean of rows as a list of unit length; ``None`` where it has no direction."""
    mean = embedding.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return _lists(mean[None] / length)[0] if length > 0 else None


def _state_edges(parts: Parts) -> dict[EdgeKey, pd.DataFrame]:
    states = parts.states
    cell, level = np.nonzero(states.cell >= 0)
    children = np.flatnonzero(states.table["parent"] >= 0)
    code = [(i, s) for i, c in enumerate(_present_codes(parts)) for s in states.code[c]]
    keys = np.array([f"{parts.name}:{name}" for name in states.table["name"]])
    connected = sparse.coo_matrix(states.connectivity)
    # Stored once, from the lower key to the higher.
    once = keys[connected.row] < keys[connected.col]
    return {
        ("Cell", "IN_STATE", "State"): _ends(cell, states.cell[cell, level]),
        ("Code", "IN_STATE", "State"): _ends(*np.array(code).T),
        ("State", "PART_OF", "State"): _ends(children, states.table["parent"].to_numpy()[children]),
        ("State", "CONNECTED_TO", "State"): _ends(
            connected.row[once], connected.col[once], connectivity=connected.data[once], stale=""
        ),
    }


def _rank_in_row(matrix: sparse.csr_matrix) -> np.ndarray:
    """Return the rank of each entry in its row, 1 = largest, ties to the lower column."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    rank = np.empty(matrix.nnz, np.int64)
    rank[order] = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr)) + 1
    return rank


def _top_expressed(values: sparse.csr_matrix) -> pd.DataFrame:
    rank = _rank_in_row(values)
    row = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    kept = rank <= TOP_EXPRESSED
    value = values.data[kept].astype(np.float64)
    return _ends(row[kept], values.indices[kept], value=value, rank=rank[kept])


def _state_expression(values: sparse.csr_matrix, states: States) -> pd.DataFrame:
    cell, level = np.nonzero(states.cell >= 0)
    member = sparse.csr_matrix(
        (np.ones(len(cell)), (states.cell[cell, level], cell)),
        shape=(len(states.table), values.shape[0]),
    )
    size = states.table["size"].to_numpy()
    detected = np.asarray((member @ (values > 0)).todense()) / size[:, None]
    mean = np.asarray((member @ values).todense()) / size[:, None]
    state, gene = np.nonzero(detected >= MIN_DETECTED)
    return _ends(
        state, gene, mean=mean[state, gene], detected=detected[state, gene], n=size[state], stale=""
    )


def _top_attended(parts: Parts) -> pd.DataFrame:
    encoder = sparse.csr_matrix(parts.encoding.attention)
    graph = parts.attention.genes
    larger = sparse.csr_matrix(encoder.maximum(graph))
    larger.sort_indices()
    kept = _rank_in_row(larger) <= TOP_ATTENDED
    row = np.repeat(np.arange(larger.shape[0]), np.diff(larger.indptr))[kept]
    gene = larger.indices[kept]
    return _ends(row, gene, encoder=_entries(encoder, row, gene), graph=_entries(graph, row, gene))


def _entries(matrix: sparse.csr_matrix, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return entries of a sparse matrix, NaN where there is none."""
    if not len(row):
        return np.zeros(0)
    values = np.asarray(matrix[row, column], dtype=np.float64).ravel()
    return np.where(values > 0, values, np.nan)


def _metadata_nodes(found: Metadata, dataset: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": [
                metadata_key(found.field, dataset, label, term)
                for label, term in zip(found.labels, found.ontology_ids, strict=True)
            ],
            "label": found.labels,
            "ontology_id": found.ontology_ids,
        }
    )


def to_json(value: Any) -> str:
    """Return JSON with sorted keys, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
