"""Cell types with a guarantee: sets of labels that hold the true one at a stated rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..encoders.errors import InputError
from .statistics import Floats, Ints, tidy

LEVEL = 0.9
"""Nominal share of cells whose set holds their label."""

N_FOLDS = 5
"""Folds of cells where donors are unknown."""

MOST_FOLDS = 10
"""Folds of donors at most: with more donors, several are left out together."""

MIN_CELLS = 20
"""Labelled cells that a donor must have to count: its distribution of scores weighs as any."""

MOST_CELLS = 20_000
"""Labelled cells that the scorer is fitted to at most, drawn at random."""

INVERSE_PENALTY = 0.1
"""C of the logistic regression, on standardised columns of the embedding."""


@dataclass(frozen=True)
class Conformal:
    """Label sets calibrated on cells that the scorer had not seen.

    Attributes
    ----------
    labels
        Labels, sorted.
    level
        Nominal coverage.
    threshold
        (n_labels,) largest score ``1 - p(label)`` at which a label is in a set; the same for all
        labels unless calibrated by label.
    own_sets
        (n_cells, n_labels) bool, sets of the cells given: each labelled cell by a scorer that saw
        no cell of its donor (its fold), each other cell by the scorer of all.
    coverage
        One row per donor: ``donor`` (position), ``n_cells``, ``coverage`` (share of its cells whose
        set holds their label, with a threshold from the other donors), ``set_size`` (mean number of
        labels in a set). Empty where donors are unknown.
    unit
        ``donor`` or ``cell``: what the guarantee takes to be exchangeable.
    note
        What the guarantee does not say; empty if nothing.
    """

    labels: list[str]
    level: float
    threshold: Floats
    own_sets: NDArray[np.bool_]
    coverage: pd.DataFrame
    unit: str
    note: str
    _scorer: "_Scorer"

    def predict_sets(self, embedding: Floats) -> NDArray[np.bool_]:
        """Return the label sets of cells, (n_cells, n_labels) bool; empty: no label conforms."""
        return self._scorer.scores(embedding) <= self.threshold


def fit_conformal(
    embedding: Floats,
    labels: NDArray[Any],
    *,
    donors: Ints | None,
    rng: np.random.Generator,
    level: float = LEVEL,
    by_label: bool = False,
) -> Conformal:
    """Fit a scorer of labels and calibrate its label sets, over donors where there are some.

    Cross-conformal prediction (Vovk 2015, Ann Math Artif Intell 74:9) with multinomial logistic
    regression and the score ``1 - p(label)`` (Sadinle et al. 2019, J Am Stat Assoc 114:223), which
    gives the smallest sets and an empty one to a cell that looks like nothing seen. Every labelled
    cell is scored by a regression that saw no cell of its donor. The threshold is the ``level``
    quantile of the scores of the true labels, every donor of equal weight (pooled distribution
    functions, Dunn et al. 2023, J Am Stat Assoc 118:2491): coverage is that of the cells of a new
    donor, on average over donors. With fewer than ``level / (1 - level)`` donors (9 at 0.9) no
    method can guarantee this without assumptions; ``coverage`` shows what was reached.

    Parameters
    ----------
    embedding
        (n_cells, width).
    labels
        (n_cells,) text, empty where unknown; two distinct ones at least.
    donors
        (n_cells,) donor of each cell, -1 unknown; labelled cells of unknown donors, and of donors
        with fewer than 20 of them, are not used. With ``None``, or fewer than two donors, cells are
        taken to be exchangeable, which says nothing of another donor (see ``note``).
    rng
        Draws the folds and, of very many cells, those fitted to.
    level
        Nominal coverage, between 0 and 1.
    by_label
        One threshold per label (Mondrian), so that coverage holds for every label; a label of too
        few cells is then in all sets.

    Raises
    ------
    InputError
        Fewer than two labels, lengths that differ, or a level outside (0, 1).
    """
    embedding = np.asarray(embedding, dtype=np.float64)
    text = np.asarray(labels).astype(str)
    names = sorted(set(text) - {""})
    _check(embedding, text, donors, names, level)
    truth = np.where(text == "", -1, np.searchsorted(names, text))
    group, unit, note = _units(truth, donors, level)
    known = np.flatnonzero((truth >= 0) & (group >= 0))
    if len(known) > MOST_CELLS:
        known = np.sort(rng.choice(known, MOST_CELLS, replace=False))
    fold = _folds(group[known], rng)
    scorer = _Scorer.fit(embedding[known], truth[known], len(names))
    scores = scorer.scores(embedding)
    for number in range(int(fold.max()) + 1):
        rest = known[fold != number]
        # Cells of the fold that were not drawn are scored without their donor too.
        out = (truth >= 0) & np.isin(group, np.unique(group[known[fold == number]]))
        part = out if unit == "donor" else known[fold == number]
        scores[part] = _Scorer.fit(embedding[rest], truth[rest], len(names)).scores(embedding[part])
    own = scores[known, truth[known]]
    threshold = _thresholds(
        own, truth[known], group[known], n_labels=len(names), level=level, by_label=by_label
    )
    coverage = (
        _coverage(scores[known], truth[known], group[known], level=level, by_label=by_label)
        if unit == "donor"
        else tidy({name: [] for name in ("donor", "n_cells", "coverage", "set_size")})
    )
    return Conformal(names, level, threshold, scores <= threshold, coverage, unit, note, scorer)


def state_labels(
    sets: NDArray[np.bool_], labels: Sequence[str], cell: Ints, *, n_states: int
) -> pd.DataFrame:
    """Return the label of each state by majority vote over the label sets of its cells.

    A state gets the labels that more than half of the sets of its cells hold. If all its cells had
    one label and each set held it at rate ``level``, the vote would hold it at rate
    ``2 level - 1`` or more however the cells depend on each other (Gasparin & Ramdas 2024,
    arXiv:2401.09379), and nearly always where they depend little.

    Parameters
    ----------
    sets
        (n_cells, n_labels) bool.
    labels
        Names of the columns.
    cell
        (n_cells,) or (n_cells, n_levels) position of the states of each cell, -1 for none.
    n_states
        Number of states.

    Returns
    -------
    pandas.DataFrame
        One row per state: ``state`` (position), ``n_cells``, ``label`` (the label most voted for;
        empty for ``abstain``), ``confidence`` in [0, 1] (share of the cells whose set is that label
        alone; 0 for ``abstain``), ``label_set`` (list of the labels held by more than half of the
        sets, most voted first), ``outcome``: ``label`` (one label), ``ambiguous`` (several) or
        ``abstain`` (none).
    """
    member = cell.reshape(len(sets), -1)
    row, column = np.nonzero(member >= 0)
    state = member[row, column]
    size = np.bincount(state, minlength=n_states)
    votes, alone = (
        np.column_stack([np.bincount(state, held[row], n_states) for held in columns.T])
        / size[:, None].clip(1)
        for columns in (sets, sets & (sets.sum(axis=1, keepdims=True) == 1))
    )
    order = np.argsort(-votes, axis=1, kind="stable")
    held = [[labels[i] for i in ranked if votes[s, i] > 0.5] for s, ranked in enumerate(order)]
    n_held = np.array([len(found) for found in held], dtype=np.int64)
    best = order[:, 0]
    frame = tidy(
        {
            "state": np.arange(n_states),
            "n_cells": size,
            "label": np.where(n_held > 0, np.asarray(labels, dtype=object)[best], ""),
            "confidence": np.where(n_held > 0, alone[np.arange(n_states), best], 0.0),
            "outcome": np.array(["abstain", "label", "ambiguous"])[n_held.clip(max=2)],
        }
    )
    frame.insert(4, "label_set", pd.Series(held, dtype=object))
    return frame


@dataclass(frozen=True)
class _Scorer:
    """Logistic regression on standardised columns; labels it never saw have probability 0."""

    model: Any
    known: Ints
    n_labels: int

    @classmethod
    def fit(cls, embedding: Floats, truth: Ints, n_labels: int) -> "_Scorer":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        found = np.unique(truth)
        if len(found) == 1:
            return cls(None, found, n_labels)
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, tol=1e-3)
        )
        return cls(model.fit(embedding, truth), found, n_labels)

    def scores(self, embedding: Floats) -> Floats:
        """Return 1 - p(label), (n_cells, n_labels)."""
        scores: Floats = np.ones((len(embedding), self.n_labels))
        given = 1.0 if self.model is None else self.model.predict_proba(embedding)
        scores[:, self.known] -= given
        return scores


def _units(truth: Ints, donors: Ints | None, level: float) -> tuple[Ints, str, str]:
    """Return the donor of each cell, the exchangeable unit, and what cannot be said."""
    known = np.zeros(0, dtype=np.int64) if donors is None else donors[(donors >= 0) & (truth >= 0)]
    values, size = np.unique(known, return_counts=True)
    large = values[size >= MIN_CELLS]
    if donors is None or len(large) < 2:
        whose = "one donor" if len(large) else "no known donor"
        note = (
            f"coverage in a new donor: not possible, {whose} has {MIN_CELLS} labelled cells or "
            "more; the sets are calibrated for further cells of the same donors only"
        )
        return np.zeros(len(truth), dtype=np.int64), "cell", note
    needed = int(np.ceil(round(level / (1 - level), 9)))
    note = (
        f"coverage in a new donor is measured, not guaranteed: a guarantee at {level:.0%} needs "
        f"{needed} donors, there are {len(large)}"
    )
    note = "" if len(large) >= needed else note
    return np.where(np.isin(donors, large), donors, -1), "donor", note


def _folds(group: Ints, rng: np.random.Generator) -> Ints:
    """Return a fold per cell: whole donors, or random cells where there is one group."""
    groups, member = np.unique(group, return_inverse=True)
    if len(groups) == 1:
        folds: Ints = rng.permutation(len(group)) % min(N_FOLDS, len(group))
        return folds
    return (rng.permutation(len(groups)) % min(MOST_FOLDS, len(groups)))[member]


def _thresholds(
    own: Floats, truth: Ints, group: Ints, *, n_labels: int, level: float, by_label: bool
) -> Floats:
    if not by_label:
        return np.full(n_labels, _quantile(own, group, level))
    return np.array([_quantile(own[truth == i], group[truth == i], level) for i in range(n_labels)])


def _quantile(scores: Floats, group: Ints, level: float) -> float:
    """Return the quantile of the mean of the donors' distributions, infinite if out of reach."""
    if not len(scores):
        return np.inf
    _, member, size = np.unique(group, return_inverse=True, return_counts=True)
    # The cell to come counts as one more, of the largest score.
    weight = 1 / size[member] / len(size) * len(scores) / (len(scores) + 1)
    order = np.argsort(scores, kind="stable")
    reached = np.searchsorted(np.cumsum(weight[order]), level - 1e-12)
    return float(scores[order[reached]]) if reached < len(scores) else np.inf


