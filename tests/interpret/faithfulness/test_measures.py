from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import entropy, spearmanr
from sklearn.linear_model import LinearRegression

from scypher.interpret.faithfulness.asked import Edges
from scypher.interpret.faithfulness.confounds import confounds
from scypher.interpret.faithfulness.fidelity import characterisation, fidelity, unfaithful
from scypher.interpret.faithfulness.gradients import gradient_agreement
from scypher.interpret.faithfulness.randomisation import weight_randomisation
from scypher.interpret.faithfulness.stability import (
    cell_halves,
    compare,
    donor_halves,
    half_stability,
    seed_stability,
)


def test_characterisation_equals_pytorch_geometric():
    from torch_geometric.explain.metric import characterization_score

    for plus, minus in ((0.9, 0.1), (0.4, 0.7), (1.0, 0.0)):
        expected = characterization_score(torch.tensor(plus), torch.tensor(minus))
        assert characterisation(plus, minus) == pytest.approx(float(expected))
    assert characterisation(0.0, 0.0) == 0.0
    assert characterisation(1.0, 1.0) == 0.0


def test_unfaithfulness_equals_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(4), 20), rng.dirichlet(np.ones(4), 20)
    expected = np.mean(1 - np.exp(-entropy(p, q, axis=1)))
    assert unfaithful(np.log(p), np.log(q)) == pytest.approx(expected)
    assert unfaithful(np.log(p), np.log(p)) == 0


def test_fidelity_of_causes_and_of_blind_attention(toy, blind):
    asked, explained = toy()
    rows = np.arange(240)
    found = fidelity(asked, explained, Edges.of(explained, rows))
    assert found["characterisation"].min() > 0.7
    assert found["unfaithfulness"].max() < 0.3
    asked, explained = blind(asked, explained)
    blinded = fidelity(asked, explained, Edges.of(explained, rows))
    assert blinded["characterisation"].max() < 0.3
    assert list(found["sparsity"]) == [0.05, 0.1, 0.2]


def test_gradient_agreement_equals_a_loop(toy):
    asked, explained = toy()
    rows = np.arange(0, 240, 2)
    edges = Edges.of(explained, rows)
    gradient = asked.attributions(rows)
    found = gradient_agreement(explained, edges, gradient).set_index("state")
    state = explained.state[rows][edges.cell]
    for s in range(4):
        size = (explained.state[rows] == s).sum()
        pairs = []
        for gene in range(120):
            inside = (state == s) & (edges.gene == gene)
            if inside.sum() >= max(0.1 * size, 3):
                pairs.append((edges.attention[inside].mean(), np.abs(gradient[inside]).mean()))
        assert found.loc[s, "n_genes"] == len(pairs)
        expected = spearmanr(*zip(*pairs, strict=True)).statistic
        assert found.loc[s, "spearman"] == pytest.approx(expected)
        in_cell = [
            spearmanr(edges.attention[edges.cell == c], np.abs(gradient[edges.cell == c])).statistic
            for c in np.flatnonzero(explained.state[rows] == s)
        ]
        assert found.loc[s, "spearman_in_cell"] == pytest.approx(np.mean(in_cell))


def test_gradients_of_the_double_are_complete(toy):
    asked, _ = toy()
    rows = np.arange(20)
    total = np.add.reduceat(asked.attributions(rows, steps=64), np.arange(20) * 40)
    whole = asked.code_log_probability(rows=rows)[np.arange(20), asked.code[rows]]
    np.testing.assert_allclose(total, whole - np.log(1 / 8), atol=1e-3)


def test_randomised_attention_is_unlike_and_the_same_is_alike(toy):
    asked, explained = toy()
    edges = Edges.of(explained, np.arange(240))
    found = weight_randomisation(asked, explained, edges, seeds=np.array([1, 2]))
    assert found["spearman"].abs().max() < 0.05

    class Unmoved:
        def randomised(self, seed):
            return asked

    same = weight_randomisation(Unmoved(), explained, edges, seeds=np.array([1]))
    assert same["spearman"].tolist() == [1.0]


