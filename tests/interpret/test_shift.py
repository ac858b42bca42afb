from itertools import product

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from scipy.special import polygamma

from scypher.encoders.counts import normalise
from scypher.encoders.errors import InputError
from scypher.interpret.donors.design import choose_design, sign_flips
from scypher.interpret.donors.moderated_t import _inverse_trigamma, moderated_p
from scypher.interpret.gene_sets.enrichment import enrich
from scypher.interpret.gene_sets.library import read_gmt
from scypher.interpret.shift import find_shift

COLUMNS = [
    "group",
    "gene",
    "log2_fold_change",
    "mean_a",
    "mean_b",
    "p",
    "q",
    "donors_agreeing",
    "n_donors",
    "attention_difference",
    "attention_p",
    "attention_q",
    "rank",
    "note",
]


def toy(seed=0, n_donors=6, n_cells=900, n_genes=220, paired=True):
    """Two groups; in group 1 gene 3 goes up and gene 4 down, each donor with levels of its own."""
    rng = np.random.default_rng(seed)
    donors = rng.integers(0, n_donors, n_cells)
    groups = rng.integers(0, 2, n_cells)
    condition = rng.integers(0, 2, n_cells) if paired else donors % 2
    rate = rng.gamma(2, 1, n_genes) * rng.lognormal(0, 0.25, (n_donors, n_genes))[donors]
    rate[(groups == 1) & (condition == 1), 3] *= 4
    rate[(groups == 1) & (condition == 1), 4] /= 4
    counts = sp.csr_matrix(rng.poisson(rate).astype(float))
    expression = normalise(counts, np.asarray(counts.sum(1)).ravel())
    attention = expression.copy()
    attention.data = rng.lognormal(0, 0.2, attention.nnz) * attention.data
    return expression, groups, condition, donors, attention


def run(expression, groups, condition, donors, attention=None, **options):
    return find_shift(
        expression,
        groups,
        2,
        condition=condition,
        donors=donors,
        attention=attention,
        rng=np.random.default_rng(0),
        top=10**6,
        **options,
    )


@pytest.mark.parametrize("paired", [True, False])
def test_planted_shift_is_found(paired):
    expression, groups, condition, donors, attention = toy(n_donors=12, paired=paired)
    found = run(expression, groups, condition, donors, attention)
    table = found.table
    assert found.refused.empty
    assert list(table.columns) == COLUMNS
    assert not table.isna().any(axis=None)
    assert table["p"].between(0, 1, inclusive="right").all()
    own = table[table["group"] == 1].set_index("gene")
    assert set(own.index[own["rank"] <= 2]) == {3, 4}
    assert own.loc[3, "log2_fold_change"] > 1 > -1 > own.loc[4, "log2_fold_change"]
    assert own.loc[3, "donors_agreeing"] == own.loc[3, "n_donors"] == 12
    assert (own.loc[[3, 4], "q"] < 0.05).all()
    assert own.loc[3, "attention_difference"] > 0 > own.loc[4, "attention_difference"]
    assert (own.loc[[3, 4], "attention_q"] < 0.05).all()
    assert (table.loc[table["group"] == 0, "q"] < 0.05).mean() < 0.02
    kind = "paired over 12 donors" if paired else "6 donors against 6 others, unpaired"
    assert set(table["note"]) == {kind}


def test_means_and_signs_equal_a_loop():
    expression, groups, condition, donors, attention = toy()
    table = run(expression, groups, condition, donors, attention).table
    raw, look = np.expm1(expression.toarray().astype(float)), attention.toarray()
    for row in table[table["gene"] % 17 == 0].itertuples():
        sides = [[], []]
        seen = [[], []]
        for donor, side in product(range(6), range(2)):
            own = (groups == row.group) & (donors == donor) & (condition == side)
            sides[side].append(raw[own, row.gene].mean())
            seen[side].append(look[own, row.gene].mean())
        a, b = (np.array(side) for side in sides)
        change = np.log2(1 + b) - np.log2(1 + a)
        assert row.mean_a == pytest.approx(a.mean(), rel=1e-5)
        assert row.mean_b == pytest.approx(b.mean(), rel=1e-5)
        assert row.log2_fold_change == pytest.approx(change.mean(), abs=1e-5)
        assert row.donors_agreeing == (np.sign(change) == np.sign(change.mean())).sum()
        difference = np.mean(seen[1]) - np.mean(seen[0])
        assert row.attention_difference == pytest.approx(difference, abs=1e-5)


