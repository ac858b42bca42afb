import numpy as np
import pytest
from scipy.stats import spearmanr

from scypher.interpret.faithfulness.ranks import (
    matched_bins,
    place_in_cell,
    rank_correlation,
    shuffle_within,
)
from scypher.interpret.faithfulness.scores import MIN_CARRIERS, state_scores


def edges(seed=0, n=400, n_cells=12):
    rng = np.random.default_rng(seed)
    return rng, rng.integers(0, n_cells, n), rng.integers(0, 9, n).astype(float)


def test_place_in_cell_counts_the_better_edges():
    _, cell, score = edges()
    place = place_in_cell(cell, score)
    for i in range(len(cell)):
        same = cell == cell[i]
        before = (score > score[i]) | ((score == score[i]) & (np.arange(len(cell)) < i))
        assert place[i] == (same & before).sum()


def test_rank_correlation_equals_scipy_with_ties():
    rng, cell, score = edges()
    other = score + rng.integers(0, 5, len(score))
    found = rank_correlation(cell, score, other, 13)
    for group in range(12):
        inside = cell == group
        expected = spearmanr(score[inside], other[inside]).statistic
        assert found[group] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(found[12])


def test_rank_correlation_of_a_constant_is_unknown():
    assert np.isnan(rank_correlation(np.zeros(5, int), np.ones(5), np.arange(5.0), 1)[0])


def test_shuffle_stays_within_groups():
    rng, cell, score = edges()
    out = shuffle_within(cell, score, rng)
    assert (out != score).any()
    for group in range(12):
        np.testing.assert_array_equal(np.sort(out[cell == group]), np.sort(score[cell == group]))


def test_bins_hold_genes_of_like_mean_and_detection():
    rng = np.random.default_rng(0)
    mean, detection = rng.random(400), rng.random(400)
    bins = matched_bins(mean, detection, np.arange(400))
    assert len(np.unique(bins)) == 16
    for one in np.unique(bins):
        assert np.ptp(mean[bins == one]) < 0.35
        assert np.ptp(detection[bins == one]) < 0.35


def test_state_scores_are_means_of_those_that_have_the_edge():
    rng = np.random.default_rng(1)
    state, gene, weight = rng.integers(-1, 3, 900), rng.integers(0, 40, 900), rng.random(900)
    size = np.array([100, 30, 20])
    found = state_scores(state, gene, weight, size=size, n_genes=41)
    for s in range(3):
        for g in range(41):
            inside = (state == s) & (gene == g)
            assert found.carriers[s, g] == inside.sum()
            if inside.sum() >= max(0.1 * size[s], MIN_CARRIERS):
                assert found.score[s, g] == pytest.approx(weight[inside].mean())
            else:
                assert np.isnan(found.score[s, g])
