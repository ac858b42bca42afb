"""Reference answers on which states may talk to each other."""

from reference.walk import Edge, Row, View, down, fields, of, ordered


def _best(edges: list[Edge], limit: int) -> list[Edge]:
    return ordered(
        edges,
        lambda edge: (
            edge[1]["verdict"] != "supported",
            edge[1]["q"],
            down(edge[1].get("score")),
            edge[0][1],
            edge[2][1],
            edge[1]["ligand"],
            edge[1]["receptor"],
        ),
    )[:limit]


def communication(view: View, *, source: str, target: str, limit: int, dataset: str) -> list[Row]:
    """Answer: by which ligands and receptors may a state talk to another?"""
    found = [
        edge
        for edge in view.edges("COMMUNICATES_WITH", ("State",), ("State",))
        if view.called(edge[0], source)
        and view.called(edge[2], target)
        and of(dataset, edge[1]["dataset"])
    ]
    named = (
        *("ligand", "receptor", "pathway", "score", "specificity", "q", "decoy_q"),
        *("donors_agreeing", "n_donors", "verdict"),
    )
    return [
        {"source": sender[1], "target": taker[1]} | fields(values, *named)
        for sender, values, taker in _best(found, limit)
    ]


def pair_communication(
    view: View, *, ligand: str, receptor: str, limit: int, dataset: str
) -> list[Row]:
    """Answer: which states may talk to which by a ligand or receptor?"""
    found = [
        edge
        for edge in view.edges("COMMUNICATES_WITH", ("State",), ("State",))
        if ligand in ("", edge[1]["ligand"])
        and receptor in ("", edge[1]["receptor"])
        and of(dataset, edge[1]["dataset"])
    ]
    return [
        {
            "source": sender[1],
            "source_label": view.get(sender, "label"),
            "target": taker[1],
            "target_label": view.get(taker, "label"),
            **fields(values, "ligand", "receptor", "score", "specificity"),
            **fields(values, "q", "decoy_q", "verdict"),
        }
        for sender, values, taker in _best(found, limit)
    ]
