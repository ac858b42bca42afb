"""The faithfulness card of a graph: does its attention explain anything?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...encoders.base import Progress
from .asked import Asked, Edges, Explained, Train, sample_cells
from .confounds import confounds
from .curves import curves
from .fidelity import fidelity
from .gradients import gradient_agreement
from .randomisation import weight_randomisation
from .rows import (
    Row,
    confound_row,
    curve_rows,
    fidelity_rows,
    gradient_row,
    half_rows,
    randomisation_row,
    reported,
    seed_row,
)
from .stability import cell_halves, donor_halves, half_stability, seed_stability

MIN_STATES = 2
COLUMNS = ("test", "value", "rule", "threshold", "passed", "decides", "note")


@dataclass(frozen=True)
class CardOptions:
    """How much a card costs.

    Parameters
    ----------
    per_state, at_most
        Cells that are asked about, of a state and in all.
    gradient_steps
        Steps of the integrated gradients.
    randomised
        Networks of random weights; the attention of all cells is read from each.
    trainings
        Trainings from other seeds; with none the stability is not tested.
    training_cells
        Cells of such a training, at most.
    """

    per_state: int = 50
    at_most: int = 500
    gradient_steps: int = 16
    randomised: int = 2
    trainings: int = 5
    training_cells: int = 600


@dataclass(frozen=True)
class FaithfulnessCard:
    """What the tests found.

    Attributes
    ----------
    rows
        One per test.
    tables
        Details per test, see the functions: ``curves, areas, states, gradients, randomisation,
        seeds, halves, confounds, residuals, fidelity``.
    """

    rows: list[Row]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def verdict(self) -> Literal["explains", "associated"]:
        """``explains`` when curves were possible and no test that decides failed."""
        deciding = [row for row in self.rows if row.decides]
        judged = {row.test for row in deciding if row.passed is not None}
        whole = {"deletion_over_random", "insertion_over_random"} <= judged
        failed = any(row.passed is False for row in deciding)
        return "explains" if whole and not failed else "associated"

    @property
    def impossible(self) -> list[str]:
        """Names of the tests that could not be made; their notes say why."""
        return [row.test for row in self.rows if row.decides and row.passed is None]

    def frame(self) -> pd.DataFrame:
        """Return one row per test.

        Returns
        -------
        DataFrame
            ``test``; ``value`` (``NaN``: not possible); ``rule`` (at least, at most, reported) and
            ``threshold`` (``NaN``: reported only); ``passed`` (True, False, or ``None`` where not
            possible or not judged); ``decides``, whether a failure makes the attention
            ``associated``; ``note``, what the value is.
        """
        found = pd.DataFrame([vars(row) for row in self.rows], columns=list(COLUMNS))
        return found.astype({"value": float, "threshold": float, "passed": object})

    def record(self) -> dict[str, Any]:
        """Return verdict and rows as plain values, ``None`` for ``NaN``, ready for JSON."""
        rows = [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in vars(row).items()
            }
            for row in self.rows
        ]
        return {"verdict": self.verdict, "not_possible": self.impossible, "rows": rows}


def faithfulness_card(
    asked: Asked,
    explained: Explained,
    *,
    train: Train | None,
    rng: np.random.Generator,
    options: CardOptions | None = None,
    progress: Progress | None = None,
) -> FaithfulnessCard:
    """Return whether the attention of a graph explains the states of its cells.

    Parameters
    ----------
    asked
        The trained network.
    explained
        Its cells.
    train
        Trains such a network anew (:func:`~scypher.interpret.faithfulness.retrain.retrainer`);
        stability is not possible without.
    rng
        Source of all randomness.
    options
        How many cells are asked and how many networks are trained.
    progress
        Told how far it is.

    Returns
    -------
    FaithfulnessCard
        Rows and verdict.
    """
    options, progress = options or CardOptions(), progress or _silent
    if explained.n_states < MIN_STATES:
        note = f"not possible: {explained.n_states} state, of which the probability is always 1"
        return FaithfulnessCard([Row("curves", math.nan, "at least", math.nan, None, True, note)])
    rows = sample_cells(
        explained.state, per_state=options.per_state, at_most=options.at_most, rng=rng
    )
    edges = Edges.of(explained, rows)
    steps = 5
    progress("faithfulness", 0, steps)
    gradient = np.asarray(asked.attributions(rows, steps=options.gradient_steps), np.float64)
    agreement = gradient_agreement(explained, edges, gradient)
    progress("faithfulness", 1, steps)
    drawn = curves(asked, explained, edges, rng=rng, gradients=gradient)
    progress("faithfulness", 2, steps)
    kept = fidelity(asked, explained, edges)
    seeds = rng.integers(2**31, size=options.randomised)
    random = weight_randomisation(asked, explained, edges, seeds=seeds)
    progress("faithfulness", 3, steps)
    regressed = confounds(explained)
    card_rows = [
        *curve_rows(drawn),
        *fidelity_rows(kept),
        gradient_row(agreement),
        randomisation_row(random),
        confound_row(regressed),
    ]
    tables = {
        "curves": drawn.points,
        "areas": drawn.areas,
        "states": drawn.by_state,
        "gradients": agreement,
        "randomisation": random,
        "confounds": regressed.by_state,
        "residuals": regressed.scores,
        "fidelity": kept,
    }
    if train is None or options.trainings < 2:
        note = "not possible: no trainings from other seeds were asked for"
        card_rows += [
            reported(test, math.nan, note, decides=True)
            for test in ("stability_seeds", "stability_donors")
        ]
    else:
        found, stability = _stability(explained, train, rng, options)
        card_rows += found
        tables |= stability
    progress("faithfulness", steps, steps)
    return FaithfulnessCard(card_rows, tables)


def _stability(
    explained: Explained, train: Train, rng: np.random.Generator, options: CardOptions
) -> tuple[list[Row], dict[str, pd.DataFrame]]:
    n = options.training_cells
    some = sample_cells(explained.state, per_state=n, at_most=n, rng=rng)
    seeds = rng.integers(2**31, size=options.trainings)
    across = seed_stability(explained, train, some, seeds=seeds)
    # Halves need twice the cells, or either has too few of each state.
    wide = sample_cells(explained.state, per_state=2 * n, at_most=2 * n, rng=rng)
    halves = donor_halves(explained, wide, rng)
    by_donor = bool(len(halves[0]) and len(halves[1]))
    if not by_donor:
        halves = cell_halves(explained, wide, rng)
    between = half_stability(explained, train, halves, seed=int(seeds[0]))
    rows = [seed_row(across, options.trainings, len(some))]
    rows += half_rows(between, by_donor=by_donor, sizes=(len(halves[0]), len(halves[1])))
    return rows, {"seeds": across, "halves": between}


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
