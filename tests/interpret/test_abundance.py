from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest, ks_1samp, uniform

from scypher.interpret.abundance import MAX_CONTROL_SHARE, compare_abundance, compare_conditions
from scypher.interpret.donors.samples import collect_samples

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]
Column = Callable[[np.ndarray, np.ndarray], np.ndarray | None]
P_COLUMNS = ["p", "q", "presence_p", "presence_q"]


def cells_of(counts: np.ndarray, case: np.ndarray, donor: np.ndarray) -> Cells:
    """Return state, condition and donor of each cell from (n_states, n_samples) counts."""
    state, sample = (
        np.repeat(np.indices(counts.shape)[axis].ravel(), counts.ravel()) for axis in (0, 1)
    )
    return state, case[sample].astype(int), donor[sample]


def compare(cells: Cells, n_states: int, **options: object) -> pd.DataFrame:
    given = {"case": 1, "control": 0, "rng": np.random.default_rng(0)} | options
    return compare_abundance(*cells, n_states=n_states, **given)


def drawn(rng: np.random.Generator, *, paired: bool = False, n: int = 8) -> Cells:
    """Five states over n donors a side, donors differing, without any effect."""
    case = np.repeat([True, False], n)
    donor = np.tile(np.arange(n), 2) if paired else np.arange(2 * n)
    base = rng.dirichlet(np.full(5, 4.0), n if paired else 2 * n)
    share = np.vstack([base, base]) if paired else base
    counts = np.array([rng.multinomial(rng.integers(80, 300), p) for p in share]).T
    return cells_of(counts, case, donor)


def spiked(rng: np.random.Generator, rate: float, *, carriers: int = 5, size: int = 1000) -> Cells:
    """Five states that donors hold in various shares; a sixth in some of 8 case donors."""
    counts = np.zeros((6, 16), int)
    for sample in range(16):
        counts[:5, sample] = rng.multinomial(size, rng.dirichlet(np.full(5, 8.0)))
        held = rng.binomial(size, 0.0005 + (rate if sample < carriers else 0))
        counts[5, sample] = held
    return cells_of(counts, np.arange(16) < 8, np.arange(16))


def test_p_of_unpaired_donors_is_exact() -> None:
    cells = drawn(np.random.default_rng(0), n=4)
    found = compare(cells, 5)
    state, _, donor = cells
    share = np.array([[(state[donor == d] == s).mean() for d in range(8)] for s in range(5)])
    value = np.arcsin(np.sqrt(share))
    for s in range(5):
        differences = []
        for chosen in combinations(range(8), 4):
            rest = [d for d in range(8) if d not in chosen]
            differences.append(value[s, list(chosen)].mean() - value[s, rest].mean())
        observed = differences[0]
        expected = np.mean(np.abs(differences) >= abs(observed) - 1e-12)
        assert found["p"][s] == pytest.approx(expected)
        assert found["effect"][s] == pytest.approx(share[s, :4].mean() - share[s, 4:].mean())
    assert (found["smallest_p"] == 2 / 70).all()
    assert (found["design"] == "unpaired").all()
    assert (found["n_donors"] == 8).all()
    assert found["n_cells"].sum() == len(state)


def test_p_of_paired_donors_flips_signs() -> None:
    rng = np.random.default_rng(1)
    cells = drawn(rng, paired=True, n=6)
    found = compare(cells, 5)
    state, condition, donor = cells
    value = np.array(
        [
            [
                [
                    np.arcsin(np.sqrt((state[(donor == d) & (condition == c)] == s).mean()))
                    for d in range(6)
                ]
                for c in (0, 1)
            ]
            for s in range(5)
        ]
    )
    difference = value[:, 1] - value[:, 0]
    for s in range(5):
        flipped = [np.dot(sign, difference[s]) for sign in product([1, -1], repeat=6)]
        expected = np.mean(np.abs(flipped) >= abs(difference[s].sum()) - 1e-12)
        assert found["p"][s] == pytest.approx(expected)
    assert (found["smallest_p"] == 2 / 64).all()
    assert (found["design"] == "paired").all()


