import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scypher.encoders.errors import InputError
from scypher.interpret.intermediate import intermediate_states
from scypher.interpret.intermediate.certificate import COLUMNS
from scypher.kg.states import States


def certificate(toy, donors=None, seed=0, **given):
    rng = np.random.default_rng(seed)
    found = intermediate_states(
        toy.counts, toy.states, toy.graph, donors=donors, rng=rng, n_permutations=199, **given
    )
    ends = (found["state"] == 3) & (found["from_state"] == 0) & (found["to_state"] == 1)
    return found, found[ends].iloc[0]


@pytest.fixture(scope="module")
def donors():
    return np.random.default_rng(9).integers(0, 3, 420)


def test_a_transition_is_certified_and_its_numbers_are_those_of_the_plant(make_toy, donors):
    toy = make_toy("transition")
    found, row = certificate(toy, donors)
    assert list(found) == COLUMNS
    assert row["verdict"] == "certified"
    assert row["reason"] == "passed all tests that could be made"
    assert row[["path_ok", "soft_ok", "doublet_ok", "mixture_ok", "donors_ok"]].all()
    assert (row["n_cells"], row["n_donors"]) == (60, 3)
    assert row["own_genes"] >= 10
    assert row["library_ratio"] == pytest.approx(0.5, abs=0.1)
    assert row["mixture_weight"] == pytest.approx(0.5, abs=0.15)
    dense = toy.states.connectivity.toarray()
    assert row["connectivity_min"] == pytest.approx(min(dense[3, 0], dense[3, 1]))
    assert row["soft_p"] == 1 / 200
    assert found["verdict"].iloc[0] == "certified"


def test_a_graded_transition_without_own_genes_is_certified(make_toy, donors):
    _, row = certificate(make_toy("graded"), donors)
    assert row["verdict"] == "certified"
    assert row["own_genes"] < 5
    assert row["mixture_spread"] > 1.3


def test_doublets_are_refused_with_the_reason(make_toy, donors):
    found, row = certificate(make_toy("doublet"), donors)
    assert (found.loc[found["state"] == 3, "verdict"] == "refused").all()
    assert not row["doublet_ok"]
    assert not row["mixture_ok"]
    assert "not told from simulated doublets" in row["reason"]
    assert "library about the sum" in row["reason"]
    assert row["library_ratio"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", ["none", "unknown", "one"])
def test_without_donors_nothing_is_certified(make_toy, kind):
    given = {"none": None, "unknown": np.full(420, -1), "one": np.zeros(420, int)}[kind]
    _, row = certificate(make_toy("transition"), given)
    assert row["verdict"] == "provisional"
    assert not row["donors_ok"]
    assert row["n_donors"] == 0
    assert "replication not possible" in row["reason"]


def test_a_state_of_one_donor_is_refused(make_toy, donors):
    toy = make_toy("transition")
    one = np.where(toy.labels == 3, 0, donors)
    _, row = certificate(toy, one)
    assert row["verdict"] == "refused"
    assert row["reason"] == "fewer than 2 donors with 3 cells in all three"


def test_few_cells_are_refused_and_not_tested_further(make_toy):
    _, row = certificate(make_toy("transition", n=15))
    assert row["verdict"] == "refused"
    assert "fewer than 20 cells" in row["reason"]
    assert np.isnan(row["doublet_score"])
    assert row["own_genes"] == -1


def test_same_seed_same_table(make_toy, donors):
    toy = make_toy("transition")
    first, second = (certificate(toy, donors, seed=4)[0] for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_finer_states_are_tested_beside_coarse_ones_that_are_not_split(make_toy):
    toy = make_toy("transition")
    # one coarse state of the ends and the middle, split in three; the other type is not split
    coarse = np.where(toy.labels == 2, 1, 0)
    fine = np.select([toy.labels == 0, toy.labels == 1, toy.labels == 3], [2, 3, 4], -1)
    table = pd.DataFrame({"name": list("abcde"), "level": [1, 1, 2, 2, 2], "parent": -1})
    table["size"] = [300, 120, 120, 120, 60]
    flat = toy.states.connectivity.toarray()
    both = np.zeros((5, 5))
    both[2:, 2:] = flat[np.ix_([0, 1, 3], [0, 1, 3])]
    cell = np.column_stack([coarse, fine])
    states = States(table, cell, {}, sp.csr_matrix(both))
    rng = np.random.default_rng(0)
    found = intermediate_states(toy.counts, states, toy.graph, rng=rng, n_permutations=199)
    assert found[["state", "from_state", "to_state"]].to_numpy().tolist() == [[4, 2, 3]]
    assert found["verdict"].tolist() == ["provisional"]


def test_two_states_give_an_empty_table(make_toy, make_states):
    toy = make_toy("graded")
    states = make_states(np.where(toy.labels == 0, 0, 1), toy.graph)
    found = intermediate_states(toy.counts, states, toy.graph, rng=np.random.default_rng(0))
    assert found.empty
    assert list(found) == COLUMNS


def test_other_cells_are_an_error(make_toy):
    toy = make_toy("graded")
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="donors of 3 cells"):
        intermediate_states(toy.counts, toy.states, toy.graph, donors=np.zeros(3), rng=rng)
    with pytest.raises(InputError, match="neighbours of 10 cells"):
        intermediate_states(toy.counts, toy.states, toy.graph[:10], rng=rng)


def test_a_lean_that_is_significant_but_minute_is_refused(make_toy, monkeypatch):
    toy = make_toy("graded")
    assert certificate(toy)[1]["soft_ok"]
    monkeypatch.setattr("scypher.interpret.intermediate.certificate.MIN_SOFT", 0.9)
    _, row = certificate(toy)
    assert row["soft_p"] == 1 / 200
    assert not row["soft_ok"]
    assert row["reason"].startswith("its cells do not lean to both ends")
