import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from programs import log_expression, plant

from scypher.encoders.errors import InputError
from scypher.interpret.modules.communities import Modules, co_regulation, find_modules, select_genes
from scypher.interpret.statistics import adjust
from scypher.interpret.variable_genes import residual_variance

PAIRS = ["source", "target", "correlation", "correlation_q"]


def planted(seed=0, n_cells=800, n_genes=400, n_programs=8, size=20):
    """Counts with programs of ``size`` genes each, cell depth and two batches."""
    rng = np.random.default_rng(seed)
    activity = rng.gamma(0.6, 1.0, (n_cells, n_programs))
    batch = rng.integers(0, 2, n_cells)
    depth = rng.lognormal(0, 0.35, n_cells)
    rate = np.tile(rng.gamma(1.0, 0.8, n_genes) + 0.1, (n_cells, 1))
    program = np.arange(n_genes) // size
    program[program >= n_programs] = -1
    plant(rate, activity, size)
    rate *= np.where(batch[:, None] == 1, rng.lognormal(0, 0.4, n_genes), 1)
    counts = rng.poisson(rate * depth[:, None]).astype(float)
    total = counts.sum(1)
    cut = np.quantile(total, np.linspace(0, 1, 6)[1:-1])
    return log_expression(counts), program, batch * 5 + np.digitize(total, cut), counts


def jaccard(program, modules, n_programs):
    found = [set(rows["gene"]) for _, rows in modules.membership.groupby("module")]
    scores = []
    for number in range(n_programs):
        truth = set(np.flatnonzero(program == number))
        scores.append(max((len(truth & one) / len(truth | one) for one in found), default=0))
    return float(np.mean(scores))


def test_planted_programs_are_recovered():
    expression, program, strata, _ = planted()
    rng = np.random.default_rng(0)
    pairs = co_regulation(expression, strata=strata, genes=np.arange(400), rng=rng)
    modules = find_modules(pairs, 400, rng=rng, expression=expression)
    assert jaccard(program, modules, 8) >= 0.8
    same = program[pairs["source"]] == program[pairs["target"]]
    real = same & (program[pairs["source"]] >= 0)
    assert (real & (pairs["correlation"] > 0)).sum() > 0.9 * 8 * 190
    assert (modules.modules["stability"].iloc[:8] > 0.8).all()


def test_scattered_genes_give_nothing():
    for seed in range(3):
        expression, _, strata, _ = planted(seed, n_programs=0)
        rng = np.random.default_rng(seed)
        pairs = co_regulation(
            expression, attention=expression, strata=strata, genes=np.arange(400), rng=rng
        )
        assert len(pairs) <= 4
        modules = find_modules(pairs, 400, rng=rng)
        assert modules.membership.empty
        assert modules.modules.columns.tolist() == ["module", "size", "stability", "mean_weight"]


def test_batch_and_depth_are_no_co_regulation():
    expression, _, strata, _ = planted(n_programs=0)
    genes = np.arange(400)
    moved = expression.toarray()
    moved[strata >= 5, :40] += 1.5
    moved = sp.csr_matrix(moved)
    for own, most, least in ((strata, 4, 0), (np.zeros_like(strata), np.inf, 500)):
        pairs = co_regulation(moved, strata=own, genes=genes, rng=np.random.default_rng(0))
        assert least <= len(pairs) <= most


def test_correlation_and_z_equal_the_formula():
    expression, _, _, _ = planted(n_cells=200, n_genes=30, n_programs=1, size=8)
    strata = np.arange(200) % 3
    genes = np.array([9, 3, 1, 0, 2, 5, 20])
    pairs = co_regulation(
        expression,
        attention=2 * expression,
        strata=strata,
        genes=genes,
        rng=np.random.default_rng(0),
        n_permutations=300,
    )
    dense = expression.toarray().astype(float)
    assert len(pairs) >= 8
    assert (pairs["source"] < pairs["target"]).all()
    assert set(pairs["source"]) | set(pairs["target"]) <= set(genes.tolist())
    for row in pairs.itertuples():
        x, y = dense[:, row.source], dense[:, row.target]
        assert row.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
        together = variance = 0.0
        for stratum in np.unique(strata):
            a, b = x[strata == stratum], y[strata == stratum]
            a, b = a - a.mean(), b - b.mean()
            together += (a * b).sum()
            variance += (a**2).sum() * (b**2).sum() / (len(a) - 1)
        assert row.correlation_z == pytest.approx(together / np.sqrt(variance), rel=1e-4)
        assert row.attention == pytest.approx(row.correlation, abs=1e-6)
        assert row.attention_z == pytest.approx(row.correlation_z, rel=1e-4)
    assert (pairs["n_cells"] == 200).all()
    for column in ("correlation_p", "correlation_q", "attention_p", "attention_q"):
        assert pairs[column].between(0, 1, inclusive="right").all()


