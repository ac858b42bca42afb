"""Statistics of an atlas of 100,000 cells, as its size and hubs would give them."""

from scypher.kg.door.statistics import EdgeStatistics, Ends, Statistics
from scypher.kg.graph import EdgeKey
from scypher.kg.schema import METADATA_EDGES

_CELLS, _GENES = 100_000, 20_000

NODES = {
    **{"Dataset": 1, "Cell": _CELLS, "Code": 512, "State": 40, "Gene": _GENES, "Module": 1000},
    **{"GeneSet": 3000, "CellType": 30, "Tissue": 5, "Disease": 3, "Sex": 2, "AgeGroup": 10},
    **{"Donor": 50, "Batch": 50, "Condition": 2},
}


def _table(rows: int, sources: int, targets: int, *, hubs: float = 1.0) -> EdgeStatistics:
    """Return a table with equal sources, and targets ``hubs`` times as unequal as equal ones."""
    out, into = rows / sources, rows / targets
    return EdgeStatistics(
        rows,
        Ends(sources, rows * out, round(out) + 1),
        Ends(targets, rows * into * hubs, round(into * hubs) + 1),
    )


_EDGES: dict[EdgeKey, EdgeStatistics] = {
    ("Dataset", "MEASURES", "Gene"): _table(_GENES, 1, _GENES),
    ("Cell", "EXPRESSES", "Gene"): _table(6_400_000, _CELLS, _GENES, hubs=60),
    ("Cell", "ATTENDS_TO", "Gene"): _table(6_400_000, _CELLS, _GENES, hubs=60),
    ("State", "EXPRESSES", "Gene"): _table(800_000, 40, _GENES),
    ("Cell", "HAS_CODE", "Code"): _table(_CELLS, _CELLS, 512, hubs=5),
    ("Cell", "IN_STATE", "State"): _table(2 * _CELLS, _CELLS, 40, hubs=4),
    ("Code", "IN_STATE", "State"): _table(1024, 512, 40),
    ("State", "PART_OF", "State"): _table(30, 30, 10),
    ("State", "CONNECTED_TO", "State"): _table(200, 38, 38),
    ("State", "INTERMEDIATE_BETWEEN", "State"): _table(100, 20, 20),
    ("State", "MONOTONE_ALONG", "Gene"): _table(4000, 20, 3000),
    ("State", "FLIPS_WITHOUT", "Gene"): _table(2000, 40, 500),
    ("State", "DIFFERS_IN", "Condition"): _table(80, 40, 2),
    ("State", "DIFFERS_IN", "Disease"): _table(120, 40, 3),
    ("Gene", "CO_REGULATED_WITH", "Gene"): _table(100_000, 15_000, 15_000, hubs=3),
    ("Gene", "MEMBER_OF", "Module"): _table(40_000, 15_000, 1000),
    ("Module", "ENRICHED_IN", "GeneSet"): _table(3000, 1000, 2000),
    **{
        (group, type_, "Gene"): _table(rows, NODES[group], _GENES)
        for group, rows in (("State", 800_000), ("CellType", 600_000))
        for type_ in ("MARKED_BY", "SHIFTS")
    },
    **{
        (group, "ENRICHED_IN", "GeneSet"): _table(rows, NODES[group], 3000)
        for group, rows in (("State", 12_000), ("CellType", 9000))
    },
    **{
        ("Cell", type_, label): _table(_CELLS, _CELLS, NODES[label], hubs=2)
        for label, type_ in METADATA_EDGES.items()
    },
    **{
        ("State", "ATTENDS_TO", label): _table(40 * NODES[label], 40, NODES[label])
        for label in METADATA_EDGES
    },
}

ATLAS = Statistics(NODES, _EDGES)
