from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scypher.encoders.leiden import leiden
from scypher.kg.stability import (
    MIN_STABILITY,
    RESOLUTIONS,
    agreement,
    choose_resolution,
    group_stability,
    partitions,
    resample,
)

SIZES = np.array([4, 1, 3, 2, 5, 2, 3])


def blocks(sizes: tuple[int, ...], inside: float, outside: float, seed: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    chance = np.where(group[:, None] == group, inside, outside)
    drawn = np.triu(rng.random(chance.shape) < chance, 1) * 1.0
    return sparse.csr_matrix(drawn + drawn.T)


def pairs_by_loop(a: np.ndarray, b: np.ndarray, sizes: np.ndarray) -> float:
    """Chance-corrected agreement, pair of cells by pair of cells."""
    code = np.repeat(np.arange(len(sizes)), sizes)
    joint = first = second = total = 0
    for i, j in combinations(range(len(code)), 2):
        c, d = code[i], code[j]
        if c == d or min(a[c], b[c], a[d], b[d]) < 0:
            continue
        total += 1
        first += a[c] == a[d]
        second += b[c] == b[d]
        joint += a[c] == a[d] and b[c] == b[d]
    expected = first * second / total
    room = (first + second) / 2 - expected
    return 0.0 if room == 0 else (joint - expected) / room


def test_agreement_counts_pairs_of_cells_of_different_codes() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, (5, len(SIZES)))
    found = agreement(labels, SIZES)
    for a in range(5):
        for b in range(5):
            expected = pairs_by_loop(labels[a], labels[b], SIZES)
            assert found[a, b] == pytest.approx(expected, abs=1e-12)


def test_agreement_is_the_adjusted_rand_index_when_every_code_is_one_cell() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (3, 40))
    found = agreement(labels, np.ones(40, int))
    for a, b in combinations(range(3), 2):
        assert found[a, b] == pytest.approx(adjusted_rand_score(labels[a], labels[b]))


@pytest.mark.parametrize("labels", [np.arange(7), np.zeros(7, int)])
def test_partitions_that_say_nothing_agree_by_nothing(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(agreement(np.array([labels] * 3), SIZES), np.zeros((3, 3)))


def test_samples_hold_the_weights_of_the_cells_drawn() -> None:
    graph = blocks((20, 20), 0.5, 0.1, seed=0)
    code = np.arange(40) % 5
    drawn = resample(code, graph, 5, rng=np.random.default_rng(3), n_draws=2, share=0.5)
    rng = np.random.default_rng(3)
    for number in range(2):
        kept = np.zeros(40, bool)
        kept[rng.choice(40, 20, replace=False)] = True
        expected = np.zeros((5, 5))
        for i, j in zip(*graph.nonzero(), strict=True):
            if kept[i] and kept[j]:
                expected[code[i], code[j]] += graph[i, j]
        block = slice(5 * number, 5 * number + 5)
        np.testing.assert_allclose(drawn.graph[block, block].toarray(), expected)
        assert drawn.sizes[number].tolist() == np.bincount(code[kept], minlength=5).tolist()
    assert drawn.graph[:5, 5:].nnz == 0


def test_one_run_over_all_samples_finds_what_one_run_each_finds() -> None:
    graph = blocks((30, 25, 20), 0.6, 0.03, seed=1)
    code = np.random.default_rng(0).permutation(75) % 5 + 5 * np.repeat([0, 1, 2], [30, 25, 20])
    drawn = resample(code, graph, 15, rng=np.random.default_rng(0), n_draws=4)
    for resolution in (0.5, 1.0):
        together = partitions(drawn, resolution)
        for number in range(4):
            block = slice(15 * number, 15 * number + 15)
            alone = leiden(drawn.graph[block, block], resolution=resolution, seed=1)
            held = together[number] >= 0
            assert adjusted_rand_score(alone[held], together[number][held]) == 1


def test_parents_are_divided_each_by_itself() -> None:
    graph = blocks((30, 30, 30, 30), 0.6, 0.05, seed=2)
    code = np.arange(120) // 5
    parent = np.arange(24) // 12
    drawn = resample(code, graph, 24, rng=np.random.default_rng(0), n_draws=3, share=0.9)
    for found in partitions(drawn, 1.0, parent=parent):
        assert not set(found[:12]) & set(found[12:])
        assert adjusted_rand_score(np.arange(24) // 6, found) == 1


def test_a_code_without_cells_in_a_sample_has_no_group() -> None:
    graph = blocks((30,), 0.5, 0, seed=0)
    code = np.array([0] * 29 + [1])
    drawn = resample(code, graph, 2, rng=np.random.default_rng(0), n_draws=8)
    found = partitions(drawn, 1.0)
    assert ((found[:, 1] < 0) == (drawn.sizes[:, 1] == 0)).all()
    assert (found[:, 1] < 0).any()


def test_the_finest_of_the_stable_resolutions_is_chosen() -> None:
    rng = np.random.default_rng(0)
    two = np.repeat([0, 1], 6)
    stable = np.array([two] * 6)
    finer = np.array([np.arange(12) // 3] * 6)
    chance = rng.integers(0, 5, (6, 12))
    labels = {0.1: stable, 0.2: finer, 0.4: chance}
    choice = choose_resolution(labels, np.full(12, 4))
    assert choice.resolution == 0.2
    assert choice.tried["stability"].tolist()[:2] == [1, 1]
    assert choice.tried["stability"].iloc[2] < 0.3
    assert choice.tried["n_states"].tolist()[:2] == [2, 4]
    inside = choose_resolution(labels, np.full(12, 4), codes=np.arange(6))
    assert inside.resolution == 0.2


def test_where_samples_agree_on_nothing_the_coarsest_resolution_is_chosen() -> None:
    rng = np.random.default_rng(0)
    labels = {value: rng.integers(0, 4, (6, 20)) for value in (0.1, 0.2, 0.4)}
    choice = choose_resolution(labels, np.full(20, 3))
    assert choice.resolution == 0.1
    assert choice.stability < MIN_STABILITY


def test_noise_that_comes_back_in_large_samples_is_no_structure() -> None:
    """Codes of one homogeneous group: halves of the cells do not agree on a division."""
    rng = np.random.default_rng(0)
    graph = blocks((400,), 0.05, 0, seed=4)
    code = rng.integers(0, 20, 400)
    drawn = resample(code, graph, 20, rng=rng)
    found = {value: partitions(drawn, value) for value in RESOLUTIONS}
    assert choose_resolution(found, np.bincount(code)).stability < MIN_STABILITY


def test_stability_of_a_group_is_its_mean_best_jaccard_index() -> None:
    rng = np.random.default_rng(2)
    group = np.array([0, 0, 1, 1, 2, 2, 2])
    labels = rng.integers(-1, 3, (6, 7))
    found = group_stability(group, labels, SIZES)
    for number in range(3):
        best = []
        for row in labels:
            ours = {c for c in range(7) if group[c] == number and row[c] >= 0}
            if not ours:
                continue
            ratios = []
            for other in set(row) - {-1}:
                theirs = {c for c in range(7) if row[c] == other}
                shared, joint = (
                    SIZES[sorted(codes)].sum() for codes in (ours & theirs, ours | theirs)
                )
                ratios.append(shared / joint)
            best.append(max(ratios))
        assert found[number] == pytest.approx(np.mean(best))


def test_a_group_that_no_sample_holds_has_no_stability() -> None:
    found = group_stability(np.array([0, 1]), np.array([[0, -1], [3, -1]]), np.array([5, 1]))
    assert found[0] == 1
    assert np.isnan(found[1])