def test_z_is_standard_under_permutation():
    expression, _, strata, _ = planted(n_cells=300, n_genes=12, n_programs=1, size=6)
    dense = expression.toarray().astype(float)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        together = variance = 0.0
        for stratum in np.unique(strata):
            a, b = (rng.permutation(dense[strata == stratum, gene]) for gene in (0, 1))
            together += ((a - a.mean()) * (b - b.mean())).sum()
            variance += a.var() * b.var() * len(a) ** 2 / (len(a) - 1)
        drawn.append(together / np.sqrt(variance))
    assert abs(np.mean(drawn)) < 0.15
    assert np.std(drawn) == pytest.approx(1, abs=0.12)


def test_attention_alone_can_join_genes():
    expression, program, strata, _ = planted(n_programs=0)
    attention, shared, _, _ = planted(3, n_programs=2)
    rng = np.random.default_rng(0)
    pairs = co_regulation(
        expression, attention=attention, strata=strata, genes=np.arange(400), rng=rng
    )
    assert (program == -1).all()
    assert len(pairs) > 200
    assert (pairs["attention_q"] < 0.05).mean() > 0.99
    assert (shared[pairs["source"]] == shared[pairs["target"]]).mean() > 0.9


def test_without_attention_its_columns_say_nothing():
    expression, _, strata, _ = planted()
    pairs = co_regulation(
        expression, strata=strata, genes=np.arange(100), rng=np.random.default_rng(0)
    )
    assert (pairs[["attention", "attention_z"]] == 0).all(axis=None)
    assert (pairs[["attention_p", "attention_q"]] == 1).all(axis=None)
    assert not pairs.isna().any(axis=None)


def test_the_cap_keeps_partners_of_every_program():
    expression, program, strata, _ = planted(n_programs=4)
    arguments = {"strata": strata, "genes": np.arange(400), "max_pairs": 80}
    pairs = co_regulation(expression, rng=np.random.default_rng(0), **arguments)
    assert len(pairs) == 80
    assert np.bincount(program[pairs["source"]] + 1, minlength=5)[1:].min() >= 5
    again = co_regulation(expression, rng=np.random.default_rng(0), **arguments)
    pd.testing.assert_frame_equal(pairs, again)


def test_constant_and_absent_genes_make_no_pairs():
    expression, _, strata, _ = planted()
    dense = expression.toarray()
    dense[:, 0], dense[:, 1], dense[:, 2] = 0, 1, strata  # none varies within a stratum
    pairs = co_regulation(
        sp.csr_matrix(dense), strata=strata, genes=np.arange(60), rng=np.random.default_rng(0)
    )
    assert pairs["source"].min() > 2
    empty = co_regulation(
        sp.csr_matrix(dense), strata=strata, genes=np.arange(2), rng=np.random.default_rng(0)
    )
    assert empty.empty
    assert empty["source"].dtype == np.int64


@pytest.mark.parametrize("genes", [np.arange(0), np.arange(1)])
def test_too_few_genes_give_an_empty_table(genes):
    expression, _, strata, _ = planted(n_cells=50)
    rng = np.random.default_rng(0)
    assert co_regulation(expression, strata=strata, genes=genes, rng=rng).empty


def test_bad_input_is_refused():
    expression, _, strata, _ = planted(n_cells=50)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="one stratum per cell"):
        co_regulation(expression, strata=strata[:-1], genes=np.arange(5), rng=rng)
    with pytest.raises(InputError, match="one shape"):
        co_regulation(
            expression,
            attention=expression[:, :9],
            strata=strata,
            genes=np.arange(5),
            rng=rng,
        )
    with pytest.raises(InputError, match="each gene once"):
        co_regulation(expression, strata=strata, genes=np.array([1, 1]), rng=rng)


def cliques(*sizes):
    """Pairs of disjoint cliques with correlation 0.5."""
    rows, start = [], 0
    for size in sizes:
        for source in range(start, start + size):
            rows += [(source, target, 0.5, 0.01) for target in range(source + 1, start + size)]
        start += size
    return pd.DataFrame(rows, columns=PAIRS), start


def test_cliques_are_modules():
    pairs, n_genes = cliques(6, 9, 3)
    modules = find_modules(pairs, n_genes + 2, rng=np.random.default_rng(0))
    assert modules.modules["size"].tolist() == [9, 6]
    assert modules.modules["stability"].tolist() == [1, 1]
    np.testing.assert_allclose(modules.modules["mean_weight"], 0.5)
    np.testing.assert_allclose(modules.membership["strength"], 0.5)
    assert set(modules.membership.loc[modules.membership["module"] == 0, "gene"]) == set(
        range(6, 15)
    )


