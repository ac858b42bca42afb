"""What would change without a gene, as edges."""

import numpy as np
import pandas as pd

from ...encoders.base import Recode
from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ..perturbation.counterfactual import cut_genes, states_of_codes
from .base import Claims

GENES_PER_STATE = 3
"""Best markers of each coarse state that are cut."""


def flip_claims(
    parts: Parts,
    markers: pd.DataFrame,
    recode: Recode | None,
    source: Source,
    rng: np.random.Generator,
) -> tuple[Claims, list[str]]:
    """Return ``FLIPS_WITHOUT`` of coarse states and their best markers, and notes.

    Parameters
    ----------
    markers
        ``MARKED_BY`` of states.
    recode
        The encoder as it was fitted; ``None`` where it cannot be asked again.
    """
    if recode is None:
        return Claims(), ["counterfactuals: not possible, the encoder cannot be asked again"]
    readable = np.abs(parts.encoding.gene_embedding).sum(axis=1) > 0
    level = parts.states.table["level"].to_numpy()
    chosen = markers[
        (level[markers["source"].to_numpy()] == 1)
        & readable[markers["target"].to_numpy()]
        & (markers["log2_fold_change"] > 0)
    ]
    chosen = chosen.sort_values(["source", "rank"]).groupby("source").head(GENES_PER_STATE)
    if not len(chosen):
        return Claims(), ["counterfactuals: no state has a marker that the encoder reads"]
    asked = pd.DataFrame({"gene": chosen["target"], "group": chosen["source"]})
    found = cut_genes(
        parts.cells.counts,
        recode,
        asked.reset_index(drop=True),
        groups=parts.states.cell[:, 0],
        state_of_code=states_of_codes(parts.states, parts.encoding.codebook),
        rng=rng,
        readable=readable,
    )
    keys = np.array(
        [*(f"{parts.name}:{name}" for name in parts.states.table["name"]), ""], dtype=object
    )
    target = found["to_group"].to_numpy()
    edges = pd.DataFrame(
        {
            "source": found["group"],
            "target": found["gene"],
            "flipped": found["flipped"],
            "state_flipped": found["state_flipped"],
            "null_mean": found["null_mean"],
            "z": found["z"],
            "goes_to": keys[target],
            "to_share": np.where(target >= 0, found["to_share"], np.nan),
        }
    )
    claims = Claims()
    claims.edges[("State", "FLIPS_WITHOUT", "Gene")] = with_evidence(
        edges,
        source,
        effect=found["flipped"].to_numpy(),
        p=found["p"].to_numpy(),
        q=found["q"].to_numpy(),
        n_cells=found["n_cells"].to_numpy(),
        # A claim about the model: cells and donors are no replicates of it.
        n_donors=0,
        null="genes expressed alike in the state flip as many codes when cut",
        method=(
            "effect share of cells whose code changes when the counts of the gene become 0 and "
            "they are encoded again; p over matched genes, one-sided; says what the encoder draws "
            "on, not what a cell would do"
        ),
    )
    return claims, []
