"""Looking around in a networkx graph of (label, key) nodes, as every reference answer does."""

from collections.abc import Callable
from typing import Any

import networkx as nx

Node = tuple[str, str]
Row = dict[str, Any]
Edge = tuple[Node, Row, Node]
"""Source, properties, target."""

GROUPS = ("State", "CellType")


class View:
    """Nodes by label and edges by type of a graph from ``Graph.to_networkx``."""

    def __init__(self, graph: nx.MultiDiGraph) -> None:
        self.graph = graph
        self._nodes: dict[str, list[Node]] = {}
        self._edges: dict[str, list[Edge]] = {}
        self._out: dict[tuple[Node, str], list[Edge]] = {}
        for node, kind in graph.nodes(data="kind"):
            self._nodes.setdefault(kind, []).append(node)
        for source, target, values in graph.edges(data=True):
            edge = (source, values, target)
            self._edges.setdefault(values["kind"], []).append(edge)
            self._out.setdefault((source, values["kind"]), []).append(edge)

    def nodes(self, label: str) -> list[Node]:
        """Return the nodes of a label."""
        return self._nodes.get(label, [])

    def edges(self, kind: str, sources: tuple[str, ...], targets: tuple[str, ...]) -> list[Edge]:
        """Return the edges of a type between nodes of given labels."""
        return [
            edge
            for edge in self._edges.get(kind, [])
            if edge[0][0] in sources and edge[2][0] in targets
        ]

    def out(self, node: Node, *kinds: str) -> list[Edge]:
        """Return the edges of given types that leave a node."""
        return [edge for kind in kinds for edge in self._out.get((node, kind), [])]

    def get(self, node: Node, name: str) -> Any:
        """Return a property of a node, None where unknown."""
        return self.graph.nodes[node].get(name)

    def called(self, node: Node, text: str) -> bool:
        """Return whether a text is the key of a node, or its name, symbol, label or barcode."""
        label, key = node
        other = {"Gene": "symbol", "CellType": "label", "Cell": "barcode"}.get(label, "name")
        return text in (key, self.get(node, other))

    def shown(self, node: Node) -> str:
        """Return how a query names a group: the label of a cell type, the key of a state."""
        return str(self.get(node, "label") if node[0] == "CellType" else node[1])


def of(dataset: str, value: Any) -> bool:
    """Return whether a row of data set ``value`` is asked for."""
    return dataset in ("", value)


def down(value: Any) -> tuple[bool, float]:
    """Return a sort key: large values first, unknown ones last."""
    return (value is None, 0.0 if value is None else -value)


def fields(values: Row, *names: str) -> Row:
    """Return properties under their own names, None where unknown."""
    return {name: values.get(name) for name in names}


def ordered(edges: list[Edge], key: Callable[[Edge], Any]) -> list[Edge]:
    """Return edges in an order that must leave no two of them equal."""
    keys = [key(edge) for edge in edges]
    assert len(set(keys)) == len(keys), "the order of the rows is not total"
    return sorted(edges, key=key)
