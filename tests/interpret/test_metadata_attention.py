from itertools import product

import numpy as np
import pytest

from scypher.encoders.errors import InputError
from scypher.interpret.metadata_attention import metadata_attention

COLUMNS = ["state", "field", "value", "weight", "lift", "z", "p", "q", "n_cells", "n_donors"]
N = 720


def cells(seed=0):
    """Six donors, three states; a condition within donors, a disease and a sex between them."""
    rng = np.random.default_rng(seed)
    donors = rng.integers(0, 6, N)
    groups = rng.integers(0, 3, N)
    values = {
        "condition": rng.integers(0, 2, N),
        "disease": donors // 3,
        "donor": donors.copy(),
    }
    # each donor has its own level: cells of one donor are alike
    level = rng.lognormal(0, 0.3, 6)[donors]
    weights = {field: level * rng.lognormal(0, 0.2, N) for field in values}
    return rng, donors, groups, values, weights


def run(weights, values, groups, donors, seed=0, **options):
    return metadata_attention(
        weights, values, groups, 3, donors=donors, rng=np.random.default_rng(seed), **options
    )


def test_planted_attention_is_found():
    _, donors, groups, values, weights = cells()
    weights["condition"][(groups == 1) & (values["condition"] == 1)] *= 1.5
    found = run(weights, values, groups, donors)
    table = found.table
    assert list(table.columns) == [*COLUMNS, "null"]
    assert not table.isna().any(axis=None)
    assert table["p"].between(0, 1, inclusive="right").all()
    own = table[(table["field"] == "condition") & (table["state"] == 1) & (table["value"] == 1)]
    assert own["null"].item() == "cells within donors"
    assert own["q"].item() < 0.05
    assert own["z"].item() > 5
    assert 1.2 < own["lift"].item() < 1.5
    # the share of the state in its own donor drags the usual value along
    other = table[(table["field"] == "condition") & (table["value"] == 0)]
    assert (other["q"] > 0.05).all()


def test_numbers_equal_a_loop():
    _, donors, groups, values, weights = cells(1)
    groups[:30] = -1
    donors[:15] = -1
    values["condition"][40:60] = -1
    weights["condition"][40:60] = np.nan
    table = run(weights, values, groups, donors, n_permutations=19).table
    for row in table.itertuples():
        weight, value = weights[row.field], values[row.field]
        own = (groups == row.state) & (value == row.value)
        assert row.n_cells == own.sum()
        assert row.weight == pytest.approx(weight[own].mean())
        assert row.n_donors == len(set(donors[own]) - {-1})
        usual = [weight[(donors == donor) & (value == row.value)].mean() for donor in donors[own]]
        assert row.lift == pytest.approx(weight[own].mean() / np.mean(usual))


def test_between_donors_every_flip_counts():
    _, donors, groups, values, weights = cells(2)
    table = run(weights, values, groups, donors, n_permutations=20_000).table
    rows = table[table["field"] == "disease"]
    assert set(rows["null"]) == {"donors"}
    for row in rows.itertuples():
        gaps = []
        for donor in np.unique(donors[values["disease"] == row.value]):
            inside = (donors == donor) & (groups == row.state)
            rest = (donors == donor) & (groups != row.state)
            gaps.append(weights["disease"][inside].mean() - weights["disease"][rest].mean())
        flips = np.array(list(product([1, -1], repeat=len(gaps)))) @ gaps / len(gaps)
        exact = (np.abs(flips) >= abs(np.mean(gaps)) - 1e-12).mean()
        assert row.p == pytest.approx(exact, abs=0.03)
        assert row.p >= 0.2  # three donors cannot say more
        spread = np.sqrt(np.square(gaps).sum()) / len(gaps)
        assert row.z == pytest.approx(np.mean(gaps) / spread, abs=0.05)


def test_a_value_of_one_donor_is_not_tested():
    _, donors, groups, values, weights = cells()
    found = run(weights, values, groups, donors, n_permutations=19)
    rows = found.table[found.table["field"] == "donor"]
    assert rows["null"].str.startswith("not possible").all()
    assert (rows[["p", "q"]] == 1).all(axis=None)
    assert any("donor" in note and "not possible" in note for note in found.notes)


def test_without_donors_the_null_says_cells():
    _, _, groups, values, weights = cells()
    table = run(weights, values, groups, None, n_permutations=19).table
    assert set(table["null"]) == {"cells"}
    assert (table["n_donors"] == 0).all()


def test_shuffled_states_find_nothing():
    rng, donors, groups, values, weights = cells()
    small = []
    for seed in range(20):
        table = run(weights, values, rng.permutation(groups), donors, seed, n_permutations=199)
        rows = table.table[table.table["null"] == "cells within donors"]
        assert (rows["q"] < 0.05).mean() <= 0.2
        small += (rows["p"] < 0.05).tolist()
    assert np.mean(small) < 0.12


@pytest.mark.parametrize("case", ["no field", "single field", "constant", "unknown", "no state"])
def test_nothing_to_say_is_said(case):
    _, donors, groups, values, weights = cells()
    values = {"condition": values["condition"]}
    weights = {"condition": weights["condition"]}
    if case == "no field":
        weights = values = {}
    elif case == "single field":
        weights["condition"] = np.ones(N)
    elif case == "constant":
        weights["condition"] = np.full(N, 0.7)
    elif case == "unknown":
        weights["condition"] = np.full(N, np.nan)
        values["condition"] = np.full(N, -1)
    else:
        groups[:] = -1
    found = run(weights, values, groups, donors, n_permutations=9)
    assert found.table.empty
    assert list(found.table.columns) == [*COLUMNS, "null"]
    assert found.table["state"].dtype == np.int64
    if case != "no state":
        assert "not possible" in found.notes[0]


def test_few_cells_are_not_tested():
    _, donors, groups, values, weights = cells()
    groups[:] = 0
    groups[:5] = 1
    table = run(weights, values, groups, donors, n_permutations=9).table
    assert table["null"].str.startswith("not possible: fewer").all()


def test_bad_input_is_refused():
    _, donors, groups, values, weights = cells()
    with pytest.raises(InputError, match="expected one per cell"):
        run(weights, values, groups[:9], donors)
    with pytest.raises(InputError, match="0 values of sex"):
        run({"sex": weights["donor"]}, values, groups, donors)


def test_same_seed_same_table():
    _, donors, groups, values, weights = cells()
    a, b = (run(weights, values, groups, donors, n_permutations=49).table for _ in range(2))
    assert a.equals(b)
