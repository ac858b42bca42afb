import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from programs import log_expression as log
from programs import plant

from scypher.encoders.errors import InputError
from scypher.interpret.modules.communities import Modules, find_modules
from scypher.interpret.modules.contexts import context_modules
from scypher.interpret.modules.evidence import (
    best_match,
    donor_stability,
    eigengenes,
    like_genes,
    matched_module_null,
    matched_modules,
)
from scypher.interpret.modules.gene_modules import gene_modules
from scypher.interpret.statistics import adjust

N_CELLS, N_GENES = 1000, 240


def counts(seed=0, n_programs=4, size=15):
    """Counts with programs in the first genes, and the donor of each cell."""
    rng = np.random.default_rng(seed)
    rate = np.tile(rng.gamma(1.0, 0.8, N_GENES) + 0.1, (N_CELLS, 1))
    activity = rng.gamma(0.6, 1.0, (N_CELLS, n_programs))
    plant(rate, activity, size)
    donor = rng.integers(0, 6, N_CELLS)
    found = rng.poisson(rate * rng.lognormal(0, 0.3, (N_CELLS, 1))).astype(np.float32)
    return found, donor, activity


def members(*sets):
    return pd.DataFrame(
        {"gene": np.concatenate(sets), "module": np.repeat(np.arange(len(sets)), [*map(len, sets)])}
    )


def test_the_null_of_random_modules_is_uniform():
    values = log(counts()[0])
    rng = np.random.default_rng(0)
    genes = np.arange(N_GENES)
    random = members(*(rng.choice(genes, 12, replace=False) for _ in range(150)))
    drawn = matched_modules(values, genes, random, rng=rng)
    found = matched_module_null(values, genes, drawn, rng=rng, n_draws=199)
    for level in (0.5, 0.2, 0.05):
        assert (found["null_p"] <= level).mean() == pytest.approx(level, abs=0.1)
    assert found["null_p"].min() >= 1 / 200
    np.testing.assert_allclose(found["null_q"], adjust(found["null_p"].to_numpy()))
    assert found["null_z"].abs().mean() < 1.2


def test_planted_modules_beat_genes_of_like_expression():
    values = log(counts()[0])
    genes = np.arange(N_GENES)
    table = members(np.arange(15), np.arange(15, 30), np.arange(200, 212))
    found = matched_module_null(values, genes, table, rng=np.random.default_rng(0))
    assert found["null_p"][:2].tolist() == [0.001, 0.001]
    assert found["null_z"][2] < found["null_z"][:2].min() / 4
    dense = np.corrcoef(values.toarray().astype(float)[:, :15], rowvar=False)
    assert found["mean_weight"][0] == pytest.approx((dense.sum() - 15) / (15 * 14), rel=1e-5)


