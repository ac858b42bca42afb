"""The property graph as columnar tables: one frame per node label and per edge table.

Node frames hold a unique ``key`` and the properties of the schema; a node is addressed inside the
graph by its row number. Edge frames hold ``source`` and ``target`` row numbers and the properties.
Text is ``str`` (empty when unknown), numbers are int64 and float64 (``NaN`` when unknown, stored as
no property), lists are Python lists or ``None``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from ..encoders.errors import InputError
from .schema import NODES, Property, edge_tables, edge_type, node_type
from .tables import is_declared, read_table, write_table

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import HeteroData

EdgeKey = tuple[str, str, str]
"""(source label, type, target label)."""

_DTYPES = {"string": object, "integer": np.int64, "float": np.float64, "boolean": np.bool_}


@dataclass
class Graph:
    """Nodes and edges in tables that follow :mod:`scypher.kg.schema`.

    Parameters
    ----------
    nodes
        Label -> frame with ``key`` and the declared properties, in declared order.
    edges
        (source label, type, target label) -> frame with ``source``, ``target`` (row numbers in
        the node frames) and the declared properties.

    Raises
    ------
    InputError
        A table is not in the schema, lacks a column, repeats a key, points outside its node table,
        or holds a claim without evidence (see :meth:`validate`).
    """

    nodes: dict[str, pd.DataFrame] = field(default_factory=dict)
    edges: dict[EdgeKey, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Declared order, whatever the order of construction: exports must not depend on it.
        self.nodes = {
            node.label: _typed(self.nodes[node.label], node.properties, node.label)
            for node in NODES
            if len(self.nodes.get(node.label, ())) or node.label in self.nodes
        } | {label: frame for label, frame in self.nodes.items() if not _is_node(label)}
        ends = (Property("source", "integer", ""), Property("target", "integer", ""))
        self.edges = {
            key: _typed(self.edges[key], (*ends, *edge_type(*key).properties), "-".join(key))
            for key in edge_tables()
            if key in self.edges
        } | {key: frame for key, frame in self.edges.items() if key not in set(edge_tables())}
        self.validate()

    def validate(self) -> None:
        """Raise :class:`InputError` at the first table that breaks the schema."""
        for label, frame in self.nodes.items():
            if not _is_node(label):
                _refuse(f"the node table {label!r} is not in the schema")
            keys = frame["key"]
            if keys.duplicated().any():
                _refuse(f"{label} repeats the key {keys[keys.duplicated()].iloc[0]!r}")
            if not _all_text(keys):
                _refuse(f"{label} holds a node with an empty key, or one that is no text")
        for key, frame in self.edges.items():
            if key not in set(edge_tables()):
                _refuse(f"the edge table {key} is not in the schema")
            for column, label in (("source", key[0]), ("target", key[2])):
                ends = frame[column].to_numpy()
                size = len(self.nodes.get(label, ()))
                if len(ends) and (ends.min() < 0 or ends.max() >= size):
                    _refuse(f"{key} points outside the {size} {label} nodes")
            identity = ["source", "target", *edge_type(*key).identity]
            if frame.duplicated(identity).any():
                _refuse(f"{key} holds the same edge twice (by {', '.join(identity)})")
            if edge_type(*key).claim:
                _check_evidence(key, frame)

    def counts(self) -> dict[str, int]:
        """Return rows per table, named ``Label`` and ``Label-TYPE-Label``."""
        return {name: len(frame) for name, frame in self.tables().items()}

    def datasets(self) -> list[str]:
        """Return the keys of the data sets in the graph."""
        return list(self.nodes["Dataset"]["key"]) if "Dataset" in self.nodes else []

    def content_hash(self) -> str:
        """Return a SHA-256 over every table, independent of the order of rows."""
        digest = hashlib.sha256()
        names: dict[str, np.ndarray] = {}
        for label, frame in self.nodes.items():
            _hash_rows(digest, label, frame)
            names[label] = pd.util.hash_array(frame["key"].to_numpy())
        for key, frame in self.edges.items():
            # Keys are hashed once per node, not once per edge.
            ends = {
                "source": names[key[0]][frame["source"].to_numpy()],
                "target": names[key[2]][frame["target"].to_numpy()],
            }
            _hash_rows(digest, "-".join(key), frame.assign(**ends))
        return digest.hexdigest()

    def with_keys(self, key: EdgeKey, frame: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return an edge table with node keys instead of row numbers in ``source``, ``target``."""
        frame = self.edges[key] if frame is None else frame
        ends = {
            "source": self.nodes[key[0]]["key"].to_numpy()[frame["source"].to_numpy()],
            "target": self.nodes[key[2]]["key"].to_numpy()[frame["target"].to_numpy()],
        }
        return frame.assign(**ends)

    def merge(self, other: "Graph") -> "Graph":
        """Return the union; where both hold a node or an edge, the row of ``other`` stands."""
        nodes = {
            label: _last(_concat([self.nodes.get(label), other.nodes.get(label)]), ["key"])
            for label in {**self.nodes, **other.nodes}
        }
        edges = {}
        for key in {**self.edges, **other.edges}:
            frames = [graph.with_keys(key) for graph in (self, other) if key in graph.edges]
            identity = ["source", "target", *edge_type(*key).identity]
            edges[key] = _positions(_last(_concat(frames), identity), key, nodes)
        return Graph(nodes, edges)

    def without(self, dataset: str) -> "Graph":
        """Return the graph without a data set and without shared nodes that only it used."""
        kept: dict[str, pd.DataFrame] = {}
        for label, frame in self.nodes.items():
            if label == "Dataset":
                kept[label] = frame[frame["key"] != dataset]
            elif node_type(label).owned:
                kept[label] = frame[frame["dataset"] != dataset]
            else:
                kept[label] = frame
        edges: dict[EdgeKey, pd.DataFrame] = {}
        for key in self.edges:
            frame = self.with_keys(key)
            if "dataset" in frame:
                frame = frame[frame["dataset"] != dataset]
            for column, label in (("source", key[0]), ("target", key[2])):
                frame = frame[frame[column].isin(set(kept[label]["key"]))]
            edges[key] = frame
        for label, frame in kept.items():
            if label == "Dataset" or node_type(label).owned:
                continue
            used: set[str] = set()
            for key, rows in edges.items():
                used |= set(rows["source"]) if key[0] == label else set()
                used |= set(rows["target"]) if key[2] == label else set()
            kept[label] = frame[frame["key"].isin(used)]
        kept = {label: frame.reset_index(drop=True) for label, frame in kept.items()}
        return Graph(
            {label: frame for label, frame in kept.items() if len(frame)},
            {key: _positions(rows, key, kept) for key, rows in edges.items() if len(rows)},
        )

    def to_parquet(self, folder: Path) -> None:
        """Write one Parquet file per table into ``folder``; equal graphs give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in self.tables().items():
            write_table(frame, folder / f"{name}.parquet")

    @classmethod
    def from_parquet(cls, folder: Path) -> "Graph":
        """Read what :meth:`to_parquet` wrote, by this version of Scypher or an older one."""
        paths = sorted(folder.glob("*.parquet"))
        names = [path.stem for path in paths if is_declared(path.stem)]
        return cls.from_tables(
            {name: read_table(name, folder / f"{name}.parquet") for name in names}
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by its name, ``Label`` or ``Label-TYPE-Label``."""
        return {**self.nodes, **{"-".join(key): frame for key, frame in self.edges.items()}}

    @classmethod
    def from_tables(cls, tables: Mapping[str, pd.DataFrame]) -> "Graph":
        """Return the graph of tables named as :meth:`tables` does."""
        nodes: dict[str, pd.DataFrame] = {}
        edges: dict[EdgeKey, pd.DataFrame] = {}
        for name, frame in tables.items():
            source, *rest = name.split("-")
            if rest:
                edges[(source, rest[0], rest[1])] = frame
            else:
                nodes[source] = frame
        return cls(nodes, edges)

    def to_networkx(self) -> "nx.MultiDiGraph":
        """Return a networkx graph of (label, key) nodes, for small graphs.

        Label and type stand in ``kind`` of nodes and edges, beside their properties.
        """
        from .convert import to_networkx

        return to_networkx(self)

    def to_pyg(self) -> "HeteroData":
        """Return a PyG graph: numeric properties in ``x`` and ``edge_attr``, keys in ``key``."""
        from .convert import to_pyg

        return to_pyg(self)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as dicts of plain Python values; unknown values (``NaN``, ``None``) left out."""
    columns = {name: frame[name].tolist() for name in frame.columns}
    return [
        {
            name: value
            for name, value in zip(columns, row, strict=True)
            if value is not None and value == value
        }
        for row in zip(*columns.values(), strict=True)
    ]


def _is_node(label: str) -> bool:
    return any(node.label == label for node in NODES)


def _refuse(problem: str) -> NoReturn:
    raise InputError(problem)


def _typed(frame: pd.DataFrame, properties: Iterable[Property], name: str) -> pd.DataFrame:
    """Return the declared columns in declared order and dtype."""
    properties = list(properties)
    missing = [item.name for item in properties if item.name not in frame]
    unknown = [column for column in frame if column not in {item.name for item in properties}]
    if missing or unknown:
        _refuse(f"table {name}: missing columns {missing}, columns not in the schema {unknown}")
    return pd.DataFrame(
        {item.name: _column(frame[item.name], item.kind, name) for item in properties}
    ).reset_index(drop=True)


def _column(values: pd.Series, kind: str, table: str) -> "np.ndarray[Any, Any] | pd.Series":
    if kind in ("floats", "strings"):
        cell = [None if value is None else list(value) for value in values]
        return pd.Series(cell, dtype=object).to_numpy()
    if kind == "string":
        return values.astype(object).to_numpy()
    if kind == "integer" and values.dtype.kind not in "iu":
        numbers = values.to_numpy(np.float64)
        # A cast would round positions and turn NaN into a number.
        if not (numbers == np.floor(numbers)).all() or not np.isfinite(numbers).all():
            _refuse(f"table {table}: {values.name} holds values that are no whole numbers")
    if kind == "float":
        # One NaN and one zero of the many that there are: equal tables have equal bytes.
        floats = values.to_numpy(np.float64) + 0.0
        floats[np.isnan(floats)] = np.nan
        return floats
    return values.to_numpy(_DTYPES[kind])


def _check_evidence(key: EdgeKey, frame: pd.DataFrame) -> None:
    for column in ("p", "q"):
        values = frame[column].to_numpy()
        if not ((values > 0) & (values <= 1)).all():
            _refuse(f"{key}: every claim needs a {column} in (0, 1]; a p of 0 or NaN is none")
    for column in ("null", "method", "dataset", "dataset_hash", "encoder_hash", "code_version"):
        if not _all_text(frame[column]):
            _refuse(f"{key}: every claim needs {column}")
    if not np.isfinite(frame["effect"]).all():
        _refuse(f"{key}: every claim needs a finite effect")


def _all_text(values: pd.Series) -> bool:
    kind = pd.api.types.infer_dtype(values, skipna=False)
    return kind in ("string", "empty") and not (values == "").any()


def _concat(frames: Iterable[pd.DataFrame | None]) -> pd.DataFrame:
    present = [frame for frame in frames if frame is not None and len(frame)]
    if not present:
        return next(frame for frame in frames if frame is not None)
    return pd.concat(present, ignore_index=True)


def _last(frame: pd.DataFrame, identity: list[str]) -> pd.DataFrame:
    return frame.drop_duplicates(identity, keep="last").reset_index(drop=True)


def _positions(frame: pd.DataFrame, key: EdgeKey, nodes: dict[str, pd.DataFrame]) -> pd.DataFrame:
    ends = {
        column: pd.Index(nodes[label]["key"]).get_indexer(frame[column])
        for column, label in (("source", key[0]), ("target", key[2]))
    }
    return frame.assign(**ends).reset_index(drop=True)


def _hash_rows(digest: "hashlib._Hash", name: str, frame: pd.DataFrame) -> None:
    """Add a table to the digest: its name, columns, and the sum of its row hashes."""
    text = frame.copy()
    for column in text:
        if text[column].dtype == object:
            text[column] = [
                value if isinstance(value, str) else json.dumps(value) for value in text[column]
            ]
    rows = np.sort(pd.util.hash_pandas_object(text, index=False).to_numpy())
    digest.update(json.dumps([name, list(map(str, frame.columns)), len(frame)]).encode())
    digest.update(rows.tobytes())
