import numpy as np
import pytest
from scipy.special import logsumexp

from scypher.interpret.faithfulness.ablation import ablation, cut_each_gene
from scypher.interpret.faithfulness.asked import Edges, sample_cells, state_log_probability
from scypher.interpret.faithfulness.curves import SHARES, curves


def probability(asked, explained, row, genes):
    """P of the own state of one cell that has these genes, by hand."""
    logits = asked.weights[genes].sum(axis=0)
    inside = explained.state_of_code == explained.state[row]
    return np.exp(logsumexp(logits[inside]) - logsumexp(logits))


def test_curves_equal_a_loop_over_cells(toy):
    asked, explained = toy()
    rows = np.array([3, 10, 57, 200])
    found = curves(asked, explained, Edges.of(explained, rows), rng=np.random.default_rng(0))
    for order, score in (("attention", explained.attention), ("expression", asked.tokens.data)):
        for direction in ("deletion", "insertion"):
            line = []
            for share in SHARES:
                n = round(share * 40)
                values = []
                for row in rows:
                    at = slice(*asked.tokens.indptr[[row, row + 1]])
                    ordered = asked.tokens.indices[at][np.argsort(-score[at], kind="stable")]
                    kept = ordered[n:] if direction == "deletion" else ordered[:n]
                    values.append(probability(asked, explained, row, kept))
                line.append(np.mean(values))
            points = found.points[
                (found.points["order"] == order) & (found.points["direction"] == direction)
            ]
            np.testing.assert_allclose(points["probability"], line, rtol=1e-10)
            steps = np.diff(SHARES)
            area = sum(steps * (np.array(line[1:]) + np.array(line[:-1])) / 2)
            assert found.area(order, direction) == pytest.approx(area)


def test_attention_to_causes_gains_and_blind_attention_does_not(toy, blind):
    asked, explained = toy()
    rows = np.arange(240)
    rng = np.random.default_rng(0)
    seen = curves(asked, explained, Edges.of(explained, rows), rng=rng)
    assert min(seen.gain("deletion", "random"), seen.gain("insertion", "random")) > 0.2
    assert seen.by_state["deletion_over_random"].min() > 0.2
    asked, explained = blind(asked, explained)
    blinded = curves(asked, explained, Edges.of(explained, rows), rng=rng)
    for direction in ("deletion", "insertion"):
        assert abs(blinded.gain(direction, "random")) < 0.03


def test_states_weigh_up_to_the_gain_over_all_cells(toy):
    asked, explained = toy()
    found = curves(
        asked, explained, Edges.of(explained, np.arange(240)), rng=np.random.default_rng(0)
    )
    mean = np.average(found.by_state["deletion_over_random"], weights=found.by_state["n_cells"])
    assert mean == pytest.approx(found.gain("deletion", "random"))


def test_same_seed_same_curves(toy):
    asked, explained = toy()
    edges = Edges.of(explained, np.arange(240))
    same = np.random.default_rng(5), np.random.default_rng(5)
    one, other = (curves(asked, explained, edges, rng=rng).points for rng in same)
    assert one.equals(other)


def test_state_probability_sums_over_codes_and_misses_none():
    log_code = np.log(np.random.default_rng(0).dirichlet(np.ones(5), 7))
    found = np.exp(state_log_probability(log_code, np.array([1, 0, 1, 0, -1])))
    expected = np.exp(log_code)
    np.testing.assert_allclose(found[:, 0], expected[:, [1, 3]].sum(axis=1))
    np.testing.assert_allclose(found[:, 1], expected[:, [0, 2]].sum(axis=1))


def test_cutting_each_gene_equals_a_loop(toy):
    asked, explained = toy()
    rows = np.array([0, 9, 77])
    edges = Edges.of(explained, rows)
    drop = cut_each_gene(asked, explained, edges)
    for i in range(0, len(drop), 11):
        row = rows[edges.cell[i]]
        genes = edges.gene[edges.cell == edges.cell[i]]
        whole = np.log(probability(asked, explained, row, genes))
        less = np.log(probability(asked, explained, row, genes[genes != edges.gene[i]]))
        assert drop[i] == pytest.approx(whole - less, rel=1e-8)


def test_ablation_ranks_the_causes_first(toy):
    asked, explained = toy()
    edges = Edges.of(explained, np.arange(240))
    found = ablation(explained, edges, cut_each_gene(asked, explained, edges))
    best = found[found["rank"] <= 2]
    assert (best["gene"] // 2 == best["state"]).all()
    assert len(best) == 8


def test_sample_is_stratified_and_bounded():
    state = np.repeat([0, 1, 2, -1], [500, 40, 3, 50])
    rows = sample_cells(state, per_state=50, at_most=90, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(state[rows]), [30, 30, 3])
    assert (np.diff(rows) > 0).all()
