"""What the states attend to among the metadata, as edges."""

import numpy as np
import pandas as pd

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ...kg.schema import METADATA
from ..metadata_attention import metadata_attention
from .base import Claims, by_level, donors_of


def metadata_claims(
    parts: Parts, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[str]]:
    """Return ``ATTENDS_TO`` of states and metadata values, and notes on what could not be said."""
    claims, notes, tables = Claims(), [], []
    for rows, member in by_level(parts.states):
        found = metadata_attention(
            parts.attention.metadata,
            {field: found.values for field, found in parts.metadata.items()},
            member,
            len(rows),
            donors=donors_of(parts),
            rng=rng,
        )
        notes += [note for note in found.notes if note not in notes]
        tables.append(found.table.assign(state=rows[found.table["state"].to_numpy()]))
    table = pd.concat(tables, ignore_index=True)
    for field, of_field in table.groupby("field"):
        claims.edges[("State", "ATTENDS_TO", METADATA[str(field)])] = with_evidence(
            pd.DataFrame(
                {
                    "source": of_field["state"],
                    "target": of_field["value"],
                    "weight": of_field["weight"],
                    "lift": of_field["lift"],
                    "z": of_field["z"],
                }
            ),
            source,
            effect=of_field["lift"].to_numpy(),
            p=of_field["p"].to_numpy(),
            q=of_field["q"].to_numpy(),
            n_cells=of_field["n_cells"].to_numpy(),
            n_donors=of_field["n_donors"].to_numpy(),
            null="labels of states exchanged between " + of_field["null"].astype(str),
            method=(
                "effect mean attention over that of all cells of the same donors and value; p by "
                "permutation, two-sided"
            ),
        )
    return claims, notes
