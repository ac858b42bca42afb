"""The tests that refuse doublets and mixtures, made of the candidates worth it."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..statistics import Ints
from .doublets import Comparison, compare, library_is_sum, library_ratio
from .profiles import Profiles, fit_mixtures, own_genes

MAX_DOUBLET_SCORE = 0.5
"""Largest doublet score of an intermediate state: an AUROC of 0.75 of cells against doublets."""

MIN_R2 = 0.25
"""Least mixture R2: three states at equal distances have it, and none of them lies between."""

MIN_OWN_GENES = 5
"""Own genes that no mixture explains."""

MIN_SPREAD = 1.3
"""Least ratio of the spread of mixing coefficients to that of doublets."""

_OTHER_PAIRS = 3
_MIN_SHARE = 0.05


@dataclass
class Refutation:
    """Doublet and mixture tests of the states of one level.

    Attributes
    ----------
    counts, scaled
        Raw counts and counts per 10,000, shape (n_cells, n_genes).
    profiles
        Moments of all states.
    member
        State of each cell, shape (n_cells,).
    donors
        Donor of each cell, -1 unknown, or ``None``.
    genes
        Variable genes, of which profiles are compared.
    rng
        Source of simulated doublets and thinning.
    """

    counts: sp.csr_matrix
    scaled: sp.csr_matrix
    profiles: Profiles
    member: NDArray[Any]
    donors: NDArray[Any] | None
    genes: NDArray[Any]
    rng: np.random.Generator
    _compared: dict[tuple[int, int, int], Comparison] = field(default_factory=dict)
    _other: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    _own: dict[int, int] = field(default_factory=dict)

    def columns(self, candidates: pd.DataFrame, asked: NDArray[np.bool_]) -> pd.DataFrame:
        """Return the columns of the tests, one row per candidate; NaN, -1 where not asked.

        Parameters
        ----------
        candidates
            ``state``, ``from_state``, ``to_state``.
        asked
            Candidates to test.
        """
        state, first, second = (
            candidates[name].to_numpy() for name in ("state", "from_state", "to_state")
        )
        ratio = library_ratio(self.profiles, state=state, first=first, second=second)
        rows = [
            self._test(int(m), (int(a), int(b))) if test else dict(_NOT_ASKED)
            for m, a, b, test in zip(state, first, second, asked, strict=True)
        ]
        return pd.DataFrame(rows, columns=list(_NOT_ASKED)).assign(library_ratio=ratio)

    def _test(self, state: int, pair: tuple[int, int]) -> dict[str, Any]:
        fit = fit_mixtures(self.profiles, state, np.array([pair]), self.genes)
        r2, weight = float(fit.r2[0]), float(fit.weight[0])
        by_pair = {one: self._compare(state, one) for one in [pair, *self._other_pairs(state)]}
        score = max(found.score for found in by_pair.values())
        spread = by_pair[pair].spread
        own = self._own_genes(state)
        is_sum = library_is_sum(self.profiles, state=state, pair=pair, weight=weight)
        return {
            "doublet_score": score,
            "library_is_sum": is_sum,
            "mixture_r2": r2,
            "mixture_weight": weight,
            "mixture_spread": spread,
            "own_genes": own,
            "doublet_ok": score <= MAX_DOUBLET_SCORE and not is_sum,
            "mixture_ok": r2 >= MIN_R2 and (own >= MIN_OWN_GENES or spread >= MIN_SPREAD),
        }

    def _compare(self, state: int, pair: tuple[int, int]) -> Comparison:
        key = (state, *pair)
        if key not in self._compared:
            strata = np.full(len(self.member), -1) if self.donors is None else self.donors
            self._compared[key] = compare(
                self.counts,
                self.profiles,
                state=state,
                pair=pair,
                member=self.member,
                strata=strata,
                genes=self.genes,
                rng=self.rng,
            )
        return self._compared[key]

    def _own_genes(self, state: int) -> int:
        if state not in self._own:
            found = own_genes(
                self.profiles, state, scaled=self.scaled, member=self.member, donors=self.donors
            )
            self._own[state] = len(found)
        return self._own[state]

    def _other_pairs(self, state: int) -> list[tuple[int, int]]:
        """Return the pairs of states that explain a state best as a mixture of both."""
        if state not in self._other:
            present = np.flatnonzero(self.profiles.size > 1)
            pairs = np.array(
                list(itertools.combinations([s for s in present if s != state], 2)), dtype=np.int64
            ).reshape(-1, 2)
            fit = fit_mixtures(self.profiles, state, pairs, self.genes)
            both = (fit.weight >= _MIN_SHARE) & (fit.weight <= 1 - _MIN_SHARE)
            order: Ints = np.argsort(np.where(both, fit.residual, np.inf), kind="stable")
            best = order[: min(_OTHER_PAIRS, int(both.sum()))]
            self._other[state] = [(int(a), int(b)) for a, b in pairs[best]]
        return self._other[state]


_NOT_ASKED: dict[str, Any] = {
    "doublet_score": np.nan,
    "library_is_sum": False,
    "mixture_r2": np.nan,
    "mixture_weight": np.nan,
    "mixture_spread": np.nan,
    "own_genes": -1,
    "doublet_ok": False,
    "mixture_ok": False,
}
