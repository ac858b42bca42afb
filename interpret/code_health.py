"""Health of a codebook on one data set: how codes are used, and alarms where they should not."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .statistics import Floats, Ints

LEAST_PERPLEXITY = 0.05
"""Alarm below this share of the codes that the cells could fill."""

CELLS_PER_CODE = 20
"""Cells that make up one code when the number of codes that cells could fill is reckoned."""

LARGEST_CODE = 0.5
"""Alarm when one code holds more than this share of the cells."""

LEAST_ENTROPY = 0.25
"""Alarm when batches mix inside codes to less than this share of what chance gives."""

ONE_DONOR = 0.5
"""Alarm when codes of a single donor hold more than this share of the cells."""

DEAD = 0.5
"""Alarm when more than this share of the codes is unused though cells abound."""

N_PERMUTATIONS = 20
"""Random orders of donors or batches behind an expectation."""


@dataclass(frozen=True)
class Health:
    """Figures of a codebook and what is alarming about them.

    Attributes
    ----------
    figures
        ``n_codes`` (in the book), ``n_used``, ``n_dead``, ``perplexity`` (exponential of the
        entropy of code usage, 1 to ``n_used``), ``perplexity_least`` (alarm below it),
        ``largest_share`` (of the cells in one code); with two donors or more ``n_donors``,
        ``one_donor_codes`` (codes of 10 cells or more, all of one donor), ``one_donor_share`` (of
        the cells in such codes), ``one_donor_share_expected`` (the same with donors in random
        order); with two batches or more ``batch_entropy`` (mean over cells of the entropy of the
        batches of their code, over that of all batches, in [0, 1]) and ``batch_entropy_expected``.
    alarms
        Sentences, each with the figure and its threshold; empty when all is well.
    notes
        What was not measured, and why.
    """

    figures: dict[str, float]
    alarms: list[str]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"figures": self.figures, "alarms": self.alarms, "notes": self.notes}


def check_codes(
    code: Ints,
    n_codes: int,
    *,
    rng: np.random.Generator,
    donors: Ints | None = None,
    batches: Ints | None = None,
) -> Health:
    """Measure how a data set uses a codebook.

    Alarms: perplexity below 5 percent of ``min(n_codes, n_cells / 20)``; one code with over half
    of the cells; over half of the codes unused by 20 cells a code or more; codes of a single donor
    with over half of the cells, though random donors would give less than half of that; batches
    mixed within codes to less than a quarter of what random batches give. Expectations are means
    over 20 random orders: figures to judge by, no tests, for the cells of one donor are no
    replicates.

    Parameters
    ----------
    code
        (n_cells,) code of each cell.
    n_codes
        Codes in the book.
    rng
        Draws the random orders.
    donors, batches
        (n_cells,) values, -1 where unknown.
    """
    usage = np.bincount(code, minlength=n_codes)
    share = usage[usage > 0] / len(code)
    least = LEAST_PERPLEXITY * min(n_codes, len(code) / CELLS_PER_CODE)
    figures = {
        "n_codes": float(n_codes),
        "n_used": float(len(share)),
        "n_dead": float(n_codes - len(share)),
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
        "perplexity_least": float(least),
        "largest_share": float(share.max()),
    }
    alarms: list[str] = []
    notes: list[str] = []
    if figures["perplexity"] < least:
        alarms.append(
            f"cells use few codes: a perplexity of {figures['perplexity']:.1f}, expected at least "
            f"{least:.1f} of {len(code):,} cells; the encoder hardly tells them apart"
        )
    if figures["largest_share"] > LARGEST_CODE:
        alarms.append(
            f"one code holds {figures['largest_share']:.0%} of the cells, expected at most "
            f"{LARGEST_CODE:.0%}; the code book has collapsed or the cells are of one kind"
        )
    if len(code) >= CELLS_PER_CODE * n_codes and figures["n_dead"] > DEAD * n_codes:
        alarms.append(
            f"{figures['n_dead']:.0f} of {n_codes} codes are unused by {len(code):,} cells, "
            f"expected at most {DEAD:.0%}; the code book is larger than these cells need"
        )
    _check_donors(code, donors, rng, figures, alarms=alarms, notes=notes)
    _check_batches(code, batches, rng, figures, alarms=alarms, notes=notes)
    return Health(figures, alarms, notes)


def _check_donors(
    code: Ints,
    donors: Ints | None,
    rng: np.random.Generator,
    figures: dict[str, float],
    *,
    alarms: list[str],
    notes: list[str],
) -> None:
    codes, values = _known(code, donors)
    n_donors = int(values.max(initial=-1)) + 1
    if n_donors < 2:
        notes.append("donors per code: not possible, the donors are unknown or one")
        return
    count, share = _one_donor(codes, values)
    expected = np.mean([_one_donor(codes, order)[1] for order in _orders(values, rng)])
    figures |= {
        "n_donors": float(n_donors),
        "one_donor_codes": float(count),
        "one_donor_share": share,
        "one_donor_share_expected": float(expected),
    }
    if share > ONE_DONOR and share > 2 * expected:
        alarms.append(
            f"codes of a single donor hold {share:.0%} of the cells, expected {expected:.0%} of "
            f"random donors and at most {ONE_DONOR:.0%}; codes follow donors more than cell states"
        )


def _check_batches(
    code: Ints,
    batches: Ints | None,
    rng: np.random.Generator,
    figures: dict[str, float],
    *,
    alarms: list[str],
    notes: list[str],
) -> None:
    codes, values = _known(code, batches)
    if values.max(initial=-1) < 1:
        notes.append("batch entropy: not possible, the batches are unknown or one")
        return
    found = _entropy(codes, values)
    expected = float(np.mean([_entropy(codes, order) for order in _orders(values, rng)]))
    figures |= {"batch_entropy": found, "batch_entropy_expected": expected}
    if found < LEAST_ENTROPY * expected:
        alarms.append(
            f"batches hardly mix within codes: an entropy of {found:.2f}, expected {expected:.2f} "
            f"of random batches and at least {LEAST_ENTROPY:.0%} of that; codes follow batches, or "
            "batches hold different cells"
        )


def _known(code: Ints, values: Ints | None) -> tuple[Ints, Ints]:
    """Return codes and values, each numbered from 0, of the cells whose value is known."""
    known = np.zeros(len(code), dtype=bool) if values is None else values >= 0
    if values is None or not known.any():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return pd.factorize(code[known])[0], pd.factorize(values[known])[0]


def _orders(values: Ints, rng: np.random.Generator) -> list[Ints]:
    return [rng.permutation(values) for _ in range(N_PERMUTATIONS)]


def _table(code: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Return the code of each pair of code and value that occurs, and its cells."""
    width = int(values.max()) + 1
    pair, count = np.unique(code * width + values, return_counts=True)
    return pair // width, count


def _one_donor(code: Ints, donor: Ints) -> tuple[int, float]:
    """Return the codes of 10 cells or more of one donor only, and the share of cells in them."""
    of_code, _ = _table(code, donor)
    size = np.bincount(code)
    alone = (np.bincount(of_code, minlength=len(size)) == 1) & (size >= 10)
    return int(alone.sum()), float(size[alone].sum() / len(code))


def _entropy(code: Ints, batch: Ints) -> float:
    """Return the conditional entropy of the batch given the code, over that of the batch."""
    of_code, count = _table(code, batch)
    share = count / np.bincount(code)[of_code]
    overall: Floats = np.bincount(batch) / len(batch)
    within = (count * np.log(share)).sum() / len(code)
    return abs(float(within / (overall[overall > 0] * np.log(overall[overall > 0])).sum()))
