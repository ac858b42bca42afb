"""A graph of any size in the shape of a real one: use of genes follows a power law."""

from importlib.metadata import version

import numpy as np
import pandas as pd

from scypher.kg.graph import EdgeKey, Graph
from scypher.kg.schema import EVIDENCE, edge_type, node_type

TOP, STATES, CODES, DONORS, TYPES, MODULES, SETS = 64, 40, 512, 20, 12, 300, 1000
EXPRESSED, MARKERS, PAIRS, MEMBERS = 2000, 300, 30_000, 20_000
ENCODER = "0" * 64


def generate(n_cells: int, n_genes: int, *, seed: int = 0, name: str = "made") -> Graph:
    """Return a graph of one data set with 64 expressed genes a cell and claims about its states."""
    rng = np.random.default_rng(seed)
    nodes = _nodes(rng, n_cells, n_genes, name)
    state = _skewed(rng, STATES, n_cells)
    cell = np.arange(n_cells)
    edges: dict[EdgeKey, pd.DataFrame] = {
        ("Dataset", "MEASURES", "Gene"): _ends(np.zeros(n_genes, int), np.arange(n_genes)),
        ("Cell", "HAS_CODE", "Code"): _ends(
            cell,
            rng.integers(CODES, size=n_cells),
            probability=rng.random(n_cells),
            entropy=rng.random(n_cells),
            second=rng.integers(CODES, size=n_cells),
        ),
        ("Cell", "IN_STATE", "State"): _ends(cell, state),
        ("Code", "IN_STATE", "State"): _ends(np.arange(CODES), rng.integers(STATES, size=CODES)),
        ("Cell", "ANNOTATED_AS", "CellType"): _ends(cell, state % TYPES),
        ("Cell", "FROM_DONOR", "Donor"): _ends(cell, rng.integers(DONORS, size=n_cells)),
        ("Cell", "FROM_BATCH", "Batch"): _ends(cell, rng.integers(DONORS, size=n_cells)),
        ("Cell", "UNDER_CONDITION", "Condition"): _ends(cell, rng.integers(2, size=n_cells)),
        ("Cell", "EXPRESSES", "Gene"): _expressed(rng, n_cells, n_genes),
        ("State", "EXPRESSES", "Gene"): _state_expression(rng, n_genes, state),
        ("Gene", "MEMBER_OF", "Module"): _members(rng, n_genes),
    }
    neighbours = _upper(rng, STATES, 200)
    edges["State", "CONNECTED_TO", "State"] = neighbours.assign(
        connectivity=rng.random(len(neighbours))
    )
    claims = {
        ("State", "MARKED_BY", "Gene"): _grid(rng, STATES, n_genes, MARKERS),
        ("CellType", "MARKED_BY", "Gene"): _grid(rng, TYPES, n_genes, MARKERS),
        ("Gene", "CO_REGULATED_WITH", "Gene"): _upper(rng, n_genes, PAIRS),
        ("Module", "ENRICHED_IN", "GeneSet"): _grid(rng, MODULES, SETS, 10),
        ("State", "ENRICHED_IN", "GeneSet"): _grid(rng, STATES, SETS, 50),
    }
    for key, ends in claims.items():
        edges[key] = _claims(rng, key, ends, name)
    return Graph(nodes, {key: _complete(frame, key) for key, frame in edges.items()})


def _nodes(
    rng: np.random.Generator, n_cells: int, n_genes: int, name: str
) -> dict[str, pd.DataFrame]:
    def keyed(prefix: str, size: int) -> pd.Series:
        return prefix + pd.Series(np.arange(size)).astype(str)

    frames = {
        "Dataset": pd.DataFrame({"key": [name], "n_cells": [n_cells], "n_genes": [n_genes]}),
        "Cell": pd.DataFrame(
            {
                "key": keyed(f"{name}:c", n_cells),
                "barcode": keyed("c", n_cells),
                "library_size": rng.integers(500, 5000, n_cells).astype(float),
                "mitochondrial": rng.random(n_cells),
                "x": rng.normal(size=n_cells),
                "y": rng.normal(size=n_cells),
            }
        ),
        "Code": pd.DataFrame({"key": keyed("000000000000:", CODES), "index": np.arange(CODES)}),
        "State": pd.DataFrame(
            {
                "key": keyed(f"{name}:S", STATES),
                "name": keyed("S", STATES),
                "level": 1,
                "size": n_cells // STATES,
            }
        ),
        "Gene": pd.DataFrame({"key": keyed("ENSG", n_genes), "symbol": keyed("G", n_genes)}),
        "CellType": pd.DataFrame(
            {"key": keyed("cell_type:", TYPES), "label": keyed("type ", TYPES)}
        ),
        "Donor": pd.DataFrame(
            {"key": keyed(f"donor:{name}:", DONORS), "label": keyed("donor ", DONORS)}
        ),
        "Batch": pd.DataFrame(
            {"key": keyed(f"batch:{name}:", DONORS), "label": keyed("batch ", DONORS)}
        ),
        "Condition": pd.DataFrame({"key": keyed("condition:", 2), "label": keyed("condition ", 2)}),
        "Module": pd.DataFrame(
            {"key": keyed(f"{name}:M", MODULES), "name": keyed("M", MODULES), "context": "all"}
        ),
        "GeneSet": pd.DataFrame(
            {"key": keyed("sets:", SETS), "name": keyed("set ", SETS), "library": "sets"}
        ),
    }
    return {
        label: _filled(frame, node_type(label).properties, {"dataset": name})
        for label, frame in frames.items()
    }


