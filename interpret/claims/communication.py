"""Ligand-receptor pairs by which states may talk to each other, as edges."""

import numpy as np
import pandas as pd
from scipy import sparse

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..communication.groups import SIGNIFICANT, communicate
from ..communication.ligand_receptor import Pairs, locate_pairs
from ..communication.names import with_names
from .base import Claims, by_level, donors_of

MIN_CELLS = 10
"""Cells a state must have to take part."""

MOST_PAIRS = 50
"""Pairs kept of each ordered two states."""


def communication_claims(
    parts: Parts,
    values: sparse.csr_matrix,
    pairs: Pairs,
    source: Source,
    rng: np.random.Generator,
) -> tuple[Claims, list[str]]:
    """Return ``COMMUNICATES_WITH`` between coarse states, and notes on what was not tested.

    Kept are claims with q below 0.05, at most :data:`MOST_PAIRS` of each ordered two states,
    supported ones first, then by q and score.

    Raises
    ------
    InputError
        No pair is measured.
    """
    claims = Claims()
    found = locate_pairs(pairs, parts.cells.genes["symbol"].tolist())
    rows, member = next(by_level(parts.states))
    size = np.bincount(member[member >= 0], minlength=len(rows))
    if (size >= MIN_CELLS).sum() < 2:
        note = f"communication: not possible: fewer than two states have {MIN_CELLS} cells"
        return claims, [*found.notes, note]
    table = communicate(
        values,
        member,
        len(rows),
        found,
        donors=donors_of(parts),
        rng=rng,
        min_cells=MIN_CELLS,
    )
    names = [str(row) for row in rows]
    symbols = with_names(table, names, pairs, found)
    table[["ligand", "receptor", "pathway"]] = symbols[["ligand", "receptor", "pathway"]]
    called = table[table["q"] < SIGNIFICANT]
    supported_first = called.assign(late=called["verdict"] != "supported")
    ordered = supported_first.sort_values("late", kind="stable")
    kept = ordered.groupby(["source", "target"], sort=False).head(MOST_PAIRS)
    notes = [
        *symbols.attrs["notes"],
        f"communication: {len(table)} pairs of states by ligand and receptor tested, "
        f"{len(called)} specific, {(called['verdict'] == 'supported').sum()} of them supported, "
        f"{len(kept)} kept",
    ]
    if not len(kept):
        return claims, notes
    keys = parts.cells.genes["key"].to_numpy()
    genes = {
        f"{side}_genes": [
            [str(keys[gene]) for gene in found_genes if gene >= 0]
            for found_genes in getattr(found, side)[kept["pair"].to_numpy()]
        ]
        for side in ("ligand", "receptor")
    }
    own = kept["source"].to_numpy() == kept["target"].to_numpy()
    n_cells = kept["n_cells_source"].to_numpy() + np.where(own, 0, kept["n_cells_target"])
    columns = [
        *("ligand", "receptor", "pathway", "score", "specificity"),
        *("ligand_detected", "receptor_detected", "decoy_p", "decoy_q"),
        *("donors_agreeing", "donor_p", "verdict"),
    ]
    claims.edges[("State", "COMMUNICATES_WITH", "State")] = with_evidence(
        pd.DataFrame(
            {
                "source": rows[kept["source"].to_numpy()],
                "target": rows[kept["target"].to_numpy()],
                **{name: kept[name].to_numpy() for name in columns},
                **genes,
            }
        ),
        source,
        effect=kept["score"].to_numpy(),
        p=kept["p"].to_numpy(),
        q=kept["q"].to_numpy(),
        n_cells=n_cells,
        n_donors=kept["n_donors"].to_numpy(),
        null=(
            "labels of cells permuted within donors; decoy_p: the partners drawn from genes alike "
            "in mean and detection; cells of one donor are no independent replicates"
        ),
        method=(
            "effect geometric mean of the state means of ligand and receptor, log1p counts per "
            "10,000, of a complex its lowest subunit; p by permutation, one-sided"
        ),
    )
    return claims, notes
