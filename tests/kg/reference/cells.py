"""Reference answers on cells, data sets and the graph as a whole."""

from collections import Counter
from itertools import product

from reference.walk import Edge, Node, Row, View, down, fields, of, ordered

from scypher.kg.schema import METADATA_EDGES


def _states(view: View, cell: Node, level: int) -> list[str]:
    """Return keys of the states of a cell at a level, or one empty text."""
    found = [edge[2] for edge in view.out(cell, "IN_STATE")]
    return [node[1] for node in found if view.get(node, "level") == level] or [""]


def cell(view: View, *, cell: str) -> list[Row]:
    """Answer: what does the graph know of a cell?"""
    rows = []
    for node in view.nodes("Cell"):
        if not view.called(node, cell):
            continue
        codes = [
            (view.get(code, "index"), values.get("probability"), code[1])
            for _, values, code in view.out(node, "HAS_CODE")
        ] or [(None, None, "")]
        notes = [
            (value[0], value[1], view.get(value, "label"))
            for _, _, value in view.out(node, *METADATA_EDGES.values())
        ] or [("", "", "")]
        for (index, probability, code), state, substate, (kind, key, label) in product(
            codes, _states(view, node, 1), _states(view, node, 2), notes
        ):
            row = {
                "cell": node[1],
                "dataset": view.get(node, "dataset"),
                "code": index,
                "probability": probability,
                "state": state,
                "substate": substate,
                "kind": kind,
                "label": label,
            }
            rows.append(((node[1], kind, key, state, substate, code), row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]


def attended_genes(view: View, *, cell: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which genes are most attended in a cell?"""
    found = _to_genes(view, cell, dataset, "ATTENDS_TO")
    found = ordered(found, lambda edge: (down(edge[1].get("encoder")), edge[0][1], edge[2][1]))
    return [_told(view, edge, "encoder", "graph") for edge in found[:limit]]


def expressed_genes(view: View, *, cell: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which genes does a cell express most?"""
    found = _to_genes(view, cell, dataset, "EXPRESSES")
    found = ordered(found, lambda edge: (edge[1]["rank"], edge[0][1], edge[2][1]))
    return [_told(view, edge, "value", "rank") for edge in found[:limit]]


def _to_genes(view: View, cell: str, dataset: str, kind: str) -> list[Edge]:
    return [
        edge
        for edge in view.edges(kind, ("Cell",), ("Gene",))
        if view.called(edge[0], cell) and of(dataset, view.get(edge[0], "dataset"))
    ]


def _told(view: View, edge: Edge, *names: str) -> Row:
    node, values, gene = edge
    row = {"cell": node[1], "gene": gene[1], "symbol": view.get(gene, "symbol")}
    return row | fields(values, *names)


def cell_map(view: View, *, dataset: str) -> list[Row]:
    """Answer: where on the map is each cell, in which state, with which label?"""
    rows = []
    for node in view.nodes("Cell"):
        if not of(dataset, view.get(node, "dataset")):
            continue
        types = [edge[2] for edge in view.out(node, "ANNOTATED_AS")]
        labels = [(key[1], view.get(key, "label")) for key in types] or [("", "")]
        for state, (key, label) in product(_states(view, node, 1), labels):
            row = {"cell": node[1], "state": state, "label": label}
            row |= fields(view.graph.nodes[node], "x", "y")
            rows.append(((node[1], state, key), row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]


def datasets(view: View) -> list[Row]:
    """Answer: which data sets are in the graph? The time of writing is the store's alone."""
    return [
        {
            "dataset": node[1],
            "complete": True,
            "stale": view.get(node, "stale") or "",
        }
        | fields(
            view.graph.nodes[node],
            *("content_hash", "source", "encoder", "encoder_hash", "parameters", "quality"),
            *("faithfulness", "notes", "code_version", "n_cells", "n_genes"),
        )
        for node in sorted(view.nodes("Dataset"))
    ]


def summary(view: View) -> list[Row]:
    """Answer: how much of what is in the graph?"""
    labels = Counter(node[0] for node in view.graph.nodes)
    types = Counter(
        f"{source[0]}-{kind}-{target[0]}" for source, target, kind in view.graph.edges(data="kind")
    )
    return [
        {"kind": kind, "name": name, "n": counts[name]}
        for kind, counts in (("node", labels), ("edge", types))
        for name in sorted(counts)
    ]