def _ends(source: np.ndarray, target: np.ndarray, **properties: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"source": source, "target": target, **properties})


def _skewed(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    """Return draws from 0 to ``size`` - 1, the low ones far more often."""
    weight = 1 / np.arange(1, size + 1)
    return rng.choice(size, n, p=weight / weight.sum())


def _expressed(rng: np.random.Generator, n_cells: int, n_genes: int) -> pd.DataFrame:
    # Steps through the genes that grow from a random start: all distinct, the low ones often.
    steps = rng.exponential(1.0, (n_cells, TOP)).cumsum(axis=1)
    place = np.exp(steps / steps[:, -1:] * np.log(n_genes - TOP)).astype(np.int64)
    gene = np.minimum(place + np.arange(TOP), n_genes - 1)
    value = np.sort(rng.gamma(2.0, 1.0, (n_cells, TOP)))[:, ::-1]
    rank = np.tile(np.arange(1, TOP + 1), n_cells)
    cell = np.repeat(np.arange(n_cells), TOP)
    return _ends(cell, gene.ravel(), value=value.ravel(), rank=rank)


def _state_expression(rng: np.random.Generator, n_genes: int, state: np.ndarray) -> pd.DataFrame:
    frame = _grid(rng, STATES, n_genes, min(EXPRESSED, n_genes))
    n = np.bincount(state, minlength=STATES)[frame["source"]]
    mean, detected = rng.gamma(2.0, 1.0, len(frame)), rng.random(len(frame))
    return frame.assign(mean=mean, detected=detected, n=n)


def _grid(rng: np.random.Generator, n_sources: int, n_targets: int, each: int) -> pd.DataFrame:
    """Return the same number of distinct targets for every source."""
    start = rng.integers(n_targets, size=(n_sources, 1))
    target = (start + np.arange(min(each, n_targets))) % n_targets
    return _ends(np.repeat(np.arange(n_sources), target.shape[1]), target.ravel())


def _members(rng: np.random.Generator, n_genes: int) -> pd.DataFrame:
    gene, module = rng.integers(n_genes, size=MEMBERS), rng.integers(MODULES, size=MEMBERS)
    frame = _ends(gene, module).drop_duplicates(ignore_index=True)
    return frame.assign(strength=rng.random(len(frame)))


def _upper(rng: np.random.Generator, size: int, n: int) -> pd.DataFrame:
    """Return distinct pairs of which the first is the lower."""
    pair = np.sort(rng.integers(size, size=(n, 2)), axis=1)
    return _ends(*pair[pair[:, 0] < pair[:, 1]].T).drop_duplicates(ignore_index=True)


def _claims(rng: np.random.Generator, key: EdgeKey, ends: pd.DataFrame, name: str) -> pd.DataFrame:
    rank = ends.groupby("source").cumcount() + 1
    p = rng.uniform(1e-12, 1.0, len(ends))
    given = {
        **{"rank": rank, "attention_rank": rank, "expression_rank": rank, "effect": 1.0 - p},
        **{"p": p, "q": p, "null": "a stated null", "method": "a method", "dataset": name},
        **{"dataset_hash": ENCODER, "encoder_hash": ENCODER, "code_version": version("scypher")},
        **{"context": "all", "of": "markers", "verdict": "supported", "correlation": 1.0 - p},
    }
    names = {item.name for item in (*edge_type(*key).properties, *EVIDENCE)}
    return ends.assign(**{item: value for item, value in given.items() if item in names})


def _complete(frame: pd.DataFrame, key: EdgeKey) -> pd.DataFrame:
    ends = frame[["source", "target"]]
    return pd.concat([ends, _filled(frame, edge_type(*key).properties, {})], axis=1)


def _filled(frame: pd.DataFrame, properties: object, given: dict[str, str]) -> pd.DataFrame:
    """Return all declared columns; those that nobody asked for hold what stands for unknown."""
    unknown = {"string": "", "integer": 0, "float": 0.5, "boolean": False}
    return pd.DataFrame(
        {
            item.name: frame[item.name]
            if item.name in frame
            else pd.Series([given.get(item.name, unknown.get(item.kind))] * len(frame))
            for item in properties
        }
    )