def test_weak_negative_and_uncertain_pairs_do_not_join():
    pairs, n_genes = cliques(6, 6, 6)
    pairs.loc[pairs["source"] < 6, "correlation"] = -0.5
    pairs.loc[pairs["source"].between(6, 11), "correlation_q"] = 0.2
    pairs.loc[pairs["source"] >= 12, "correlation"] = 0.05
    modules = find_modules(pairs, n_genes, rng=np.random.default_rng(0))
    assert isinstance(modules, Modules)
    assert modules.modules.empty


def test_chains_are_no_modules():
    chain = pd.DataFrame([(gene, gene + 1, 0.5, 0.01) for gene in range(9)], columns=PAIRS)
    assert find_modules(chain, 10, rng=np.random.default_rng(0)).modules.empty


def test_strength_is_the_mean_correlation_in_the_data():
    expression, _, strata, _ = planted()
    rng = np.random.default_rng(0)
    pairs = co_regulation(expression, strata=strata, genes=np.arange(400), rng=rng)
    modules = find_modules(pairs, 400, rng=rng, expression=expression)
    genes = modules.membership.loc[modules.membership["module"] == 0]
    matrix = np.corrcoef(expression[:, genes["gene"]].toarray().astype(float), rowvar=False)
    others = [np.delete(row, place).mean() for place, row in enumerate(matrix)]
    np.testing.assert_allclose(genes["strength"], others, rtol=1e-6)
    assert modules.modules["mean_weight"][0] == pytest.approx(np.mean(others))


def test_select_genes_prefers_varying_ones():
    expression, program, _, counts = planted(n_programs=4)
    genes = select_genes(expression, 80)
    assert (np.diff(genes) > 0).all()
    assert (program[genes] >= 0).mean() > 0.8
    everything = select_genes(expression, 10_000)
    assert set(everything) == set(np.flatnonzero((counts > 0).sum(0) >= 10))
    assert len(select_genes(sp.csr_matrix((30, 5)), 3)) == 0


def test_residual_variance_equals_the_formula():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 2.0, 40), (300, 40)).astype(float)
    counts[:, -1] = 0
    counts[0, 0] = 5_000  # beyond the limit
    counts[:, 1:3] = 1  # every cell has a count of one
    total = counts.sum(1)
    expression = sp.csr_matrix(np.log1p(counts / total[:, None] * 1e4))
    typical = counts / total[:, None] * np.median(total)
    mean = typical.mean(0)
    with np.errstate(invalid="ignore"):
        residual = (typical - mean) / np.sqrt(mean + mean**2 / 100)
    expected = np.nan_to_num(np.clip(residual, -np.sqrt(300), np.sqrt(300))).var(0)
    np.testing.assert_allclose(residual_variance(expression), expected, rtol=1e-6, atol=1e-9)
    assert (residual_variance(sp.csr_matrix((9, 3))) == 0).all()


def test_residual_variance_of_chance_is_one():
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.uniform(0.5, 5, 300), (1000, 300)).astype(float)
    expression = log_expression(counts)
    assert np.median(residual_variance(expression)) == pytest.approx(1, abs=0.05)


def test_blood_programs_are_found(data_dir):
    import anndata

    data = anndata.read_h5ad(data_dir / "blood_pbmc3k.h5ad")
    counts = data.X.tocsr()
    matrix = (sp.diags(1e4 / np.asarray(counts.sum(1)).ravel()) @ counts).tocsr()
    matrix.data = np.log1p(matrix.data).astype(np.float32)
    depth = np.diff(counts.indptr)
    strata = np.digitize(depth, np.quantile(depth, np.linspace(0, 1, 11)[1:-1]))
    genes = select_genes(matrix, 800)
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    pairs = co_regulation(matrix, strata=strata, genes=genes, rng=rng)
    modules = find_modules(pairs, data.n_vars, rng=rng, expression=matrix)
    assert time.perf_counter() - start < 60
    found = modules.membership.assign(symbol=data.var_names[modules.membership["gene"]])
    module_of = found.set_index("symbol")["module"]
    for program in (
        ["CD79A", "MS4A1", "HLA-DRA"],
        ["NKG7", "GNLY", "PRF1"],
        ["LYZ", "S100A8", "S100A9"],
        ["PPBP", "PF4", "GNG11"],
    ):
        assert module_of[program].nunique() == 1, program
    assert module_of[["CD79A", "NKG7", "LYZ", "PPBP"]].nunique() == 4


def test_q_is_over_all_tested_pairs():
    expression, _, strata, _ = planted(n_programs=1, n_genes=60)
    genes = np.arange(60)
    pairs = co_regulation(expression, strata=strata, genes=genes, rng=np.random.default_rng(0))
    everything = np.ones(60 * 59 // 2)
    everything[: len(pairs)] = pairs["correlation_p"]
    # what was left out has larger p, so the q of what was kept cannot be smaller than this
    assert (pairs["correlation_q"] <= adjust(everything)[: len(pairs)] + 1e-12).all()
    assert (pairs["correlation_q"] >= pairs["correlation_p"]).all()
