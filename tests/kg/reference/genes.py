"""Reference answers on modules and the network of co-regulated genes."""

from itertools import pairwise, product

import networkx as nx
from reference.walk import Edge, Node, Row, View, down, fields, of, ordered

LONGEST = 12
"""Edges of the longest path that is looked for."""


def modules(view: View, *, dataset: str) -> list[Row]:
    """Answer: which modules are there?"""
    rows = [
        {"module": node[1]}
        | fields(
            view.graph.nodes[node],
            *("name", "dataset", "context", "size", "n_cells", "stability", "donor_stability"),
            *("mean_weight", "null_q"),
        )
        for node in view.nodes("Module")
        if of(dataset, view.get(node, "dataset"))
    ]
    return sorted(rows, key=lambda row: (row["dataset"], -row["size"], row["module"]))


def genes_of_module(view: View, *, module: str, dataset: str) -> list[Row]:
    """Answer: which genes are in a module?"""
    found = [
        edge
        for edge in _memberships(view)
        if view.called(edge[2], module) and of(dataset, view.get(edge[2], "dataset"))
    ]
    return [
        {
            "module": home[1],
            "gene": gene[1],
            "symbol": view.get(gene, "symbol"),
            "strength": values.get("strength"),
        }
        for gene, values, home in ordered(
            found, lambda edge: (edge[2][1], down(edge[1].get("strength")), edge[0][1])
        )
    ]


def modules_of_gene(view: View, *, gene: str) -> list[Row]:
    """Answer: in which co-regulated modules is a gene?"""
    found = [edge for edge in _memberships(view) if view.called(edge[0], gene)]
    return [
        {"gene": member[1], "module": home[1], "strength": values.get("strength")}
        | fields(view.graph.nodes[home], "name", "dataset", "context", "size", "stability")
        for member, values, home in ordered(
            found, lambda edge: (down(edge[1].get("strength")), edge[2][1], edge[0][1])
        )
    ]


def regulation(view: View, *, gene: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which transcription factors act on a gene, and on which genes does it act?"""
    found = [
        edge
        for edge in view.edges("REGULATES", ("Gene",), ("Gene",))
        if (view.called(edge[0], gene) or view.called(edge[2], gene))
        and of(dataset, edge[1]["dataset"])
    ]

    def place(edge: Edge) -> tuple[object, ...]:
        q = edge[1].get("correlation_q")
        return (
            *(q is None, 0.0 if q is None else q, down(edge[1].get("correlation"))),
            *(edge[0][1], edge[2][1]),
            *(edge[1][name] for name in ("dataset", "context", "resource")),
        )

    named = (
        *("sign", "resource", "context", "correlation", "correlation_q", "sign_agrees"),
        *("n_cells", "null"),
    )
    return [
        {
            "regulator": factor[1],
            "regulator_symbol": view.get(factor, "symbol"),
            "target": target[1],
            "target_symbol": view.get(target, "symbol"),
            **fields(values, *named),
        }
        for factor, values, target in ordered(found, place)[:limit]
    ]


def regulators(view: View, *, limit: int, dataset: str) -> list[Row]:
    """Answer: which transcription factors vary with their targets as a resource says?"""
    found: dict[tuple[Node, str, str, str], list[Edge]] = {}
    for edge in view.edges("REGULATES", ("Gene",), ("Gene",)):
        if of(dataset, edge[1]["dataset"]):
            key = (edge[0], *(edge[1][name] for name in ("dataset", "context", "resource")))
            found.setdefault(key, []).append(edge)
    rows = []
    for (factor, data, context, resource), edges in found.items():
        told = [(edge[1].get("correlation_q"), edge[2]) for edge in edges]
        told.sort(key=lambda item: (item[0] is None, item[0] or 0.0, item[1][1]))
        signs = [edge[1].get("sign_agrees") for edge in edges]
        row = {
            "regulator": factor[1],
            "symbol": view.get(factor, "symbol"),
            "resource": resource,
            "context": context,
            "n_targets": len(edges),
            "n_correlated": sum(q is not None and q < 0.05 for q, _ in told),
            "n_agreeing": signs.count("yes"),
            "n_contrary": signs.count("no"),
            "targets": [view.get(target, "symbol") for _, target in told[:5]],
        }
        order = (-row["n_agreeing"], -row["n_correlated"], row["n_targets"])
        rows.append(((*order, factor[1], data, context, resource), row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])[:limit]]


def gene_path(view: View, *, first: str, second: str) -> list[Row]:
    """Answer: by which co-regulated genes are two genes linked?

    Of all shortest paths the one with the largest sum of correlations, an unknown one being worse
    than any, then the first by keys.
    """
    genes = sorted(view.nodes("Gene"))
    starts = [node for node in genes if view.called(node, first)][:1]
    ends = [node for node in genes if node not in starts and view.called(node, second)][:1]
    if not starts or not ends:
        return []
    network = nx.MultiGraph()
    network.add_nodes_from([*starts, *ends])
    for source, values, target in view.edges("CO_REGULATED_WITH", ("Gene",), ("Gene",)):
        network.add_edge(source, target, weight=values.get("correlation"))
    if not nx.has_path(network, starts[0], ends[0]):
        return []
    candidates = []
    for path in nx.all_shortest_paths(network, starts[0], ends[0]):
        links = [[values["weight"] for values in network[a][b].values()] for a, b in pairwise(path)]
        keys = "".join(f"{node[1]} " for node in path)
        for weights in product(*links):
            strength = 0.0
            for weight in weights:
                strength += -2.0 if weight is None else weight
            candidates.append((-strength, keys, path, weights))
    _, _, path, weights = min(candidates, key=lambda item: item[:2])
    if len(weights) > LONGEST:
        return []
    return [
        {"step": step, "gene": node[1], "symbol": view.get(node, "symbol"), "weight": weight}
        for step, (node, weight) in enumerate(zip(path, [*weights, None], strict=True))
    ]


def _memberships(view: View) -> list[Edge]:
    return view.edges("MEMBER_OF", ("Gene",), ("Module",))
