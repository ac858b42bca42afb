"""What changes between conditions: genes within states and cell types, and the states."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse

from ...kg.build import Parts
from ...kg.evidence import Source, with_evidence
from ...kg.schema import METADATA
from ..abundance import compare_conditions
from ..shift import find_shift
from .base import Claims, Group, by_level, donors_of, values_of

FIELDS = ("condition", "disease")
"""Metadata that are compared."""

MOST_PAIRS = 10
"""Pairs of values of a field that are compared; more say so in a note."""

REFERENCES = ("control", "ctrl", "normal", "healthy", "untreated", "unstimulated", "vehicle", "wt")
"""Values that others are compared with, in any case of letters; else the first by name."""

TOP_SHIFTS = 50
"""Genes kept per group and pair of conditions."""


def shift_claims(
    parts: Parts, values: sparse.csr_matrix, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[Group], list[str]]:
    """Return ``SHIFTS``, the genes of each shift to ask enrichment about, and notes."""
    claims = Claims()
    notes: list[str] = []
    tables: dict[str, list[pd.DataFrame]] = {}
    for field, reference, other in _pairs(parts, notes):
        found = parts.metadata[field]
        condition = np.full(len(found.values), -1)
        condition[found.values == reference] = 0
        condition[found.values == other] = 1
        names = (found.labels[other], found.labels[reference])
        for label, rows, member in _groupings(parts):
            shift = find_shift(
                values,
                member,
                len(rows),
                condition=condition,
                donors=donors_of(parts),
                batches=values_of(parts, "batch"),
                attention=parts.attention.genes,
                rng=rng,
                top=TOP_SHIFTS,
            )
            n_cells = np.bincount(member[(member >= 0) & (condition >= 0)], minlength=len(rows))
            table = shift.table
            group = table["group"].to_numpy()
            tables.setdefault(label, []).append(
                table.assign(
                    group=rows[group],
                    n_cells=n_cells[group],
                    condition=names[0],
                    reference=names[1],
                )
            )
            reasons = shift.refused["reason"].value_counts()
            notes += [
                f"shift from {names[1]} to {names[0]}: not possible in {count} groups "
                f"({label}): {reason}"
                for reason, count in reasons.items()
            ]
    groups: list[Group] = []
    for label, parts_of in tables.items():
        table = pd.concat(parts_of, ignore_index=True)
        if len(table):
            claims.edges[(label, "SHIFTS", "Gene")] = _shifts(table, source)
            groups += _risen(table, label)
    return claims, groups, notes


def abundance_claims(
    parts: Parts, source: Source, rng: np.random.Generator
) -> tuple[Claims, list[str]]:
    """Return ``DIFFERS_IN`` of states and conditions or diseases, and notes."""
    claims, notes = Claims(), []
    for field in FIELDS:
        found = parts.metadata.get(field)
        if found is None or not 1 < len(found.labels) <= MOST_PAIRS:
            continue
        tables = []
        # The later value is the case.
        order = np.array(_reference_first(found.labels))
        place = np.append(np.argsort(order), -1)
        for rows, member in by_level(parts.states):
            table = compare_conditions(
                member,
                place[found.values],
                donors_of(parts),
                n_states=len(rows),
                rng=rng,
                batches=values_of(parts, "batch"),
            )
            tables.append(table.assign(state=rows[table["state"].to_numpy()]))
        table = pd.concat(tables, ignore_index=True)
        for reason in sorted(set(table["reason"]) - {""}):
            notes.append(f"abundance of states by {field}: {reason}")
        table = table[table["p"].notna()]
        if not len(table):
            continue
        labels = np.array(found.labels, dtype=object)[order]
        claims.edges[("State", "DIFFERS_IN", METADATA[field])] = with_evidence(
            pd.DataFrame(
                {
                    "source": table["state"],
                    "target": order[table["case"].to_numpy()],
                    "reference": labels[table["control"].to_numpy()],
                    "share": table["share_case"],
                    "share_reference": table["share_control"],
                    "donors_with": table["donors_with_case"],
                    "donors_with_reference": table["donors_with_control"],
                    "presence_p": table["presence_p"],
                    "presence_q": table["presence_q"],
                }
            ),
            source,
            effect=table["effect"].to_numpy(),
            p=table["p"].to_numpy(),
            q=table["q"].to_numpy(),
            n_cells=table["n_cells"].to_numpy(),
            n_donors=table["n_donors"].to_numpy(),
            null="conditions exchanged among donors; " + table["design"].astype(str),
            method=(
                "effect difference of mean shares of cells; p by permutation of donors of arcsine "
                "square-root shares, two-sided"
            ),
        )
    return claims, notes


def _pairs(parts: Parts, notes: list[str]) -> Iterator[tuple[str, int, int]]:
    """Return field, reference and other value of every pair that is compared."""
    for field in FIELDS:
        found = parts.metadata.get(field)
        if found is None:
            continue
        pairs = list(combinations(_reference_first(found.labels), 2))
        if len(pairs) > MOST_PAIRS:
            notes.append(
                f"{field}: {len(found.labels)} values make {len(pairs)} pairs; the first "
                f"{MOST_PAIRS} are compared"
            )
        yield from ((field, first, second) for first, second in pairs[:MOST_PAIRS])


def _reference_first(labels: list[str]) -> list[int]:
    """Return positions of the labels, those that others are compared with first."""
    return sorted(
        range(len(labels)), key=lambda place: (labels[place].lower() not in REFERENCES, place)
    )


def _groupings(parts: Parts) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Return label of the node, positions of the groups and group of each cell."""
    rows, member = next(by_level(parts.states))
    yield "State", rows, member
    labels = parts.metadata.get("cell_type")
    if labels is not None:
        yield "CellType", np.arange(len(labels.labels)), labels.values


def _risen(table: pd.DataFrame, label: str) -> list[Group]:
    """Return the genes that rise in each group, by rank, to ask enrichment about."""
    risen = table[(table["q"] < 0.05) & (table["log2_fold_change"] > 0)]
    return [
        Group(
            label,
            int(rows["group"].iloc[0]),
            rows["gene"].tolist(),
            f"genes that rise from {rows['reference'].iloc[0]} to {rows['condition'].iloc[0]}",
        )
        for _, rows in risen.groupby(["group", "condition", "reference"])
    ]


def _shifts(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    return with_evidence(
        pd.DataFrame(
            {
                "source": table["group"],
                "target": table["gene"],
                "condition": table["condition"],
                "reference": table["reference"],
                "rank": table["rank"],
                "log2_fold_change": table["log2_fold_change"],
                "mean": table["mean_b"],
                "mean_reference": table["mean_a"],
                "donors_agreeing": table["donors_agreeing"],
                "attention_difference": table["attention_difference"],
                "attention_q": table["attention_q"],
            }
        ),
        source,
        effect=table["log2_fold_change"].to_numpy(),
        p=table["p"].to_numpy(),
        q=table["q"].to_numpy(),
        n_cells=table["n_cells"].to_numpy(),
        n_donors=table["n_donors"].to_numpy(),
        null="no change between conditions; " + table["note"].astype(str),
        method=(
            "effect log2 ratio of mean counts per 10,000; p of the moderated t test over donors, "
            "or of the rank sum over cells where the null says so"
        ),
    )
