"""Reference answers on likeness and names: what the encoder places together, what a text finds."""

import math
from collections.abc import Callable
from typing import Any

from reference.walk import Node, Row, View, fields, of

MOST = 300
"""Genes like another that are told at the most."""

_MARKS = '_-/(),.:;"\t\n\r'


def cosine(first: list[float], second: list[float]) -> float:
    """Return the cosine of two vectors."""
    return _dot(first, second) / math.sqrt(_dot(first, first) * _dot(second, second))


def _dot(first: list[float], second: list[float]) -> float:
    # From left to right, as both engines add: sum() of a newer Python rounds otherwise.
    total = 0.0
    for x, y in zip(first, second, strict=True):
        total += x * y
    return total


def _near(
    view: View, node: Node, name: str, wanted: Callable[[Node], bool]
) -> list[tuple[float, Node]]:
    """Return similarity and node of the nodes whose vectors can be compared, nearest first."""
    mine = view.get(node, name)
    found = []
    for other in view.nodes(node[0]):
        theirs = view.get(other, name)
        if other != node and theirs and any(theirs) and len(theirs) == len(mine) and wanted(other):
            found.append((cosine(mine, theirs), other))
    return sorted(found, key=lambda item: (-item[0], item[1][1]))


def _has(view: View, node: Node, name: str) -> bool:
    return any(view.get(node, name) or ())


def similar_genes(view: View, *, gene: str, limit: int) -> list[Row]:
    """Answer: which genes does the encoder place next to a gene?"""
    called = [
        node
        for node in view.nodes("Gene")
        if view.called(node, gene) and _has(view, node, "embedding")
    ]
    if not called:
        return []
    asked = min(called, key=lambda node: (node[1] != gene, node[1]))
    return [
        {"gene": node[1], "symbol": view.get(node, "symbol"), "similarity": similarity}
        for similarity, node in _near(view, asked, "embedding", lambda other: True)[
            : min(limit, MOST)
        ]
    ]


def similar_codes(view: View, *, code: str, limit: int) -> list[Row]:
    """Answer: which codes lie next to a code in the codebook?"""
    asked = ("Code", code)
    if asked not in view.graph or not _has(view, asked, "vector"):
        return []
    book = code.split(":")[0]
    near = _near(view, asked, "vector", lambda other: other[1].split(":")[0] == book)
    return [
        {"code": node[1], "similarity": similarity}
        | fields(view.graph.nodes[node], "index", "usage")
        for similarity, node in near[:limit]
    ]


def similar_states(view: View, *, state: str, limit: int, dataset: str, others: bool) -> list[Row]:
    """Answer: which states, of any data set, look like a state to the encoder?"""

    def weights(node: Node) -> Any:
        return view.get(("Dataset", view.get(node, "dataset")), "encoder_hash")

    rows = []
    for node in sorted(view.nodes("State")):
        home, level = (view.get(node, name) for name in ("dataset", "level"))
        if not (view.called(node, state) and of(dataset, home) and _has(view, node, "embedding")):
            continue
        near = [
            (similarity, other)
            for similarity, other in _near(view, node, "embedding", lambda other: True)
            if view.get(other, "level") == level
            and not (others and view.get(other, "dataset") == home)
        ]
        rows += [
            {
                "state": node[1],
                "similar": other[1],
                "same_encoder": weights(node) == weights(other),
                "similarity": similarity,
                **fields(view.graph.nodes[other], "label", "dataset", "size"),
            }
            for similarity, other in near[:limit]
        ]
    return rows


def _words(text: str) -> list[str]:
    for mark in _MARKS:
        text = text.replace(mark, " ")
    return [word for word in text.lower().split(" ") if word]


def _begin(words: list[str], text: str) -> set[int]:
    """Return the places of the words that a word of the text begins with."""
    found = _words(text)
    return {place for place, word in enumerate(words) if any(one.startswith(word) for one in found)}


def find_gene_sets(view: View, *, text: str, limit: int, library: str) -> list[Row]:
    """Answer: which gene sets have these words in their name or description?"""
    words = _words(text)
    rows = []
    for node in view.nodes("GeneSet"):
        values = view.graph.nodes[node]
        in_name = _begin(words, values["name"])
        matched = in_name | _begin(words, values["source"])
        if matched and library in ("", values["library"]):
            row = {
                "gene_set": values["name"],
                "matched": len(matched),
                "n_words": len(words),
                "in_name": len(in_name),
                **fields(values, "library", "size", "source"),
            }
            rows.append(((-len(matched), -len(in_name), values["size"], node[1]), row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])][:limit]


def find_genes(view: View, *, text: str, limit: int) -> list[Row]:
    """Answer: which genes have this in their symbol?"""
    asked = text.lower()
    rows = []
    for node in view.nodes("Gene"):
        symbol = view.get(node, "symbol")
        name = symbol.lower()
        if not asked or not (asked in name or asked == node[1].lower()):
            continue
        match = "prefix" if name.startswith(asked) else "part"
        match = "exact" if asked in (name, node[1].lower()) else match
        row = {"gene": node[1], "symbol": symbol, "match": match}
        row["gene_class"] = view.get(node, "gene_class")
        place = ("exact", "prefix", "part").index(match)
        rows.append(((place, len(symbol), symbol, node[1]), row))
    return [row for _, row in sorted(rows, key=lambda item: item[0])][:limit]
