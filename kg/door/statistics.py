"""Rows and degrees of a graph, as the estimate of a query needs them.

The mean degree of a node that was reached by an edge is not the mean over nodes but
sum(degree^2) / sum(degree): a hub is reached as often as it has edges. With it, the expected number
of rows of two hops is exact for independent ends (the friendship paradox; Feld, 1991).
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from ...encoders.errors import InputError
from ..graph import EdgeKey, Graph
from ..schema import node_type


@dataclass(frozen=True)
class Ends:
    """Degrees at one end of an edge table.

    ``nodes`` have an edge, ``squares`` is the sum of their squared degrees, ``largest`` the degree
    of the greatest hub.
    """

    nodes: int = 0
    squares: float = 0.0
    largest: int = 0


@dataclass(frozen=True)
class EdgeStatistics:
    """Rows of an edge table, with the degrees of its sources (out) and targets (in)."""

    rows: int
    sources: Ends
    targets: Ends

    def degree(self, *, out: bool) -> float:
        """Return the mean degree of a node reached by such an edge: sum(d^2) / sum(d)."""
        end = self.sources if out else self.targets
        return end.squares / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Statistics:
    """Rows per node label and per edge table (source label, type, target label)."""

    nodes: dict[str, int] = field(default_factory=dict)
    edges: dict[EdgeKey, EdgeStatistics] = field(default_factory=dict)

    @classmethod
    def combine(cls, parts: Iterable["Statistics"]) -> Self:
        r"""Return statistics of the union of graphs that share nodes, none of them too small.

        Rows add up. So do the squared degrees of nodes that belong to one data set; where ends are
        shared, the sum over parts obeys
        :math:`\sqrt{\sum (d_1 + d_2)^2} \le \sqrt{\sum d_1^2} + \sqrt{\sum d_2^2}`, and the right
        side is taken.
        """
        nodes: dict[str, int] = {}
        edges: dict[EdgeKey, EdgeStatistics] = {}
        for part in parts:
            for label, rows in part.nodes.items():
                nodes[label] = nodes.get(label, 0) + rows
            for key, table in part.edges.items():
                known = edges.get(key)
                edges[key] = _added(key, known, table) if known else table
        return cls(nodes, edges)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold.

        ``rows`` has every table, edges as ``Source-TYPE-Target``; ``degrees`` the two ends of each
        edge table.
        """
        rows = {"-".join(key): table.rows for key, table in self.edges.items()}
        degrees = {
            "-".join(key): {"sources": asdict(table.sources), "targets": asdict(table.targets)}
            for key, table in self.edges.items()
        }
        return {"rows": {**self.nodes, **rows}, "degrees": degrees}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_dict` gave.

        Raises
        ------
        InputError
            The values are of another form.
        """
        try:
            rows = {str(name): int(count) for name, count in values["rows"].items()}
            edges: dict[EdgeKey, EdgeStatistics] = {}
            for name, table in values["degrees"].items():
                source, type_, target = name.split("-")
                ends = (Ends(**table["sources"]), Ends(**table["targets"]))
                edges[(source, type_, target)] = EdgeStatistics(rows.pop(name), *ends)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = (
                f"These are no statistics of a graph ({type(error).__name__}: {error}); what "
                "to_dict gave was expected. Measure the graph again."
            )
            raise InputError(message) from error
        return cls(rows, edges)

    def to_json(self) -> str:
        """Return the statistics as JSON; equal statistics give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what :meth:`to_json` wrote.

        Raises
        ------
        InputError
            The text is something else.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            message = (
                f"These are no statistics of a graph ({error}); the JSON that to_json wrote was "
                "expected. Measure the graph again."
            )
            raise InputError(message) from error
        return cls.from_dict(values)


def measure(graph: Graph) -> Statistics:
    """Return rows and degrees of every table of a graph, in time linear in its edges."""
    nodes = {label: len(frame) for label, frame in graph.nodes.items()}
    edges = {
        key: EdgeStatistics(
            len(frame), _ends(frame["source"].to_numpy()), _ends(frame["target"].to_numpy())
        )
        for key, frame in graph.edges.items()
    }
    return Statistics(nodes, edges)


def _ends(positions: "np.ndarray[Any, Any]") -> Ends:
    if not len(positions):
        return Ends()
    degrees = np.bincount(positions)
    squares = float(np.square(degrees, dtype=np.float64).sum())
    return Ends(int(np.count_nonzero(degrees)), squares, int(degrees.max()))


def _added(key: EdgeKey, first: EdgeStatistics, second: EdgeStatistics) -> EdgeStatistics:
    return EdgeStatistics(
        first.rows + second.rows,
        _joined(key[0], first.sources, second.sources),
        _joined(key[2], first.targets, second.targets),
    )


def _joined(label: str, first: Ends, second: Ends) -> Ends:
    nodes = first.nodes + second.nodes
    if node_type(label).owned:
        largest = max(first.largest, second.largest)
        return Ends(nodes, first.squares + second.squares, largest)
    squares = (math.sqrt(first.squares) + math.sqrt(second.squares)) ** 2
    return Ends(nodes, squares, first.largest + second.largest)
