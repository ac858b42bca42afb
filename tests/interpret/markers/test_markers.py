import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from scipy.special import comb

from scypher.encoders.errors import InputError
from scypher.interpret.attention_null import MIN_CELLS, attention_test, shuffle
from scypher.interpret.markers.consensus import rank_markers
from scypher.interpret.markers.rank_sum import rank_sum
from scypher.interpret.statistics import SMALLEST, adjust, two_sided

FAMOUS = {
    "B": {"CD79A", "MS4A1"},
    "NK": {"GNLY", "NKG7"},
    "CD14+ monocyte": {"LYZ", "S100A8", "S100A9"},
    "Platelet": {"PPBP", "PF4"},
}


def toy(seed=0, n_cells=300, n_genes=120, planted=3):
    """Counts of three groups; genes 0, 1, 2 are raised in groups 0, 1, 2, as is the attention."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, n_cells)
    rate = np.tile(rng.gamma(0.5, 1.0, n_genes) + 0.05, (n_cells, 1))
    for gene in range(planted):
        rate[groups == gene, gene] += 3
    counts = rng.poisson(rate).astype(float)
    expression = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    attention = np.where(counts > 0, rng.lognormal(0, 0.5, counts.shape) * np.sqrt(counts), 0)
    return (
        sp.csr_matrix(expression.astype(np.float32)),
        groups,
        sp.csr_matrix(attention.astype(np.float32)),
    )


def normalise(counts):
    scale = sp.diags(1e4 / np.asarray(counts.sum(1), dtype=float).ravel())
    matrix = (scale @ counts).tocsr().astype(np.float32)
    matrix.data = np.log1p(matrix.data)
    return matrix


@pytest.fixture(scope="module")
def pbmc(data_dir):
    import anndata

    data = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")
    data.X = normalise(data.X)
    return data


def test_rank_sum_equals_scipy():
    expression, groups, _ = toy()
    groups[:20] = -1
    result = rank_sum(expression, groups, 3)
    dense = expression.toarray().astype(float)
    for group in range(3):
        inside = groups == group
        for gene in range(0, dense.shape[1], 7):
            a, b = dense[inside, gene], dense[~inside, gene]
            oracle = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
            assert result["p"][group, gene] == pytest.approx(oracle.pvalue, rel=1e-9)
            area = oracle.statistic / (len(a) * len(b))
            assert result["auroc"][group, gene] == pytest.approx(area, rel=1e-12)
        means = np.expm1(dense)
        np.testing.assert_allclose(result["mean"][group], means[inside].mean(0), rtol=1e-9)
        np.testing.assert_allclose(result["mean_other"][group], means[~inside].mean(0), rtol=1e-9)
        np.testing.assert_allclose(result["detected"][group], (dense[inside] > 0).mean(0))
        np.testing.assert_allclose(result["detected_other"][group], (dense[~inside] > 0).mean(0))


def test_rank_sum_is_the_same_in_blocks(monkeypatch):
    expression, groups, _ = toy()
    whole = rank_sum(expression, groups, 3, calibrated=True)
    monkeypatch.setattr("scypher.interpret.markers.rank_sum._ENTRIES_AT_ONCE", 500)
    parts = rank_sum(expression, groups, 3, calibrated=True)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name])


def test_rank_sum_equals_scanpy(pbmc):
    import scanpy as sc

    data = pbmc[:, ::20].copy()
    sc.tl.rank_genes_groups(data, "cell_type", method="wilcoxon", tie_correct=True)
    label = data.obs["cell_type"].cat
    result = rank_sum(data.X, label.codes.to_numpy(), len(label.categories))
    for group, name in enumerate(label.categories):
        table = sc.get.rank_genes_groups_df(data, name).set_index("names").loc[data.var_names]
        known = np.isfinite(table["scores"].to_numpy())
        np.testing.assert_allclose(result["z"][group, known], table["scores"][known], atol=1e-5)
        np.testing.assert_allclose(result["p"][group, known], table["pvals"][known], atol=1e-9)


def test_p_is_never_zero():
    p = two_sided(np.array([0.0, 1.959963985, -1.959963985, 40.0, -300.0]))
    np.testing.assert_allclose(p[:3], [1, 0.05, 0.05], rtol=1e-8)
    assert SMALLEST <= p[3] == p[4] < 1e-300


def test_q_equals_a_short_loop():
    p = np.random.default_rng(0).uniform(size=(7, 9)) ** 3
    order = np.argsort(p.ravel())
    q, least = np.empty(p.size), 1.0
    for rank in range(p.size, 0, -1):
        least = min(least, p.ravel()[order[rank - 1]] * p.size / rank)
        q[order[rank - 1]] = least
    np.testing.assert_allclose(adjust(p).ravel(), q)
    assert adjust(np.empty((0, 3))).shape == (0, 3)


def test_rare_gene_in_small_group_gets_the_probability_of_its_detection():
    # equal values: the rank sum says how many of the k detecting cells are among the n of the group
    n_cells, n, k = 2000, 12, 5
    expression = sp.lil_matrix((n_cells, 2), dtype=np.float32)
    expression[[0, 1, 100, 101, 102], 0] = 1.0
    expression[:, 1] = 1.0
    groups = np.where(np.arange(n_cells) < n, 0, -1)
    plain = rank_sum(expression.tocsr(), groups, 1)["p"][0, 0]
    exact = rank_sum(expression.tocsr(), groups, 1, calibrated=True)["p"][0]
    two_or_more = 1 - sum(
        comb(k, m, exact=True) * comb(n_cells - k, n - m, exact=True) for m in (0, 1)
    ) / comb(n_cells, n, exact=True)
    assert exact[0] == pytest.approx(2 * two_or_more, rel=1e-6)
    assert plain < 1e-20 < exact[0]
    assert exact[1] == 1


def test_calibrated_p_follows_permutations():
    rng = np.random.default_rng(3)
    n_cells, n_draws = 400, 20_000
    values = np.zeros(n_cells, dtype=np.float32)
    values[:12] = rng.uniform(1, 3, 12)
    groups = np.full(n_cells, -1)
    groups[[0, 3, 5, 100, 101, 102, 103, 104, 105, 106]] = 0
    seen = rank_sum(sp.csr_matrix(values[:, None]), groups, 1, calibrated=True)
    ranks = stats.rankdata(values)
    drawn = np.array([rng.permutation(ranks)[:10].sum() for _ in range(n_draws)])
    share = 2 * (drawn >= ranks[groups == 0].sum()).mean()
    assert seen["p"][0, 0] == pytest.approx(share, rel=0.5)


def test_attention_score_equals_the_formula():
    _, groups, attention = toy()
    groups[:10] = -1
    strata = np.zeros(len(groups), int)
    result = attention_test(
        attention, groups, 3, strata=strata, rng=np.random.default_rng(0), n_permutations=30
    )
    dense = attention.toarray().astype(float)
    inner = np.array([dense[groups == group].mean(0) for group in range(3)])
    outer = np.array([dense[groups != group].mean(0) for group in range(3)])
    share = np.array([(dense[groups == group] > 0).mean(0) for group in range(3)])
    epsilon = np.quantile(inner[inner > 0], 0.05)
    lift = (inner + epsilon) / (outer + epsilon)
    np.testing.assert_allclose(result.lift, lift, rtol=1e-9)
    np.testing.assert_allclose(result.score, np.log2(lift) * share, rtol=1e-9)
    assert ((result.p > 0) & (result.p <= 1)).all()


def test_attention_null_equals_a_loop():
    _, groups, attention = toy(n_genes=40)
    dense = attention.toarray().astype(float)
    strata = np.zeros(len(groups), int)
    result = attention_test(
        attention, groups, 3, strata=strata, rng=np.random.default_rng(0), n_permutations=2000
    )
    means = np.array([dense[groups == group].mean(0) for group in range(3)])
    epsilon = np.quantile(means[means > 0], 0.05)
    rng = np.random.default_rng(1)
    null = np.empty((2000, dense.shape[1]))
    for draw in range(2000):
        inside = rng.permutation(groups) == 1
        lift = (dense[inside].mean(0) + epsilon) / (dense[~inside].mean(0) + epsilon)
        null[draw] = np.log2(lift) * (dense[inside] > 0).mean(0)
    z = (result.score[1] - null.mean(0)) / null.std(0)
    np.testing.assert_allclose(result.z[1], z, rtol=0.1, atol=0.1)
    own = (np.abs(null - null.mean(0)) >= np.abs(result.score[1] - null.mean(0))).mean(0)
    np.testing.assert_allclose(result.p[1], own, atol=0.1)  # pooled over genes


def test_attention_is_the_same_in_chunks(monkeypatch):
    _, groups, attention = toy(n_genes=600)
    tests = []
    for memory in (256 << 20, 1):
        monkeypatch.setattr("scypher.interpret.attention_null._BYTES_OF_NULL", memory)
        tests.append(
            attention_test(
                attention,
                groups,
                3,
                strata=np.zeros(len(groups), int),
                rng=np.random.default_rng(0),
                n_permutations=400,
            )
        )
    np.testing.assert_array_equal(tests[0].score, tests[1].score)
    np.testing.assert_allclose(tests[0].z, tests[1].z, rtol=0.25, atol=0.25)


def test_shuffle_stays_within_strata():
    rng = np.random.default_rng(0)
    label, strata = rng.integers(0, 4, 500), rng.integers(0, 5, 500)
    drawn = shuffle(label, strata, rng)
    assert (drawn != label).any()
    for stratum in range(5):
        inside = strata == stratum
        np.testing.assert_array_equal(np.sort(drawn[inside]), np.sort(label[inside]))


def test_planted_markers_are_found_by_both():
    expression, groups, attention = toy()
    table = rank_markers(
        expression,
        groups,
        3,
        attention=attention,
        rng=np.random.default_rng(0),
        n_permutations=199,
    )
    for group in range(3):
        own = table[(table["group"] == group) & (table["gene"] == group)]
        assert own["rank"].item() == 1
        assert own["verdict"].item() == "supported"
    first = table.groupby("group")["rank"].apply(list)
    assert all(ranks == sorted(ranks) for ranks in first)
    assert not table.isna().any(axis=None)
    for column in ("attention_p", "attention_q", "expression_p", "expression_q"):
        assert table[column].between(0, 1, inclusive="right").all()
    assert set(table["verdict"]) <= {
        "supported",
        "expression_only",
        "attention_only",
        "unsupported",
    }


def test_verdicts_tell_the_methods_apart():
    expression, groups, attention = toy()
    moved = attention.tolil()
    moved[:, 0] = 1.0  # attention to gene 0 everywhere alike
    moved[:, 50] = 0.2
    moved[np.flatnonzero(groups == 2), 50] = 5.0
    table = rank_markers(
        expression, groups, 3, attention=moved.tocsr(), rng=np.random.default_rng(0)
    ).set_index(["group", "gene"])
    assert table.loc[(0, 0), "verdict"] == "expression_only"
    assert table.loc[(2, 50), "verdict"] == "attention_only"
    assert table.loc[(2, 50), "attention_rank"] == 1


@pytest.mark.parametrize("with_donors", [False, True])
def test_shuffled_labels_find_nothing(with_donors):
    for seed in range(4):
        expression, groups, attention = toy(seed, n_genes=300)
        rng = np.random.default_rng(seed)
        donors = rng.integers(0, 4, len(groups)) if with_donors else None
        # a small group beside large ones: where a normal approximation fails first
        labels = rng.permutation(np.where(np.arange(len(groups)) < 12, 3, groups))
        table = rank_markers(
            expression,
            labels,
            4,
            attention=attention,
            donors=donors,
            rng=rng,
            n_permutations=199,
        )
        assert (table["expression_q"] < 0.05).mean() <= 0.05
        assert (table["attention_q"] < 0.05).mean() <= 0.05
        everything = rank_sum(expression, labels, 4, calibrated=True)["p"]
        assert (adjust(everything) < 0.05).mean() <= 0.05
        assert (everything < 0.01).mean() < 0.02
        strata = np.zeros(len(labels), int) if donors is None else donors
        own = attention_test(attention, labels, 4, strata=strata, rng=rng, n_permutations=199)
        assert (adjust(own.p[own.tested]) < 0.05).mean() <= 0.05
        assert (own.p[own.tested] < 0.01).mean() < 0.03


def test_donor_effect_on_attention_is_no_marker():
    rng = np.random.default_rng(0)
    n_cells = 600
    donors = np.repeat([0, 1, 2], n_cells // 3)
    # groups are unequal in the donors, and donor 0 attends to genes 0 to 19
    groups = (rng.uniform(size=n_cells) < np.array([0.8, 0.3, 0.2])[donors]).astype(int)
    attention = rng.lognormal(0, 0.3, (n_cells, 150))
    attention[donors == 0, :20] *= 3
    attention = sp.csr_matrix(attention)
    found = {}
    for name, strata in (("ignored", np.zeros(n_cells, int)), ("kept", donors)):
        result = attention_test(
            attention, groups, 2, strata=strata, rng=np.random.default_rng(1), n_permutations=299
        )
        found[name] = (adjust(result.p)[1] < 0.05)[:20].mean()
    assert found["ignored"] > 0.9
    assert found["kept"] <= 0.05


def test_donors_are_counted_like_a_loop():
    expression, groups, _ = toy()
    rng = np.random.default_rng(7)
    donors = rng.integers(-1, 4, len(groups))
    donors[groups == 2] = np.where(donors[groups == 2] == 3, 0, donors[groups == 2])
    table = rank_markers(expression, groups, 3, donors=donors, rng=rng, top=20)
    dense = expression.toarray().astype(float)
    for row in table.itertuples():
        asked = agreeing = 0
        for donor in range(4):
            inside = (donors == donor) & (groups == row.group)
            outside = (donors == donor) & (groups != row.group)
            if inside.sum() >= 3 and outside.sum() >= 3:
                asked += 1
                higher = dense[inside, row.gene].mean() > dense[outside, row.gene].mean() + 1e-9
                agreeing += int(higher)
        assert (row.donors_agreeing, row.n_donors) == (agreeing, asked)
    assert set(table.loc[table["group"] == 2, "n_donors"]) == {3}


def test_without_attention_expression_decides():
    expression, groups, _ = toy()
    table = rank_markers(expression, groups, 3, rng=np.random.default_rng(0), top=5)
    assert (table["rank"] == table["expression_rank"]).all()
    assert (table["attention_lift"] == 1).all()
    assert (table[["attention_p", "attention_q"]] == 1).all(axis=None)
    assert (table["attention_z"] == 0).all()
    assert set(table["verdict"]) <= {"expression_only", "unsupported"}
    assert (table[["donors_agreeing", "n_donors"]] == 0).all(axis=None)
    assert len(table) == 3 * 10


def test_genes_of_few_cells_are_not_tested():
    expression, groups, attention = toy()
    expression = expression.tolil()
    expression[:, 5] = 0
    expression[:2, 5] = 3.0
    table = rank_markers(expression.tocsr(), groups, 3, rng=np.random.default_rng(0), top=200)
    assert 5 not in set(table["gene"])
    few = attention.tolil()
    few[:, 7] = 0
    few[: MIN_CELLS - 1, 7] = 9.0
    table = rank_markers(
        expression.tocsr(),
        groups,
        3,
        attention=few.tocsr(),
        rng=np.random.default_rng(0),
        n_permutations=19,
        top=200,
    )
    assert (table.loc[table["gene"] == 7, "attention_q"] == 1).all()


def test_same_seed_same_table():
    expression, groups, attention = toy()
    tables = [
        rank_markers(
            expression,
            groups,
            3,
            attention=attention,
            rng=np.random.default_rng(4),
            n_permutations=50,
        )
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("labels", ["none", "one group of all", "empty group"])
def test_nothing_to_compare_gives_no_rows(labels):
    expression, groups, attention = toy(n_cells=40)
    groups[:] = -1 if labels == "none" else 0
    if labels == "empty group":
        groups[:20] = 2
    table = rank_markers(
        expression,
        groups,
        3,
        attention=attention,
        rng=np.random.default_rng(0),
        n_permutations=9,
        top=5,
    )
    assert set(table["group"]) == ({0, 2} if labels == "empty group" else set())
    assert table["n_cells"].dtype == np.int64


def test_bad_input_is_refused():
    expression, groups, attention = toy(n_cells=40)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="one label per cell"):
        rank_markers(expression, groups[:-1], 3, rng=rng)
    with pytest.raises(InputError, match="number the groups from 0"):
        rank_markers(expression, groups, 2, rng=rng)
    with pytest.raises(InputError, match="negative or not finite"):
        rank_markers(-expression, groups, 3, rng=rng)
    broken = expression.copy()
    broken.data[0] = np.nan
    with pytest.raises(InputError, match="negative or not finite"):
        rank_markers(broken, groups, 3, rng=rng)
    with pytest.raises(InputError, match="same cells and genes"):
        rank_markers(expression, groups, 3, attention=attention[:, :5], rng=rng)
    with pytest.raises(InputError, match="one per cell"):
        rank_markers(expression, groups, 3, donors=groups[:4], rng=rng)


def test_famous_markers_lead_in_blood(pbmc):
    label = pbmc.obs["cell_type"].cat
    table = rank_markers(
        pbmc.X, label.codes.to_numpy(), len(label.categories), rng=np.random.default_rng(0)
    )
    symbols = pbmc.var_names.to_numpy()[table["gene"]]
    for group, name in enumerate(label.categories):
        best = set(symbols[(table["group"] == group) & (table["rank"] <= 10)])
        assert FAMOUS.get(name, set()) <= best, name