def test_moderated_p_is_between_the_plain_and_the_pooled_test():
    rng = np.random.default_rng(0)
    n, df = 5000, 4
    # variances drawn from the prior: d0 = 10, s0^2 = 2
    variance = 2 * 10 / rng.chisquare(10, n)
    y = rng.normal(0, np.sqrt(variance), (df + 1, n))
    p = moderated_p(y.mean(0), y.var(0, ddof=1), y.mean(0) * 0, df=df, unit=1 / np.sqrt(df + 1))
    assert stats.kstest(p, "uniform").statistic < 0.03
    # with an endless prior it is a z test, without one a t test
    s2 = np.full(50, 3.0)
    z = moderated_p(np.full(50, 2.0), s2, np.zeros(50), df=4, unit=1.0)
    e = np.log(3.0) - float(stats.loggamma.mean(2)) + np.log(2)
    np.testing.assert_allclose(z, 2 * stats.norm.sf(2 / np.sqrt(np.exp(e))), rtol=1e-6)


def test_inverse_trigamma():
    for x in (0.01, 0.5, 3.0, 400.0):
        assert _inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-7)


def test_p_is_calibrated_when_donors_are_swapped_at_random():
    expression, groups, condition, donors, attention = toy(n_donors=8, n_genes=300)
    expression, attention = (matrix[:, 5:] for matrix in (expression, attention))
    rng = np.random.default_rng(1)
    small, small_attention = [], []
    for _ in range(6):
        swap = rng.random(8) < 0.5
        table = run(
            expression, groups, np.where(swap[donors], 1 - condition, condition), donors, attention
        ).table
        assert (table[["q", "attention_q"]] < 0.05).to_numpy().mean() < 0.01
        small.append((table["p"] < 0.05).mean())
        small_attention.append((table["attention_p"] < 0.05).mean())
    assert 0.01 < np.mean(small) < 0.08
    assert 0.01 < np.mean(small_attention) < 0.08


def test_donor_effect_is_no_shift():
    # one donor is much of b and little of a, and has gene 9 high: cells alone would be fooled
    rng = np.random.default_rng(3)
    donors = np.repeat(np.arange(5), 120)
    condition = (rng.random(600) < np.array([0.9, 0.3, 0.3, 0.3, 0.3])[donors]).astype(int)
    rate = np.full((600, 60), 2.0)
    rate[donors == 0, 9] = 20
    counts = sp.csr_matrix(rng.poisson(rate).astype(float))
    expression = normalise(counts, np.asarray(counts.sum(1)).ravel())
    groups = np.zeros(600, int)
    q = {}
    for name, known in (("donors", donors), ("cells", None)):
        table = run(expression, groups, condition, known).table.set_index("gene")
        q[name] = table.loc[9, "q"]
        assert ("CELLS ONLY" in table.loc[9, "note"]) == (name == "cells")
    assert q["cells"] < 1e-6
    assert q["donors"] > 0.05


@pytest.mark.parametrize(
    ("donor", "batch", "kind", "said"),
    [
        ([0, 1, 2, 3], [0, 0], "paired", "paired over 4 donors"),
        ([0, 1, 2, 3], [0, 1], "paired", "an effect of the batch would look the same"),
        (None, [0, 0], "cells", "donors unknown"),
        (None, [0, 1], "", "cannot be told from the batch"),
        ([0], [0, 0], "cells", "too few donors under both"),
        ([-1], [0, 0], "cells", "donors unknown"),
    ],
)
def test_design(donor, batch, kind, said):
    condition = np.repeat([0, 1], 60)
    cells = np.resize(donor if donor is not None else [-1], 120)
    found = choose_design(condition, cells, np.asarray(batch)[condition])
    assert found.kind == kind
    assert said in found.note + found.refusal


