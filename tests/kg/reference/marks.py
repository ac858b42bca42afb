"""Reference answers on markers, shifts and enrichment: claims on states and cell types."""

from reference.walk import GROUPS, Edge, Row, View, fields, of, ordered

from scypher.kg.schema import edge_type

_EVIDENCE = [item.name for item in edge_type("State", "MARKED_BY", "Gene").properties]


def _marked(view: View, group: str) -> list[Edge]:
    found = view.edges("MARKED_BY", GROUPS, ("Gene",))
    return [edge for edge in found if view.called(edge[0], group)]


def _state_first(edge: Edge) -> bool:
    return edge[0][0] != "State"


def markers(view: View, *, group: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which genes mark a state or a cell type?"""
    found = [
        edge
        for edge in _marked(view, group)
        if of(dataset, edge[1]["dataset"]) and edge[1]["rank"] <= limit
    ]
    return [
        {
            "group": view.shown(node),
            "group_kind": node[0],
            "gene": gene[1],
            "symbol": view.get(gene, "symbol"),
            **fields(
                values,
                *("rank", "attention_lift", "attention_z", "attention_q", "auroc"),
                *("log2_fold_change", "detected_in", "detected_out", "expression_q"),
                *("donors_agreeing", "n_donors", "verdict"),
            ),
        }
        for node, values, gene in ordered(
            found,
            lambda edge: (
                *(_state_first(edge), edge[0][1], edge[1]["dataset"]),
                *(edge[1]["rank"], edge[2][1]),
            ),
        )
    ]


def marker_baselines(view: View, *, group: str, limit: int, dataset: str) -> list[Row]:
    """Answer: how do the rankings by attention and by expression compare with the consensus?"""
    ranks = ("rank", "attention_rank", "expression_rank")
    found = [
        edge
        for edge in _marked(view, group)
        if of(dataset, edge[1]["dataset"]) and min(edge[1][name] for name in ranks) <= limit
    ]
    return [
        {
            "group": view.shown(node),
            "gene": gene[1],
            "symbol": view.get(gene, "symbol"),
            **fields(values, *ranks, "auroc", "attention_lift", "verdict"),
        }
        for node, values, gene in ordered(
            found,
            lambda edge: (
                *(_state_first(edge), edge[0][1], edge[1]["dataset"]),
                *(edge[1]["rank"], edge[2][1]),
            ),
        )
    ]


def marker_evidence(view: View, *, group: str, gene: str) -> list[Row]:
    """Answer: what is the evidence that a gene marks a state or a cell type?"""
    found = [edge for edge in _marked(view, group) if view.called(edge[2], gene)]
    return [
        {
            "group": view.shown(node),
            "group_kind": node[0],
            "gene": target[1],
            "symbol": view.get(target, "symbol"),
            **fields(values, *_EVIDENCE),
            "stale": values.get("stale") or "",
        }
        for node, values, target in ordered(
            found,
            lambda edge: (_state_first(edge), edge[0][1], edge[1]["dataset"], edge[2][1]),
        )
    ]


def states_marked_by(view: View, *, gene: str) -> list[Row]:
    """Answer: which states and cell types does a gene mark?"""
    found = view.edges("MARKED_BY", GROUPS, ("Gene",))
    return [
        {
            "gene": target[1],
            "symbol": view.get(target, "symbol"),
            "group": view.shown(node),
            "group_kind": node[0],
            "label": view.get(node, "label"),
            **fields(values, "rank", "auroc", "attention_lift", "verdict", "dataset"),
        }
        for node, values, target in ordered(
            [edge for edge in found if view.called(edge[2], gene)],
            lambda edge: (edge[1]["rank"], *edge[0], edge[1]["dataset"], edge[2][1]),
        )
    ]


def shared_markers(view: View, *, first: str, second: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which genes mark both of two states or cell types?"""
    pairs = [
        (one, two)
        for one in _marked(view, first)
        for two in _marked(view, second)
        # One claim cannot be both sides of a comparison.
        if one is not two
        and one[2] == two[2]
        and one[1]["dataset"] == two[1]["dataset"]
        and of(dataset, one[1]["dataset"])
    ]
    pairs.sort(
        key=lambda pair: (
            *(pair[0][1]["rank"] + pair[1][1]["rank"], pair[0][2][1], pair[0][1]["dataset"]),
            *(pair[0][0][1], pair[1][0][1], pair[0][0][0], pair[1][0][0]),
        )
    )
    return [
        {
            "gene": gene[1],
            "symbol": view.get(gene, "symbol"),
            "rank_first": one["rank"],
            "rank_second": two["rank"],
            "auroc_first": one.get("auroc"),
            "auroc_second": two.get("auroc"),
            "verdict_first": one["verdict"],
            "verdict_second": two["verdict"],
            "dataset": one["dataset"],
        }
        for (_, one, gene), (_, two, _) in pairs[:limit]
    ]


def shifted_genes(view: View, *, group: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which genes change between two conditions within a state or cell type?"""
    found = [
        edge
        for edge in view.edges("SHIFTS", GROUPS, ("Gene",))
        if view.called(edge[0], group)
        and of(dataset, edge[1]["dataset"])
        and edge[1]["rank"] <= limit
    ]
    return [
        {
            "group": view.shown(node),
            "gene": gene[1],
            "symbol": view.get(gene, "symbol"),
            **fields(
                values,
                *("condition", "reference", "rank", "log2_fold_change", "q", "donors_agreeing"),
                *("n_donors", "attention_difference", "attention_q", "null", "method"),
            ),
        }
        for node, values, gene in ordered(
            found,
            lambda edge: (
                *(_state_first(edge), edge[0][1], edge[1]["dataset"], edge[1]["condition"]),
                *(edge[1]["reference"], edge[1]["rank"], edge[2][1]),
            ),
        )
    ]


_ENRICHMENT = ("overlap", "set_size", "query_size", "universe", "odds_ratio", "p", "q", "genes")


def _enriched(view: View, labels: tuple[str, ...], name: str) -> list[Edge]:
    found = view.edges("ENRICHED_IN", labels, ("GeneSet",))
    return ordered(
        [edge for edge in found if view.called(edge[0], name)],
        lambda edge: (
            *(edge[1]["q"], edge[1]["p"], _state_first(edge), edge[0][1], edge[1]["of"]),
            *(edge[2][1], edge[1]["dataset"]),
        ),
    )


def _enrichment_row(view: View, edge: Edge) -> Row:
    return {
        "gene_set": view.get(edge[2], "name"),
        "library": view.get(edge[2], "library"),
        **fields(edge[1], *_ENRICHMENT),
    }


def _enrichment(view: View, group: str, limit: int, dataset: str, *, markers: bool) -> list[Row]:
    found = [
        edge
        for edge in _enriched(view, GROUPS, group)
        if (edge[1]["of"] == "markers") == markers and of(dataset, edge[1]["dataset"])
    ]
    rows = []
    for edge in found[:limit]:
        row = {"group": view.shown(edge[0]), "group_kind": edge[0][0]}
        row |= {} if markers else {"of": edge[1]["of"]}
        rows.append(row | _enrichment_row(view, edge))
    return rows


def state_enrichment(view: View, *, group: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which gene sets do the markers of a state or a cell type over-represent?"""
    return _enrichment(view, group, limit, dataset, markers=True)


def shift_enrichment(view: View, *, group: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which gene sets do the genes over-represent that rise between two conditions?"""
    return _enrichment(view, group, limit, dataset, markers=False)


def module_enrichment(view: View, *, module: str, limit: int, dataset: str) -> list[Row]:
    """Answer: which gene sets does a module over-represent?"""
    found = [
        edge
        for edge in _enriched(view, ("Module",), module)
        if of(dataset, view.get(edge[0], "dataset"))
    ]
    return [{"module": edge[0][1], **_enrichment_row(view, edge)} for edge in found[:limit]]
