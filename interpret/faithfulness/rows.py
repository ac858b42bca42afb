"""Rows of a faithfulness card: each figure beside the limit it must keep."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .confounds import Confounds
from .curves import Curves

OVER_RANDOM = 0.10
UNDER_EXPRESSION = -0.02
CHARACTERISATION, UNFAITHFULNESS = 0.6, 0.3
GRADIENTS = 0.2
RANDOMISED = 0.3
SEEDS, HALVES = 0.5, 0.4
CONFOUNDED = 0.5

NO_DONORS = (
    "NOT POSSIBLE: fewer than two donors are known, nothing is said of other donors; random halves "
    "of the cells, which are no independent replicates, are compared in stability_cells"
)


@dataclass(frozen=True)
class Row:
    """One test: columns as of :meth:`FaithfulnessCard.frame`."""

    test: str
    value: float
    rule: str
    threshold: float
    passed: bool | None
    decides: bool
    note: str


def at_least(test: str, value: float, threshold: float, note: str) -> Row:
    """Return a row that passes at or above the threshold; ``NaN`` is not possible, not passed."""
    passed = None if math.isnan(value) else bool(value >= threshold)
    return Row(test, value, "at least", threshold, passed, True, _said(value, note))


def at_most(test: str, value: float, threshold: float, note: str, *, decides: bool = True) -> Row:
    """Return a row that passes at or below the threshold; ``NaN`` is not possible, not passed."""
    passed = None if math.isnan(value) else bool(value <= threshold)
    return Row(test, value, "at most", threshold, passed, decides, _said(value, note))


def reported(test: str, value: float, note: str, *, decides: bool = False) -> Row:
    """Return a row without a threshold."""
    return Row(test, value, "reported", math.nan, None, decides, note)


def curve_rows(found: Curves) -> list[Row]:
    """Return gains over random and over expression, and what the genes add to the state."""
    deletion = found.points[
        (found.points["order"] == "attention") & (found.points["direction"] == "deletion")
    ]
    whole, none = deletion["probability"].iloc[0], deletion["probability"].iloc[-1]
    rows = []
    for direction in ("deletion", "insertion"):
        areas = ", ".join(
            f"{order} {found.area(order, direction):.3f}" for order in found.areas["order"].unique()
        )
        random = found.area("random", direction)
        room = random - none if direction == "deletion" else whole - random
        note = (
            f"area of the probability of the own state: {areas}; between all genes and none an "
            f"order can gain {max(room, 0.0):.3f} over random"
        )
        over_random, over_expression = (
            found.gain(direction, other) for other in ("random", "expression")
        )
        rows += [
            at_least(f"{direction}_over_random", over_random, OVER_RANDOM, note),
            at_least(f"{direction}_over_expression", over_expression, UNDER_EXPRESSION, note),
        ]
    note = (
        f"probability of the own state {whole:.3f} with all genes, {none:.3f} with none, when the "
        "network sees only the embedding and metadata of the cell"
    )
    return [*rows, reported("carried_by_genes", float(whole - none), note)]


def fidelity_rows(found: pd.DataFrame) -> list[Row]:
    """Return characterisation and unfaithfulness at each sparsity."""
    rows = []
    for line in found.to_dict("records"):
        percent = f"{100 * line['sparsity']:.0f}"
        note = (
            f"the {percent} % most attended genes of each cell: fidelity+ "
            f"{line['fidelity_plus']:.3f} without them, fidelity- {line['fidelity_minus']:.3f} "
            "with them alone"
        )
        rows += [
            at_least(
                f"characterisation_{percent}", line["characterisation"], CHARACTERISATION, note
            ),
            at_most(f"unfaithfulness_{percent}", line["unfaithfulness"], UNFAITHFULNESS, note),
        ]
    return rows


def gradient_row(found: pd.DataFrame) -> Row:
    """Return the median agreement with integrated gradients over states."""
    low = int((found["spearman"] < GRADIENTS).sum())
    note = (
        f"Spearman with the size of integrated gradients, median over {len(found)} states "
        f"({low} below the limit); within cells {_median(found['spearman_in_cell']):.3f}; with "
        f"signed gradients {_median(found['spearman_signed']):.3f}"
    )
    return at_least("gradient_agreement", _median(found["spearman"]), GRADIENTS, note)


def randomisation_row(found: pd.DataFrame) -> Row:
    """Return the largest correlation with a network of random weights."""
    known = found["spearman"].dropna().abs()
    value = float(known.max()) if len(known) else math.nan
    note = f"largest size of Spearman within cells over {len(known)} networks of random weights"
    return at_most("weight_randomisation", value, RANDOMISED, note)


def confound_row(found: Confounds) -> Row:
    """Return the median share of the attention that gene statistics explain."""
    known = found.by_state["r2"]
    value = _median(known)
    use = "use the residual score for ranking" if value > CONFOUNDED else "the score may be ranked"
    note = f"R2 on expression, detection and degree, median over {known.notna().sum()} states"
    return at_most("confounds", value, CONFOUNDED, f"{note}: {use}", decides=False)


def seed_row(found: pd.DataFrame, n_trainings: int, n_cells: int) -> Row:
    """Return the mean overlap of the top genes over states and pairs of trainings."""
    note = (
        f"mean Jaccard of the top genes of a state over pairs of {n_trainings} short trainings on "
        f"{n_cells} cells; by chance {_mean(found['chance']):.3f}"
    )
    return at_least("stability_seeds", _mean(found["jaccard"]), SEEDS, note)


def half_rows(found: pd.DataFrame, *, by_donor: bool, sizes: tuple[int, int]) -> list[Row]:
    """Return the mean overlap of the top genes between two halves of donors or of cells."""
    note = (
        f"mean Jaccard of the top genes of a state, {sizes[0]} against {sizes[1]} cells, over "
        f"{len(found)} states that both have; by chance {_mean(found['chance']):.3f}"
    )
    value = _mean(found["jaccard"])
    if by_donor:
        return [at_least("stability_donors", value, HALVES, note)]
    return [
        reported("stability_donors", math.nan, NO_DONORS, decides=True),
        at_least("stability_cells", value, HALVES, note),
    ]


def _mean(values: "pd.Series[float]") -> float:
    return float(values.mean()) if values.notna().any() else math.nan


def _median(values: "pd.Series[float]") -> float:
    return float(np.nanmedian(values)) if values.notna().any() else math.nan


def _said(value: float, note: str) -> str:
    return f"not possible, nothing to compare: {note}" if math.isnan(value) else note