def test_a_condition_of_one_donor_is_refused():
    condition = np.repeat([0, 1], 60)
    donor = np.where(condition == 0, np.resize([0, 1, 2], 120), 3)
    assert "told from the donor" in choose_design(condition, donor, donor * 0 - 1).refusal
    donor = np.where(condition == 0, np.resize([0, 1, 2], 120), np.resize([3, 4, 5], 120))
    assert choose_design(condition, donor, donor * 0 - 1).kind == "unpaired"
    few = choose_design(condition[:62], donor[:62], donor[:62] * 0 - 1)
    assert "fewer than 10 cells" in few.refusal


def test_refused_groups_are_named():
    expression, groups, condition, donors, _ = toy()
    groups[:] = np.where(groups == 1, 1, -1)
    found = run(expression, groups, condition, donors)
    assert found.refused["group"].tolist() == [0]
    assert set(found.table["group"]) == {1}
    nothing = run(expression, groups, np.full_like(condition, -1), donors)
    assert nothing.table.empty
    assert list(nothing.table.columns) == COLUMNS
    assert len(nothing.refused) == 2


def test_flips_leave_out_what_was_observed():
    flips = sign_flips(4, np.random.default_rng(0), 9)
    assert flips.shape == (14, 4)
    assert len(np.unique(flips, axis=0)) == 14
    assert (np.abs(flips.sum(1)) < 4).all()
    np.testing.assert_array_equal(flips.sum(0), 0)
    assert sign_flips(12, np.random.default_rng(0), 9).shape == (9, 12)


def test_bad_input_is_refused():
    expression, groups, condition, donors, attention = toy(n_cells=60)
    with pytest.raises(InputError, match="59 conditions"):
        run(expression, groups, condition[1:], donors)
    with pytest.raises(InputError, match="conditions from 0 to 2"):
        run(expression, groups, condition * 2, donors)
    with pytest.raises(InputError, match="attention of shape"):
        run(expression, groups, condition, donors, attention[:, :5])


def test_interferon_shifts_blood_of_eight_donors(data_dir):
    data = anndata.read_h5ad(data_dir / "blood_kang_ifnb.h5ad")
    counts = sp.csr_matrix(data.X, dtype=np.float64)
    expression = normalise(counts, np.asarray(counts.sum(1)).ravel())
    label = data.obs["cell_type"].astype("category").cat
    donor = data.obs["donor"].astype("category").cat
    unknown = list(donor.categories).index("unassigned")
    found = find_shift(
        expression,
        label.codes.to_numpy().astype(int),
        len(label.categories),
        condition=(data.obs["condition"] != "control").to_numpy().astype(int),
        donors=np.where(donor.codes == unknown, -1, donor.codes).astype(int),
        batches=data.obs["batch"].astype("category").cat.codes.to_numpy().astype(int),
        rng=np.random.default_rng(0),
    )
    table = found.table.assign(symbol=data.var_names.to_numpy()[found.table["gene"]])
    names = np.asarray(label.categories)
    # types with few cells per donor are refused, not guessed
    assert set(names[found.refused["group"]]) == {
        "Erythroid",
        "Megakaryocyte",
        "Plasmacytoid dendritic",
    }
    assert table["note"].str.contains("would look the same").all()
    library = read_gmt(data_dir / "knowledge" / "genesets_hallmark.gmt")
    first = table[table["symbol"].isin(["ISG15", "IFI6", "MX1"]) & (table["rank"] <= 25)]
    for group in table["group"].unique():
        name = names[group]
        assert set(first.loc[first["group"] == group, "symbol"]) == {"ISG15", "IFI6", "MX1"}, name
    up = table[(table["log2_fold_change"] > 0) & (table["q"] < 0.05)]
    queries = {str(names[group]): rows["symbol"].tolist() for group, rows in up.groupby("group")}
    best = enrich(queries, library, list(data.var_names)).groupby("query").head(2)
    for name, rows in best.groupby("query"):
        assert "HALLMARK_INTERFERON_ALPHA_RESPONSE" in set(rows["name"]), name
        assert rows["name"].str.contains("INTERFERON").all()