@pytest.mark.parametrize("paired", [True, False])
def test_p_is_uniform_where_the_condition_does_nothing(paired: bool) -> None:
    p = [
        compare(drawn(np.random.default_rng(seed), paired=paired), 5)["p"][0] for seed in range(80)
    ]
    assert ks_1samp(p, uniform.cdf).pvalue > 0.001
    assert np.mean(np.array(p) <= 0.05) < 0.14


def test_many_donors_are_permuted_at_random_with_the_same_result() -> None:
    rng = np.random.default_rng(2)
    cells = drawn(rng, n=10)
    state, condition, donor = cells
    shifted = np.where((condition == 1) & (state == 0) & (rng.random(len(state)) < 0.9), 1, state)
    found = compare((shifted, condition, donor), 5)
    assert found["p"][0] == pytest.approx(1e-4)
    assert found["smallest_p"][0] == 1e-4
    again = compare((shifted, condition, donor), 5)
    pd.testing.assert_frame_equal(found, again)


def test_donors_are_exchanged_within_their_batch_only() -> None:
    """A condition that goes with the batch in part: donors of one batch alone decide."""
    rng = np.random.default_rng(3)
    case = np.array([1, 1, 1, 0, 1, 0, 0, 0]).astype(bool)
    batch = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    counts = np.vstack([rng.integers(50, 90, 8), rng.integers(50, 90, 8)])
    cells = cells_of(counts, case, np.arange(8))
    found = compare(cells, 2, batches=batch[cells[2]])
    assert found["reason"].str.contains("no p below").all()
    case = np.array([1, 1, 0, 0] * 2).astype(bool)
    cells = cells_of(counts, case, np.arange(8))
    found = compare(cells, 2, batches=batch[cells[2]])
    assert found["reason"][0] == "not possible: 4 donors against 4 give no p below 0.056"
    case = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0, 0]).astype(bool)
    batch = np.array([0] * 5 + [1] * 5)
    counts = np.vstack([rng.integers(50, 90, 10), rng.integers(50, 90, 10)])
    cells = cells_of(counts, case, np.arange(10))
    found = compare(cells, 2, batches=batch[cells[2]])
    value = np.arcsin(np.sqrt(counts[0] / counts.sum(axis=0)))
    differences = []
    for a, b in product(combinations(range(5), 2), combinations(range(5, 10), 3)):
        chosen = np.isin(np.arange(10), [*a, *b])
        differences.append(value[chosen].mean() - value[~chosen].mean())
    observed = value[case].mean() - value[~case].mean()
    expected = np.mean(np.abs(differences) >= abs(observed) - 1e-12)
    assert found["p"][0] == pytest.approx(expected)
    assert found["smallest_p"][0] == 1 / 100


def test_a_state_of_five_in_eight_donors_is_found_and_none_without_it() -> None:
    found = {}
    for rate in (0.01, 0.0):
        tables = [compare(spiked(np.random.default_rng(seed), rate), 6) for seed in range(25)]
        found[rate] = np.mean([table["presence_q"][5] < 0.05 for table in tables])
        held = [table["donors_with_case"][5] for table in tables]
        assert np.mean(held) == pytest.approx(5 if rate else 0, abs=0.6)
    assert found[0.01] >= 0.95
    assert found[0.0] <= 0.05


def test_one_donor_alone_cannot_make_a_state_present() -> None:
    counts = np.full((2, 16), 200)
    counts[1] = 0
    counts[1, 0] = 150
    cells = cells_of(counts, np.arange(16) < 8, np.arange(16))
    found = compare(cells, 2)
    assert found["donors_with_case"][1] == 1
    assert found["presence_p"][1] == 1
    counts[1, 1] = 150
    found = compare(cells_of(counts, np.arange(16) < 8, np.arange(16)), 2)
    assert found["donors_with_case"][1] == 2
    assert found["presence_p"][1] < 1e-6


