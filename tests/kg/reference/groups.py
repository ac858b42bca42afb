"""Reference answers on states: what they are, hold, lie next to and attend to."""

from collections import Counter
from itertools import product

from reference.walk import Edge, Node, Row, View, down, fields, of, ordered

from scypher.kg.schema import METADATA, METADATA_EDGES


def _asked(view: View, node: Node, state: str, dataset: str) -> bool:
    return view.called(node, state) and of(dataset, view.get(node, "dataset"))


def _from_state(view: View, kind: str, targets: tuple[str, ...]) -> list[Edge]:
    return view.edges(kind, ("State",), targets)


def states(view: View, *, dataset: str) -> list[Row]:
    """Answer: which states are there?"""
    rows = []
    for node in view.nodes("State"):
        values = view.graph.nodes[node]
        if not of(dataset, values["dataset"]):
            continue
        for parent in [edge[2][1] for edge in view.out(node, "PART_OF")] or [""]:
            named = fields(
                values,
                *("name", "level", "size", "label", "label_share", "label_outcome"),
                *("label_confidence", "stability", "n_donors", "dataset"),
            )
            rows.append({"state": node[1], "parent": parent} | named)
    return sorted(
        rows,
        key=lambda row: (row["dataset"], row["level"], -row["size"], row["state"], row["parent"]),
    )


def state_composition(view: View, *, state: str, dataset: str) -> list[Row]:
    """Answer: of which labels, donors and other metadata is a state made?"""
    counts: Counter[tuple[Node, Node]] = Counter()
    for cell, _, node in view.edges("IN_STATE", ("Cell",), ("State",)):
        if _asked(view, node, state, dataset):
            for _, _, value in view.out(cell, *METADATA_EDGES.values()):
                counts[node, value] += 1
    return [
        {
            "state": node[1],
            "kind": value[0],
            "label": view.get(value, "label"),
            "n_cells": n,
            "share": n / view.get(node, "size"),
        }
        for (node, value), n in sorted(
            counts.items(),
            key=lambda item: (item[0][0][1], item[0][1][0], -item[1], item[0][1][1]),
        )
    ]


def state_attention(view: View, *, state: str, dataset: str) -> list[Row]:
    """Answer: which metadata do the cells of a state attend to?"""
    found = _from_state(view, "ATTENDS_TO", tuple(METADATA.values()))
    return [
        {
            "state": node[1],
            "kind": value[0],
            "label": view.get(value, "label"),
            **fields(values, "weight", "lift", "z", "q", "n_cells"),
        }
        for node, values, value in ordered(
            [edge for edge in found if _asked(view, edge[0], state, dataset)],
            lambda edge: (edge[0][1], down(edge[1].get("weight")), *edge[2]),
        )
    ]


def state_neighbours(view: View, *, state: str, dataset: str) -> list[Row]:
    """Answer: which states lie next to a state?"""
    found = _from_state(view, "CONNECTED_TO", ("State",))
    both = found + [(target, values, source) for source, values, target in found]
    return [
        {
            "state": node[1],
            "neighbour": other[1],
            "label": view.get(other, "label"),
            "connectivity": values.get("connectivity"),
        }
        for node, values, other in ordered(
            [edge for edge in both if _asked(view, edge[0], state, dataset)],
            lambda edge: (edge[0][1], down(edge[1].get("connectivity")), edge[2][1]),
        )
    ]


def state_abundance(view: View, *, dataset: str) -> list[Row]:
    """Answer: which states are more frequent under a condition or disease?"""
    found = _from_state(view, "DIFFERS_IN", ("Condition", "Disease"))
    return [
        {
            "state": node[1],
            "label": view.get(node, "label"),
            "value": view.get(value, "label"),
            **fields(
                values,
                *("reference", "share", "share_reference", "donors_with"),
                *("donors_with_reference", "presence_q", "n_donors", "p", "q"),
            ),
        }
        for node, values, value in ordered(
            [edge for edge in found if of(dataset, view.get(edge[0], "dataset"))],
            lambda edge: (
                *(edge[1]["q"], edge[0][1], edge[2][1], edge[1]["reference"]),
                edge[2][0],
            ),
        )
    ]


def counterfactuals(view: View, *, state: str, dataset: str) -> list[Row]:
    """Answer: which genes, cut from the cells of a state, change their codes?"""
    found = _from_state(view, "FLIPS_WITHOUT", ("Gene",))
    return [
        {
            "state": node[1],
            "gene": gene[1],
            "symbol": view.get(gene, "symbol"),
            **fields(
                values,
                *("flipped", "state_flipped", "null_mean", "z", "p", "q"),
                *("goes_to", "to_share", "n_cells"),
            ),
        }
        for node, values, gene in ordered(
            [edge for edge in found if _asked(view, edge[0], state, dataset)],
            lambda edge: (edge[0][1], edge[1]["q"], down(edge[1].get("flipped")), edge[2][1]),
        )
    ]


def intermediate_states(view: View, *, dataset: str) -> list[Row]:
    """Answer: which states lie between two others, and what was tested?"""
    rows = []
    for node in view.nodes("State"):
        if not of(dataset, view.get(node, "dataset")):
            continue
        ends = view.out(node, "INTERMEDIATE_BETWEEN")
        for (_, one, first), (_, two, second) in product(ends, ends):
            if first[1] < second[1] and one["other"] == second[1] and two["other"] == first[1]:
                rows.append(
                    {
                        "state": node[1],
                        "label": view.get(node, "label"),
                        "first": first[1],
                        "second": second[1],
                        "soft_first": one.get("soft"),
                        "soft_second": two.get("soft"),
                        **fields(
                            one,
                            *("verdict", "connectivity", "doublet_score", "library_ratio"),
                            *("mixture_r2", "own_genes", "n_cells", "n_donors", "p", "q"),
                            "reason",
                        ),
                    }
                )
    return sorted(
        rows,
        key=lambda row: (down(row["connectivity"]), row["state"], row["first"], row["second"]),
    )


def path_genes(view: View, *, state: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which genes rise or fall through an intermediate state?"""
    found = [
        edge
        for edge in _from_state(view, "MONOTONE_ALONG", ("Gene",))
        if _asked(view, edge[0], state, dataset)
    ]
    taken: Counter[tuple[str, str, str]] = Counter()
    rows = []
    for node, values, gene in ordered(
        found,
        lambda edge: (
            *(edge[0][1], edge[1]["first"], edge[1]["second"]),
            *(down(None if edge[1].get("rho") is None else abs(edge[1]["rho"])), edge[2][1]),
        ),
    ):
        path = (node[1], values["first"], values["second"])
        taken[path] += 1
        if taken[path] <= limit:
            rows.append(
                {
                    "state": node[1],
                    "gene": gene[1],
                    "symbol": view.get(gene, "symbol"),
                    **fields(values, "first", "second", "rho", "q", "donors_agreeing", "n_donors"),
                }
            )
    return rows