def _coverage(
    scores: Floats, truth: Ints, group: Ints, *, level: float, by_label: bool
) -> pd.DataFrame:
    own = scores[np.arange(len(truth)), truth]
    rows = []
    for donor in np.unique(group):
        inside = group == donor
        threshold = _thresholds(
            own[~inside],
            truth[~inside],
            group[~inside],
            n_labels=scores.shape[1],
            level=level,
            by_label=by_label,
        )
        sets = scores[inside] <= threshold
        held = own[inside] <= threshold[truth[inside]]
        rows.append((donor, inside.sum(), held.mean(), sets.sum(axis=1).mean()))
    donor, n_cells, coverage, size = (np.array(column) for column in zip(*rows, strict=True))
    return tidy({"donor": donor, "n_cells": n_cells, "coverage": coverage, "set_size": size})


def _check(
    embedding: Floats, text: NDArray[Any], donors: Ints | None, names: list[str], level: float
) -> None:
    lengths = {len(embedding), len(text), len(text) if donors is None else len(donors)}
    if len(lengths) > 1 or embedding.ndim != 2:
        message = (
            f"an embedding of shape {embedding.shape} was given with {len(text)} labels and "
            f"{'no' if donors is None else len(donors)} donors; expected one row, label and donor "
            "per cell; pass arrays of one length."
        )
        raise InputError(message)
    if len(names) < 2:
        message = (
            f"{len(names)} distinct labels were given; expected two at least, to tell apart; name "
            "a column with several labels."
        )
        raise InputError(message)
    if not 0 < level < 1:
        message = f"a level of {level} was given; expected a share between 0 and 1, such as 0.9."
        raise InputError(message)