def test_presence_is_a_conditional_binomial_test_without_the_strongest_donor() -> None:
    counts = np.full((2, 10), 400)
    counts[1] = [3, 2, 4, 0, 9, 0, 1, 0, 1, 0]
    cells = cells_of(counts, np.arange(10) < 5, np.arange(10))
    found = compare(cells, 2)
    size = counts.sum(axis=0)
    worst = 0.0
    for left_out in range(5):
        kept = [d for d in range(5) if d != left_out]
        case, control = counts[1, kept].sum(), counts[1, 5:].sum()
        share = size[kept].sum() / (size[kept].sum() + size[5:].sum())
        p = binomtest(case, case + control, share, alternative="greater").pvalue
        worst = max(worst, p)
    assert found["presence_p"][1] == pytest.approx(worst)
    # Few in the controls: the upper bound of their rate is about 5 of 2,000 cells.
    assert found["donors_with_case"][1] == 2 + (binom.sf(2, 403, 0.0024) < 0.05)


def test_control_donors_that_differ_make_presence_harder_to_claim() -> None:
    counts = np.full((2, 16), 1000)
    counts[1, :8] = [0, 9, 1, 12, 8, 2, 10, 9]
    counts[1, 8:] = 2
    even = compare(cells_of(counts, np.arange(16) < 8, np.arange(16)), 2)
    counts[1, 8:] = [16, 0, 0, 0, 0, 0, 0, 0]
    uneven = compare(cells_of(counts, np.arange(16) < 8, np.arange(16)), 2)
    assert uneven["presence_p"][1] > 10 * even["presence_p"][1]


def test_presence_is_not_asked_of_states_that_controls_hold() -> None:
    cells = spiked(np.random.default_rng(0), 0.01)
    found = compare(cells, 6)
    assert found["presence_p"][:5].isna().all()
    assert found["presence_p"].notna()[5]
    state, condition, _ = cells
    assert ((state == 5) & (condition == 0)).sum() <= MAX_CONTROL_SHARE * (condition == 0).sum()


@pytest.mark.parametrize(
    ("donor", "batch", "words"),
    [
        (lambda d, c: None, None, "donors are unknown"),
        (lambda d, c: np.full(len(d), -1), None, "donors are unknown"),
        (lambda d, c: np.zeros(len(d), int), None, "1 donor against 1"),
        (lambda d, c: c.copy(), None, "1 donor against 1"),
        (lambda d, c: d, lambda d, c: c.copy(), "no batch holds both conditions"),
        (lambda d, c: d % 3 + 3 * c, None, "3 donors against 3 give no p below 0.1"),
        (lambda d, c: d % 5, None, "5 pairs give no p below 0.062"),
    ],
)
def test_what_donors_cannot_tell_is_refused_with_a_reason(
    donor: Column, batch: Column | None, words: str
) -> None:
    state, condition, donors = drawn(np.random.default_rng(0))
    batches = None if batch is None else batch(donors, condition)
    found = compare((state, condition, donor(donors, condition)), 5, batches=batches)
    assert found["reason"].str.startswith("not possible: ").all()
    assert found["reason"].str.contains(words).all()
    assert found[P_COLUMNS].isna().all(axis=None)


def test_a_batch_for_every_sample_is_no_confounding() -> None:
    state, condition, donors = drawn(np.random.default_rng(0))
    found = compare((state, condition, donors), 5, batches=donors.copy())
    assert (found["reason"] == "").all()
    assert found["p"].notna().all()


def test_samples_of_few_cells_and_donors_without_partner_are_left_out() -> None:
    counts = np.full((2, 15), 50)
    counts[:, 0] = 5
    donor = np.array([0, *range(7), *range(6), 9])
    case = np.array([True] + [True] * 7 + [False] * 7)
    cells = cells_of(counts, case, np.where(np.arange(15) == 0, 20, donor))
    samples = collect_samples(*cells, n_states=2, case=1, control=0)
    assert samples.paired
    assert samples.donor.tolist() == [d for d in range(6) for _ in range(2)]
    assert samples.reason == ""


def test_all_pairs_of_conditions_share_one_adjustment() -> None:
    rng = np.random.default_rng(5)
    state, condition, donors = drawn(rng, n=9)
    condition = donors // 6
    found = compare_conditions(state, condition, donors, n_states=5, rng=rng)
    pairs = found[["case", "control"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [[1, 0], [2, 0], [2, 1]]
    p = found["p"].to_numpy()
    order = np.argsort(p)
    q = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    np.testing.assert_allclose(found["q"].to_numpy()[order], q.clip(max=1))
    assert compare_conditions(state, condition * 0, donors, n_states=5, rng=rng).empty
