import numpy as np
import pytest

from scypher.interpret.intermediate.doublets import (
    _mixing_spread,
    _partners,
    compare,
    library_is_sum,
    library_ratio,
)
from scypher.interpret.intermediate.profiles import Profiles, scale_counts, state_profiles


def compared(toy, pair=(0, 1), strata=None, seed=0):
    totals = np.asarray(toy.counts.sum(axis=1)).ravel()
    profiles = state_profiles(scale_counts(toy.counts, totals), totals, toy.labels, 4)
    return compare(
        toy.counts,
        profiles,
        state=3,
        pair=pair,
        member=toy.labels,
        strata=np.zeros(len(toy.labels), int) if strata is None else strata,
        genes=np.arange(toy.counts.shape[1]),
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("seed", range(3))
def test_doublets_are_not_told_from_doublets_and_transitions_are(make_toy, seed):
    assert compared(make_toy("doublet", seed)).score > 0.7
    assert compared(make_toy("transition", seed)).score < 0.5
    assert compared(make_toy("graded", seed)).score < 0.5


def test_doublets_of_another_pair_are_told_from_it(make_toy):
    assert compared(make_toy("doublet"), pair=(0, 2)).score < 0.1


def test_same_seed_same_result(make_toy):
    toy = make_toy("doublet")
    assert compared(toy, seed=3) == compared(toy, seed=3)


def test_the_spread_of_doublets_is_that_of_doublets_and_a_transition_is_wider(make_toy):
    doublets = [compared(make_toy("doublet", seed)).spread for seed in range(3)]
    graded = [compared(make_toy("graded", seed)).spread for seed in range(3)]
    assert np.mean(doublets) == pytest.approx(1, abs=0.25)
    assert min(graded) > 1.3


def test_the_spread_is_that_of_the_planted_share_whatever_the_depth():
    rng = np.random.default_rng(0)
    first, second = rng.gamma(1, 1, 200), rng.gamma(1, 1, 200)
    profile = np.stack([first / first.sum(), second / second.sum()])
    empty = np.zeros((2, 200))
    one = np.ones(2)
    profiles = Profiles(one, one, profile * 1e4, empty, empty)
    import scipy.sparse as sp

    for depth in (500, 5000):
        t = rng.random(2000)[:, None]
        counts = rng.poisson(((1 - t) * profile[0] + t * profile[1]) * depth)
        genes = np.arange(200)
        spread = _mixing_spread(sp.csr_matrix(counts), profiles, (0, 1), genes=genes, rng=rng)
        assert spread == pytest.approx(np.sqrt(1 / 12), rel=0.06)


def test_both_cells_of_a_doublet_are_of_one_donor_and_no_cell_is_in_two():
    rng = np.random.default_rng(0)
    member = rng.integers(0, 3, 600)
    donor = rng.integers(0, 4, 600)
    # donor 3 has no cell of the second state: none of its cells can be in a doublet
    member[(donor == 3) & (member == 1)] = 0
    wanted = donor[member == 2][:80]
    first, second = _partners(wanted, member, (0, 1), strata=donor, rng=rng)
    assert len(first) == len(second) == 80
    assert (member[first] == 0).all()
    assert (member[second] == 1).all()
    assert (donor[first] == donor[second]).all()
    assert 3 not in donor[first]
    assert len(np.unique(first)) == len(np.unique(second)) == 80


def test_without_a_shared_donor_doublets_are_made_of_all_cells():
    rng = np.random.default_rng(0)
    member = np.repeat([0, 1, 2], 50)
    first, second = _partners(member[100:], member, (0, 1), strata=member, rng=rng)
    assert set(member[first]) == {0}
    assert set(member[second]) == {1}


def test_the_library_of_a_doublet_is_the_sum():
    library = np.array([2000.0, 1000.0, 2900.0, 1500.0, 200_000.0])
    many, empty = np.ones(5), np.zeros((5, 1))
    profiles = Profiles(many, library, empty, empty, empty)
    assert library_is_sum(profiles, state=2, pair=(0, 1), weight=2 / 3)
    assert not library_is_sum(profiles, state=3, pair=(0, 1), weight=0.5)
    # one library is hundred times the other: nothing can be said
    assert not library_is_sum(profiles, state=4, pair=(4, 0), weight=0.99)
    ratio = library_ratio(
        profiles, state=np.array([2, 3]), first=np.array([0, 0]), second=np.array([1, 1])
    )
    assert ratio == pytest.approx([2900 / 3000, 0.5])
