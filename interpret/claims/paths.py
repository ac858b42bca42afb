"""Intermediate states with their certificate, and the genes along the way, as edges."""

import numpy as np
import pandas as pd
from scipy import sparse

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..intermediate import intermediate_states, monotone_genes
from .base import Claims, donors_of

_CERTIFICATE = {
    "connectivity": "connectivity_min",
    "doublet_score": "doublet_score",
    "library_ratio": "library_ratio",
    "mixture_r2": "mixture_r2",
    "mixture_spread": "mixture_spread",
    "own_genes": "own_genes",
    "verdict": "verdict",
    "reason": "reason",
}


def path_claims(
    parts: Parts, values: sparse.csr_matrix, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[str]]:
    """Return ``INTERMEDIATE_BETWEEN`` and ``MONOTONE_ALONG``, and a note on what was refused."""
    claims = Claims()
    graph = parts.neighbours.connectivities
    donors = donors_of(parts)
    found = intermediate_states(parts.cells.counts, parts.states, graph, donors=donors, rng=rng)
    kept = found[found["verdict"] != "refused"]
    notes = []
    if len(found):
        notes.append(
            f"intermediate states: {len(found)} candidates, {len(kept)} kept, "
            f"{len(found) - len(kept)} refused"
        )
    if not len(kept):
        return claims, notes
    keys = np.array([f"{parts.name}:{name}" for name in parts.states.table["name"]], dtype=object)
    # The lower key is the first end, so that a path is told one way.
    ends = kept[["from_state", "to_state"]].to_numpy()
    swap = keys[ends[:, 0]] > keys[ends[:, 1]]
    first, second = np.where(swap, ends[:, 1], ends[:, 0]), np.where(swap, ends[:, 0], ends[:, 1])
    soft = kept[["soft_from", "soft_to"]].to_numpy()
    sides = [
        (first, second, np.where(swap, soft[:, 1], soft[:, 0])),
        (second, first, np.where(swap, soft[:, 0], soft[:, 1])),
    ]
    edges = pd.concat(
        [kept.assign(target=end, other=keys[other], soft=share) for end, other, share in sides],
        ignore_index=True,
    )
    claims.edges[("State", "INTERMEDIATE_BETWEEN", "State")] = with_evidence(
        pd.DataFrame(
            {
                "source": edges["state"],
                "target": edges["target"],
                "other": edges["other"],
                "soft": edges["soft"],
                **{name: edges[column] for name, column in _CERTIFICATE.items()},
            }
        ),
        source,
        effect=edges["soft"].to_numpy(),
        p=edges["soft_p"].to_numpy(),
        q=edges["soft_q"].to_numpy(),
        n_cells=edges["n_cells"].to_numpy(),
        n_donors=edges["n_donors"].to_numpy(),
        null="labels of the state and of either end permuted over their cells within donors",
        method=(
            "effect mean share of neighbour weight of its cells in that end; the larger p of both "
            "ends; further tests in the properties"
        ),
    )
    triples = kept.assign(from_state=first, to_state=second)
    genes = monotone_genes(values, parts.states, graph, triples=triples, donors=donors, rng=rng)
    if len(genes):
        sizes = parts.states.table["size"].to_numpy()
        path = genes[["from_state", "state", "to_state"]].to_numpy()
        claims.edges[("State", "MONOTONE_ALONG", "Gene")] = with_evidence(
            pd.DataFrame(
                {
                    "source": genes["state"],
                    "target": genes["gene"],
                    "first": keys[path[:, 0]],
                    "second": keys[path[:, 2]],
                    "rho": genes["rho"],
                    "donors_agreeing": genes["donors_agreeing"],
                }
            ),
            source,
            effect=genes["rho"].to_numpy(),
            p=genes["p"].to_numpy(),
            q=genes["q"].to_numpy(),
            n_cells=sizes[path].sum(axis=1),
            n_donors=genes["n_donors"].to_numpy(),
            null="values of a gene exchangeable over the cells of a donor, given their order",
            method="effect Spearman correlation with the place on the path, ranked within donors",
        )
    return claims, notes
