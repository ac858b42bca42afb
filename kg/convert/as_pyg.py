"""A graph as PyG and back."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..graph import EdgeKey, Graph
from .columns import (
    LISTS,
    NUMBERS,
    pack_lists,
    pack_text,
    properties,
    refuse,
    unpack_lists,
    unpack_text,
)

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

_STORES = {"float": "floats", "integer": "integers", "boolean": "booleans"}


def to_pyg(graph: Graph) -> "HeteroData":
    """Return a PyG graph that models can be trained on and that loses nothing.

    Every node and edge store holds:

    ``x`` (nodes), ``edge_attr`` (edges)
        All numbers as float32, for models; ``columns`` names them.
    ``floats``, ``integers``, ``booleans``
        The same numbers in float64, int64 and bool, a column per property.
    ``text``
        Index (int64) of each text among the distinct texts of its property, a column per property.
    ``exact``
        The rest: ``names`` (kind -> names of the properties, in the order of the columns),
        ``texts`` (property -> distinct texts), ``json`` (property -> whether these are JSON),
        ``lists`` (property -> list of lists or None).

    Nodes also have their ``key`` as list, edges their ``edge_index``. All is of plain types: what
    ``torch.save`` writes, ``torch.load(..., weights_only=True)`` reads inside of
    ``torch.serialization.safe_globals([BaseStorage, NodeStorage, EdgeStorage])``, classes of
    :mod:`torch_geometric.data.storage`.
    """
    import torch
    from torch_geometric.data import HeteroData

    data = HeteroData()
    for label, frame in graph.nodes.items():
        data[label].key = frame["key"].tolist()
        data[label].num_nodes = len(frame)
        _fill(data[label], "x", frame, label)
    for key, frame in graph.edges.items():
        ends = frame[["source", "target"]].to_numpy(np.int64).T
        data[key].edge_index = torch.from_numpy(np.ascontiguousarray(ends))
        _fill(data[key], "edge_attr", frame.drop(columns=["source", "target"]), "-".join(key))
    return data


def from_pyg(data: "HeteroData") -> Graph:
    """Return the graph that :func:`to_pyg` was given.

    It is read from ``edge_index`` and the exact columns; ``x`` and ``edge_attr`` are features of
    models and may hold anything.

    Raises
    ------
    InputError
        A store lacks what :func:`to_pyg` wrote, or the tables are no valid graph.
    """
    nodes = {label: _frame(data[label], label) for label in data.node_types}
    edges: dict[EdgeKey, pd.DataFrame] = {}
    for key in data.edge_types:
        frame = _frame(data[key], "-".join(key))
        ends = data[key].edge_index.cpu().numpy()
        edges[key] = frame.assign(source=ends[0], target=ends[1])
    return Graph(nodes, edges)


def _fill(store: Any, features: str, frame: pd.DataFrame, table: str) -> None:
    import torch

    names: dict[str, list[str]] = {}
    for item in properties(table):
        names.setdefault(item.kind, []).append(item.name)
    numbers = frame.select_dtypes("number")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite to a model
        store[features] = torch.from_numpy(numbers.to_numpy(np.float32))
    store.columns = numbers.columns.tolist()
    for kind, dtype in NUMBERS.items():
        held = frame[names.get(kind, [])].to_numpy(dtype)
        store[_STORES[kind]] = torch.from_numpy(np.ascontiguousarray(held))
    texts = names.get("string", [])
    codes = np.empty((len(frame), len(texts)), dtype=np.int64)
    values: dict[str, list[str]] = {}
    as_json: dict[str, bool] = {}
    for position, name in enumerate(texts):
        packed, as_json[name] = pack_text(frame[name])
        codes[:, position], distinct = pd.factorize(packed)
        values[name] = distinct.tolist()
    store.text = torch.from_numpy(codes)
    # One dict: PyG takes a list as long as there are rows for a value per row.
    store.exact = {
        "names": names,
        "texts": values,
        "json": as_json,
        "lists": {
            # By way of JSON, as the numbers may be numpy's, which torch does not read back.
            name: unpack_lists(pack_lists(frame[name])).tolist()
            for kind in LISTS
            for name in names.get(kind, [])
        },
    }


def _frame(store: Any, table: str) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    try:
        exact = store.exact
        for kind, attribute in _STORES.items():
            values = store[attribute].cpu().numpy()
            columns |= {
                name: values[:, position]
                for position, name in enumerate(exact["names"].get(kind, []))
            }
        codes = store.text.cpu().numpy()
        for position, name in enumerate(exact["names"].get("string", [])):
            texts = np.array([*exact["texts"][name], None], dtype=object)
            columns[name] = unpack_text(texts[codes[:, position]], is_json=exact["json"][name])
        # Series of objects: pandas would take lists of one length for a table.
        columns |= {name: pd.Series(rows, dtype=object) for name, rows in exact["lists"].items()}
        size = len(codes)
    except (AttributeError, KeyError, IndexError) as error:
        refuse(
            f"The store of {table} is not as to_pyg() wrote it ({error}); "
            "floats, integers, booleans, text and exact were expected. Keep them."
        )
    return pd.DataFrame(columns, index=range(size))