def test_compare_equals_sets():
    rng = np.random.default_rng(0)
    one, other = rng.random((3, 300)), rng.random((3, 300))
    one[0, :60] = np.nan
    other[1, 20:] = np.nan
    other[2, 5:] = np.nan
    found = compare(one, other).set_index("state")
    assert list(found.index) == [0, 1]
    for s, top in ((0, 50), (1, 5)):
        both = np.flatnonzero(np.isfinite(one[s]) & np.isfinite(other[s]))
        a, b = (set(both[np.argsort(-x[s, both])][:top].tolist()) for x in (one, other))
        assert found.loc[s, "top"] == top
        assert found.loc[s, "jaccard"] == pytest.approx(len(a & b) / len(a | b))


def test_chance_is_what_random_scores_reach():
    rng = np.random.default_rng(0)
    found = compare(rng.random((400, 200)), rng.random((400, 200)))
    assert found["jaccard"].mean() == pytest.approx(found["chance"].iloc[0], abs=0.01)


def test_seeds_agree_as_far_as_trainings_do(toy, trainer):
    asked, explained = toy(n_cells=400)
    rows, seeds = np.arange(0, 400), np.arange(3)
    exact = seed_stability(explained, trainer(asked, noise=0.0), rows, seeds=seeds)
    assert (exact["jaccard"] == 1).all()
    assert len(exact) == 3 * 4
    noisy = seed_stability(explained, trainer(asked, noise=9.0), rows, seeds=seeds)
    assert noisy["jaccard"].mean() < 0.3


def test_donor_halves_share_no_donor(toy, trainer):
    asked, explained = toy(n_cells=400)
    rows = np.arange(0, 400)
    rng = np.random.default_rng(0)
    one, other = donor_halves(explained, rows, rng)
    assert not set(explained.donor[one]) & set(explained.donor[other])
    assert len(one) + len(other) == 400
    found = half_stability(explained, trainer(asked, noise=0.1), (one, other), seed=0)
    assert len(found) == 4
    for donor in (None, np.zeros(400, int), np.full(400, -1)):
        halves = donor_halves(replace(explained, donor=donor), rows, rng)
        assert [len(half) for half in halves] == [0, 0]


def test_cell_halves_are_of_equal_states(toy):
    _, explained = toy(n_cells=400)
    one, other = cell_halves(explained, np.arange(400), np.random.default_rng(0))
    assert sorted([*one, *other]) == list(range(400))
    sizes = [np.bincount(explained.state[half]) for half in (one, other)]
    assert np.abs(sizes[0] - sizes[1]).max() <= 1


def test_confounds_equal_sklearn(toy):
    _, explained = toy()
    found = confounds(explained)
    tokens = explained.tokens
    state = np.repeat(explained.state, np.diff(tokens.indptr))
    degree = np.bincount(tokens.indices, minlength=120)
    size = np.bincount(explained.state)
    for s, part in found.scores.groupby("state"):
        rows = []
        for gene in part["gene"]:
            inside = (state == s) & (tokens.indices == gene)
            rows.append(
                [
                    tokens.data[inside].mean(),
                    inside.sum() / size[s],
                    explained.mean[gene],
                    explained.detection[gene],
                    np.log(degree[gene]),
                ]
            )
        model = LinearRegression().fit(rows, part["score"])
        expected = model.score(rows, part["score"])
        assert found.by_state["r2"][s] == pytest.approx(expected, abs=1e-6)
        np.testing.assert_allclose(part["residual"], part["score"] - model.predict(rows), atol=1e-6)


def test_attention_that_is_expression_is_confounded(toy):
    _, explained = toy()
    copied = replace(explained, attention=explained.tokens.data.astype(float))
    assert confounds(copied).by_state["r2"].min() > 0.999
    constant = replace(explained, attention=np.ones(explained.tokens.nnz))
    assert confounds(constant).by_state["r2"].isna().all()