def test_random_modules_are_like_their_model():
    values = log(counts()[0])
    genes = np.arange(0, N_GENES, 2)
    table = members(np.arange(0, 30, 2), np.arange(60, 80, 2))
    kind = like_genes(values, genes)
    drawn = matched_modules(values, genes, table, rng=np.random.default_rng(0))
    for module in (0, 1):
        own, other = (
            np.sort(kind[np.searchsorted(genes, one.loc[one["module"] == module, "gene"])])
            for one in (table, drawn)
        )
        np.testing.assert_array_equal(own, other)
    mean = np.asarray(values[:, genes].mean(0)).ravel()
    assert (np.diff([mean[kind // 2 == level].mean() for level in range(8)]) > 0).all()
    assert drawn.groupby("module")["gene"].nunique().tolist() == [15, 10]


def test_eigengene_is_the_first_component():
    found, _, activity = counts()
    values = log(found)
    score = eigengenes(values, members(np.arange(15), np.arange(15, 30)))
    np.testing.assert_allclose(score.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(score.std(0), 1, rtol=1e-9)
    for module in range(2):
        dense = values.toarray()[:, module * 15 : module * 15 + 15].astype(float)
        scaled = (dense - dense.mean(0)) / dense.std(0)
        expected = np.linalg.svd(scaled, full_matrices=False)[0][:, 0]
        assert abs(np.corrcoef(expected, score[:, module])[0, 1]) == pytest.approx(1, abs=1e-6)
        assert np.corrcoef(scaled.mean(1), score[:, module])[0, 1] > 0.9
        assert np.corrcoef(activity[:, module], score[:, module])[0, 1] > 0.6
    still = eigengenes(sp.csr_matrix((5, 3)), members(np.arange(3)))
    np.testing.assert_array_equal(still, np.zeros((5, 1)))


def test_halves_of_donors_agree_by_an_oracle():
    donors = np.array([0, 0, 1, 1, 2, 2, 3, 3, -1])
    asked = []

    def find(cells):
        asked.append(set(donors[cells].tolist()))
        genes = [np.arange(5), np.arange(10, 16)][: len(asked)]
        return Modules(members(*genes), pd.DataFrame())

    ours = members(np.arange(5), np.arange(10, 15))
    table, agreement = donor_stability(ours, donors, find, rng=np.random.default_rng(0))
    assert asked[0] | asked[1] == {0, 1, 2, 3}
    assert not asked[0] & asked[1]
    assert len(asked[0]) == len(asked[1]) == 2
    np.testing.assert_allclose(table["donor_stability"], [1, (0 + 5 / 6) / 2])
    assert agreement == pytest.approx((1 + 1 + 0) / 3)
    few, nothing = donor_stability(ours, donors.clip(max=2), find, rng=np.random.default_rng(0))
    assert few["donor_stability"].isna().all()
    assert np.isnan(nothing)
    assert best_match({1, 2}, [{2, 3}, {1, 2, 3}]) == pytest.approx(2 / 3)
    assert best_match({1}, []) == 0


def test_genes_that_were_not_tested_are_refused():
    values = log(counts()[0])
    with pytest.raises(InputError, match="genes that were tested"):
        matched_module_null(
            values, np.arange(20), members(np.arange(15, 25)), rng=np.random.default_rng(0)
        )


def test_every_context_has_its_modules():
    found, donor, _ = counts()
    group = np.where(np.arange(N_CELLS) < 600, 0, 1)
    group[:40] = 2
    group[40:60] = -1
    # a program of the first group alone
    found[40:600, 200:212] *= np.random.default_rng(0).integers(0, 4, (560, 1))
    result = context_modules(
        log(found),
        groups=group,
        labels=["one", "two", "few"],
        donors=donor,
        totals=found.sum(1),
        rng=np.random.default_rng(0),
        n_permutations=4,
    )
    told = result.contexts.set_index("context")
    assert told["n_cells"].to_dict() == {"all": N_CELLS, "one": 540, "two": 400, "few": 40}
    assert told.loc["few", "reason"] == "fewer than 100 cells"
    assert set(result.membership["context"]) == {"all", "one", "two"}
    modules = result.modules.set_index("name")
    assert modules.loc["one:M1":, "stability"].between(0, 1).all()
    assert modules["donor_stability"].between(0, 1).all()
    own = [set(rows["position"]) for name, rows in result.membership.groupby("name")]
    assert best_match(set(range(15)), own) > 0.8
    special = set(range(200, 212))
    names = result.membership.groupby("name")["position"].agg(set)
    assert best_match(special, [one for name, one in names.items() if "one" in name]) > 0.7
    assert best_match(special, [one for name, one in names.items() if "two" in name]) < 0.2
    np.testing.assert_allclose(modules["null_q"], adjust(modules["null_p"].to_numpy()))
    assert (result.contexts["halves_agree"].dropna() > 0.6).all()
    assert result.eigengenes.shape == (N_CELLS, told.loc["all", "n_modules"])
    first = result.membership[result.membership["name"] == "M1"]
    assert first["strength"].is_monotonic_decreasing
    assert first["hub_rank"].tolist() == list(range(1, len(first) + 1))
    assert modules.loc["M1", "hubs"] == ", ".join(first["gene"].head(5))


def test_the_verb_writes_its_slots_when_asked():
    found, donor, _ = counts()
    data = anndata.AnnData(sp.csr_matrix(found))
    data.var_names = [f"G{place}" for place in range(N_GENES)]
    data.obs["donor"] = [f"d{one}" for one in donor]
    result = gene_modules(data, donor="donor", n_genes=200)
    assert not data.uns
    again = gene_modules(data, donor="donor", n_genes=200, key_added="modules")
    pd.testing.assert_frame_equal(result.modules, again.modules)
    pd.testing.assert_frame_equal(data.uns["modules"]["membership"], again.membership)
    assert data.obsm["X_modules"].shape == (N_CELLS, len(result.modules))
    assert result.membership["gene"].str.startswith("G").all()
    assert (result.modules["n_donors"] == 6).all()


def test_nothing_found_gives_typed_empty_tables():
    rng = np.random.default_rng(0)
    result = context_modules(
        log(rng.poisson(1.0, (150, 60)).astype(np.float32) + 0.0), rng=rng, n_permutations=2
    )
    assert result.modules.empty
    assert result.modules["size"].dtype == np.int64
    assert result.membership["strength"].dtype == np.float64
    assert result.eigengenes.shape == (150, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"groups": np.zeros(3, int)},
        {"groups": np.zeros(N_CELLS, int), "labels": ["all"]},
        {"donors": np.zeros(3, int)},
        {"genes": ["A"]},
    ],
)
def test_what_does_not_fit_is_refused(change):
    with pytest.raises(InputError, match="align them"):
        context_modules(log(counts()[0]), rng=np.random.default_rng(0), **change)


def test_weak_members_of_large_programs_follow_their_partners():
    # everybody's closest partners are the strong genes: the weak are in nobody's top 20
    loading = np.concatenate([np.full(25, 0.9), np.full(10, 0.4)])
    graph = nx.complete_graph(35)
    rows = [(a, b, loading[a] * loading[b], 0.01) for a, b in graph.edges]
    pairs = pd.DataFrame(rows, columns=["source", "target", "correlation", "correlation_q"])
    found = find_modules(pairs, 36, rng=np.random.default_rng(0))
    assert found.modules["size"].tolist() == [35]
    stray = pd.DataFrame(
        [(0, 35, 0.3, 0.01), (1, 35, 0.3, 0.01)],
        columns=["source", "target", "correlation", "correlation_q"],
    )
    again = find_modules(pd.concat([pairs, stray]), 36, rng=np.random.default_rng(0))
    assert 35 not in set(again.membership["gene"])
