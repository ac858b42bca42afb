import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from scypher.encoders.counts import normalise
from scypher.encoders.errors import InputError
from scypher.interpret.matched_null import MIN_GENES, calibrate, matched_bins, matched_test
from scypher.interpret.permutations import shuffles

COLUMNS = [
    "group",
    "gene",
    "lift",
    "edge_lift",
    *(f"{null}_{what}" for null in ("label", "matched", "rewired") for what in "zpq"),
]


def toy(seed=0, n_cells=400, n_genes=300):
    """Group 0 holds deep cells, which raise all abundant genes; gene 299 marks it besides."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, n_cells)
    abundance = np.linspace(0.1, 3, n_genes)
    depth = np.where(groups == 0, 2.0, 1.0)[:, None]
    expression = rng.poisson(abundance * depth) * 1.0
    attention = expression * rng.lognormal(0, 0.3, expression.shape)
    attention[groups == 0, -1] *= 4
    return sp.csr_matrix(attention), sp.csr_matrix(np.log1p(expression)), groups


def test_bins_hold_genes_alike():
    rng = np.random.default_rng(0)
    mean = rng.exponential(size=1000)
    detected = 1 - np.exp(-mean) + rng.normal(0, 0.02, 1000)
    bins = matched_bins(mean, detected)
    assert np.bincount(bins).min() >= MIN_GENES
    assert len(np.unique(bins)) == 16
    spread = [np.ptp(np.argsort(np.argsort(mean))[bins == one]) for one in range(16)]
    assert np.median(spread) < 300
    np.testing.assert_array_equal(matched_bins(mean[:30], detected[:30]), np.zeros(30))
    assert matched_bins(mean[:0], detected[:0]).shape == (0,)


def test_matched_null_equals_a_loop():
    attention, expression, groups = toy(n_genes=60, n_cells=150)
    strata = np.zeros(len(groups), int)
    found = matched_test(
        attention,
        expression,
        groups,
        3,
        strata=strata,
        rng=np.random.default_rng(3),
        n_permutations=40,
    )
    dense = attention.toarray()
    means = np.array([dense[groups == group].mean(0) for group in range(3)])
    epsilon = np.quantile(means[means > 0], 0.05)

    def excess(label, group):
        inside = dense[label == group].mean(0) + epsilon
        lift = np.log2(inside / (dense[label != group].mean(0) + epsilon))
        return lift - np.median(lift)

    labels = shuffles(groups, strata, np.random.default_rng(3), n=40)
    null = np.array([excess(labels[:, draw], 1) for draw in range(40)])
    z = (excess(groups, 1) - null.mean(0)) / null.std(0)
    np.testing.assert_allclose(found.z[1], z, rtol=1e-3, atol=1e-3)
    drawn = np.abs((null - null.mean(0)) / null.std(0))
    p = [((drawn >= abs(seen)).sum() + 1) / (drawn.size + 1) for seen in z]
    np.testing.assert_allclose(found.p[1], p, atol=0.01)


def test_depth_alone_lifts_no_gene_above_its_like():
    attention, expression, groups = toy()
    table = calibrate(
        attention,
        expression,
        groups,
        3,
        strata=np.zeros(len(groups), int),
        rng=np.random.default_rng(0),
        n_permutations=199,
        n_rewirings=20,
    )
    assert list(table.columns) == COLUMNS
    assert not table.isna().any(axis=None)
    for name in ("label", "matched", "rewired"):
        assert table[f"{name}_p"].between(0, 1, inclusive="right").all()
    deep = table[(table["group"] == 0) & (table["gene"] < 299)]
    assert (deep["label_q"] < 0.05).mean() > 0.9
    assert (deep["matched_q"] < 0.05).mean() < 0.25
    planted = table[(table["group"] == 0) & (table["gene"] == 299)].iloc[0]
    for name in ("label", "matched", "rewired"):
        assert planted[f"{name}_q"] < 0.05
        assert planted[f"{name}_z"] > 3


def test_shuffled_labels_find_nothing():
    attention, expression, groups = toy()
    rng = np.random.default_rng(8)
    shares = []
    for _ in range(3):
        table = calibrate(
            attention,
            expression,
            rng.permutation(groups),
            3,
            strata=np.zeros(len(groups), int),
            rng=rng,
            n_permutations=99,
            n_matched=99,
            n_rewirings=20,
        )
        shares.append((table[["label_q", "matched_q"]] < 0.05).mean())
    assert np.mean(shares) <= 0.05


def test_shapes_that_disagree_are_refused():
    attention, expression, groups = toy(n_cells=40)
    options = {"strata": groups, "rng": np.random.default_rng(0)}
    with pytest.raises(InputError, match="same cells and genes"):
        calibrate(attention, expression[:, :9], groups, 3, **options)
    with pytest.raises(InputError, match="one label per cell"):
        calibrate(attention, expression, groups[:9], 3, **options)


def test_known_markers_stand_above_every_null(data_dir):
    data = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")[::4]
    counts = sp.csr_matrix(data.X, dtype=np.float64)
    expression = normalise(counts, np.asarray(counts.sum(1)).ravel())
    label = data.obs["cell_type"].astype("category").cat
    # expression stands in for attention: what is asked is whether the nulls let markers through
    table = calibrate(
        expression,
        expression,
        label.codes.to_numpy().astype(int),
        len(label.categories),
        strata=np.zeros(data.n_obs, int),
        rng=np.random.default_rng(0),
        n_permutations=99,
        n_matched=99,
        n_rewirings=10,
    )
    for name, gene in (("B", "CD79A"), ("NK", "GNLY"), ("CD14+ monocyte", "S100A8")):
        group = list(label.categories).index(name)
        rows = table["group"] == group
        own = table[rows & (table["gene"] == data.var_names.get_loc(gene))].iloc[0]
        for null in ("label", "matched", "rewired"):
            assert own[f"{null}_q"] < 0.05, (gene, null)
            assert own[f"{null}_z"] > 3
