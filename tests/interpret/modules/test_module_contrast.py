from itertools import combinations, product

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scypher.encoders.errors import InputError
from scypher.interpret.modules.context_frames import ALL
from scypher.interpret.modules.contexts import ContextModules
from scypher.interpret.modules.contrast import contrast_modules
from scypher.interpret.modules.evidence import eigengenes
from scypher.interpret.modules.module_changes import module_changes

MEMBERS = pd.DataFrame({"gene": np.arange(30), "module": np.repeat([0, 1, 2], 10)})


def planted(seed=0, n_donors=6, paired=True, change=True):
    """Module 0 is more active under b, module 1 more coherent, module 2 neither."""
    rng = np.random.default_rng(seed)
    n = n_donors * 100
    donor = np.arange(n) % n_donors
    condition = rng.integers(0, 2, n) if paired else (donor % 2)
    level = rng.normal(0, 0.3, (n_donors, 3))[donor]
    latent = rng.standard_normal((n, 3)) + level
    on = condition == 1 if change else np.zeros(n, bool)
    latent[on, 0] += 1.0
    loading = np.full((n, 3), 0.5)
    loading[on, 1] = 1.5
    values = 3 + (loading * latent)[:, np.repeat([0, 1, 2], 10)] + rng.standard_normal((n, 30))
    return sp.csr_matrix(values.clip(0)), condition, donor


def by_hand(values, condition, donor, paired):
    """Differences and exact p of eigengene and coherence, by loops."""
    score = eigengenes(values, MEMBERS)
    dense = values.toarray()
    samples = sorted({(d, c) for d, c in zip(donor.tolist(), condition.tolist(), strict=True)})
    tables = np.zeros((2, len(samples), 3))
    for row, (d, c) in enumerate(samples):
        cells = (donor == d) & (condition == c)
        for module in range(3):
            tables[0, row, module] = score[cells, module].mean()
            square = np.corrcoef(dense[cells][:, module * 10 : module * 10 + 10], rowvar=False)
            tables[1, row, module] = square[np.triu_indices(10, k=1)].mean()
    case = np.array([c for _, c in samples]) == 1
    results = []
    for table in tables:
        observed = table[case].mean(0) - table[~case].mean(0)
        drawn = []
        if paired:
            each = table[case] - table[~case]
            for signs in product([1, -1], repeat=len(each)):
                drawn.append((np.array(signs)[:, None] * each).mean(0))
        else:
            for chosen in combinations(range(len(case)), int(case.sum())):
                inside = np.isin(np.arange(len(case)), chosen)
                drawn.append(table[inside].mean(0) - table[~inside].mean(0))
        p = (np.abs(drawn) >= np.abs(observed) - 1e-12).mean(0)
        results.append((observed, p))
    return results


@pytest.mark.parametrize("paired", [True, False])
def test_differences_and_p_equal_a_loop(paired):
    values, condition, donor = planted(paired=paired)
    found = contrast_modules(
        values, MEMBERS, condition=condition, donors=donor, rng=np.random.default_rng(0)
    )
    active, coherent = by_hand(values, condition, donor, paired)
    np.testing.assert_allclose(found["eigengene_difference"], active[0], rtol=1e-6)
    np.testing.assert_allclose(found["eigengene_p"], active[1])
    np.testing.assert_allclose(found["correlation_difference"], coherent[0], rtol=1e-4)
    np.testing.assert_allclose(found["correlation_p"], coherent[1])
    assert (found["n_donors"] == 6).all()
    assert found["smallest_p"][0] == pytest.approx(2 / 64 if paired else 2 / 20)
    assert found["donors_agreeing"][0] >= 5
    assert found["eigengene_p"][0] == pytest.approx(found["smallest_p"][0])
    assert found["correlation_p"][1] == pytest.approx(found["smallest_p"][1])


def test_no_change_gives_uniform_p():
    p = []
    for seed in range(25):
        values, condition, donor = planted(seed, n_donors=5, change=False)
        found = contrast_modules(
            values, MEMBERS, condition=condition, donors=donor, rng=np.random.default_rng(0)
        )
        p += [*found["eigengene_p"], *found["correlation_p"]]
    p = np.array(p)
    assert (p <= 2 / 32).mean() == pytest.approx(2 / 32, abs=0.05)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.12)


def test_many_pairs_are_sampled():
    values, condition, donor = planted(n_donors=12)
    found = contrast_modules(
        values,
        MEMBERS,
        condition=condition,
        donors=donor,
        rng=np.random.default_rng(0),
        n_permutations=499,
    )
    assert found["eigengene_p"][0] <= 0.01
    assert found["correlation_p"][1] <= 0.01


def test_cells_are_no_replicates():
    values, condition, donor = planted()
    rng = np.random.default_rng(0)
    for donors in (None, np.zeros_like(donor)):
        with pytest.raises(InputError, match="no replicates"):
            contrast_modules(values, MEMBERS, condition=condition, donors=donors, rng=rng)
    with pytest.raises(InputError, match="one value per cell"):
        contrast_modules(values, MEMBERS, condition=condition[:-1], donors=donor, rng=rng)
    none = contrast_modules(values, MEMBERS[:0], condition=condition, donors=donor, rng=rng)
    assert none.empty


def cells_and_modules():
    """Cells of two types, of which one has the donors of one condition only."""
    values, condition, donor = planted()
    kind = np.where(np.arange(len(donor)) < 400, "a", "b")
    kind[(kind == "b") & (condition == 0)] = "unknown"
    obs = {"under": np.array(["control", "ifn"])[condition], "donor": donor.astype(str)}
    index = [f"c{place}" for place in range(len(donor))]
    cells = anndata.AnnData(values, obs=pd.DataFrame(obs | {"kind": kind}, index=index, dtype=str))
    parts = []
    for context in (ALL, "a", "b"):
        prefix = "" if context == ALL else f"{context}:"
        names = prefix + "M" + (MEMBERS["module"] + 1).astype(str)
        parts.append(MEMBERS.assign(position=MEMBERS["gene"], context=context, name=names))
    nothing = pd.DataFrame()
    modules = ContextModules(nothing, pd.concat(parts), nothing, nothing, nothing)
    return cells, modules, values, condition, donor


def test_verb_compares_every_context():
    cells, modules, values, condition, donor = cells_and_modules()
    asked = {"reference": "control", "case": "ifn", "donor": "donor"}
    found = module_changes(cells, modules, "under", groupby="kind", key_added="changes", **asked)
    assert found["name"].tolist()[::3] == ["M1", "a:M1", "b:M1"]
    pd.testing.assert_frame_equal(cells.uns["changes"], found)
    whole = contrast_modules(
        values, MEMBERS, condition=condition, donors=donor, rng=np.random.default_rng(0)
    )
    pd.testing.assert_frame_equal(found.iloc[:3].drop(columns=["context", "name"]), whole)
    other = found[found["context"] == "b"]
    assert other[["eigengene_p", "correlation_q"]].isna().all(axis=None)
    assert other["note"].str.contains("expected").all()
    alone = module_changes(cells, modules, "under", **asked)
    assert alone["context"].unique().tolist() == [ALL]


def test_verb_refuses_what_cannot_be_compared():
    cells, modules, *_ = cells_and_modules()
    asked = {"reference": "control", "case": "ifn", "donor": "donor"}
    with pytest.raises(InputError, match="two different values"):
        module_changes(cells, modules, "under", **asked | {"case": "tnf"})
    cells.obs["donor"] = "one"
    with pytest.raises(InputError, match="no module could be compared between control and ifn"):
        module_changes(cells, modules, "under", **asked)
