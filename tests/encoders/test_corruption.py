"""What the model is given of a block, and what it must reconstruct."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import sparse

from scypher.encoders.cellvq.corruption import (
    Corruption,
    Target,
    corrupt,
    measured_share,
    whole_target,
)
from scypher.encoders.cellvq.tokens import DEEPEST, Tokens
from scypher.encoders.training.objective import Block

N, GENES = 40, 120
WHOLE = Corruption(panels=0.0, whole_depth=1.0)


def block(seed: int = 0, rate: float = 0.8, n: int = N) -> Block:
    """Return cells of two files; the second did not measure the last 40 genes."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate, (n, GENES)).astype(np.float32)
    dataset = np.arange(n) % 2
    counts[dataset == 1, 80:] = 0
    counts[:, 0] += 1
    totals = counts.sum(axis=1) + 7.0
    return Block(sparse.csr_matrix(counts), totals, dataset, dataset.copy())


@pytest.fixture
def measured() -> np.ndarray:
    found = np.ones((2, GENES), bool)
    found[1, 80:] = False
    return found


PROFILE = np.random.default_rng(9).dirichlet(np.ones(GENES)) * 0.9


def run(
    cells: Block, measured: np.ndarray, how: Corruption, seed: int = 0
) -> tuple[Tokens, Target]:
    return corrupt(cells, measured, PROFILE, how=how, rng=np.random.default_rng(seed))


def by_cell(indptr: object, *columns: object) -> list[list[np.ndarray]]:
    """Return the columns of each cell."""
    bounds = np.asarray(indptr)
    return [
        [np.asarray(column)[start:stop] for column in columns]
        for start, stop in itertools.pairwise(bounds)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_targets_are_hidden_counts_and_true_zeros(measured: np.ndarray, seed: int) -> None:
    cells = block()
    dense = cells.counts.toarray()
    tokens, target = run(cells, measured, WHOLE, seed)
    inputs = by_cell(tokens.indptr, tokens.gene)
    targets = by_cell(target.indptr, target.gene, target.asked, target.totals)
    for row, ((read,), (gene, asked, totals)) in enumerate(zip(inputs, targets, strict=True)):
        expressed = gene[asked > 0]
        zeros = gene[asked == 0]
        # No cell is deep enough to be thinned, so targets are the counts themselves.
        np.testing.assert_array_equal(asked, dense[row, gene])
        assert len(set(expressed)) == len(expressed)
        assert measured[row % 2, zeros].all()
        assert len(zeros) <= len(expressed)
        assert set(read) | set(expressed) == set(np.flatnonzero(dense[row]))
        assert not set(read) & set(expressed)
        np.testing.assert_allclose(totals, cells.totals[row], rtol=1e-6)


def test_weights_of_both_parts_sum_to_a_half(measured: np.ndarray) -> None:
    cells = block(rate=0.2)
    _, target = run(cells, measured, WHOLE)
    kinds = set()
    for asked, weight in by_cell(target.indptr, target.asked, target.weight):
        for part in (weight[asked > 0], weight[asked == 0]):
            kinds.add(len(part) > 0)
            assert part.sum() == pytest.approx(0.5 if len(part) else 0, rel=1e-5)
            assert len(set(part)) <= 1
    assert kinds == {True, False}


def test_the_share_of_hidden_genes_is_kept(measured: np.ndarray) -> None:
    cells = block(n=400)
    for share in (0.1, 0.5):
        _, target = run(cells, measured, dataclasses.replace(WHOLE, hidden=share))
        found = float((target.asked > 0).sum()) / cells.counts.nnz
        assert found == pytest.approx(share, abs=0.02)


def test_at_most_so_many_genes_are_asked_for_and_the_others_stay_hidden(
    measured: np.ndarray,
) -> None:
    cells = block()
    how = dataclasses.replace(WHOLE, hidden=0.5, max_targets=4)
    tokens, target = run(cells, measured, how)
    lengths = np.diff(tokens.indptr)
    expressed = np.diff(cells.counts.indptr)
    for asked, weight in by_cell(target.indptr, target.asked, target.weight):
        assert (asked > 0).sum() == 4
        assert weight[asked > 0].tolist() == [0.125] * 4
    assert lengths.sum() / expressed.sum() == pytest.approx(0.5, abs=0.05)


def test_values_and_depth_are_those_of_the_whole_cell(measured: np.ndarray) -> None:
    cells = block()
    cells = cells._replace(dataset=np.zeros(N, int))
    dense = cells.counts.toarray()
    tokens, _ = run(cells, measured, WHOLE)
    np.testing.assert_allclose(tokens.depth[:, 0], np.log10(cells.totals), rtol=1e-5)
    np.testing.assert_allclose(tokens.depth[:, 1], np.log10(cells.totals), rtol=1e-5)
    for row, (gene, value) in enumerate(by_cell(tokens.indptr, tokens.gene, tokens.value)):
        expected = np.log1p(dense[row, gene] / cells.totals[row] * 1e4)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_file_that_measured_a_panel_is_scaled_to_all_genes(measured: np.ndarray) -> None:
    cells = block()
    tokens, _ = run(cells, measured, WHOLE)
    share = PROFILE[:80].sum() / PROFILE.sum()
    depth = cells.totals / np.where(cells.dataset == 1, share, 1)
    np.testing.assert_allclose(tokens.depth[:, 0], np.log10(depth), rtol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_a_panel_restricts_the_input_and_its_depth_is_estimated(
    measured: np.ndarray, seed: int
) -> None:
    cells = block()._replace(dataset=np.zeros(N, int))
    how = dataclasses.replace(WHOLE, panels=1.0, hidden=0.0, smallest_panel=0.2)
    dense = cells.counts.toarray()
    tokens, target = run(cells, measured, how, seed)
    assert len(target.gene) == 0
    # Nothing is hidden and every gene is expressed somewhere: the genes read are the panel.
    shown = np.zeros(GENES, bool)
    shown[np.unique(tokens.gene)] = True
    assert 0.1 < shown.mean() < 1
    np.testing.assert_array_equal(np.diff(tokens.indptr), (dense[:, shown] > 0).sum(axis=1))
    depth = dense[:, shown].sum(axis=1) / (PROFILE[shown].sum() / PROFILE.sum())
    np.testing.assert_allclose(tokens.depth[:, 0], np.log10(np.maximum(depth, 1)), rtol=1e-4)


def test_panels_and_depths_are_drawn_as_often_as_said(measured: np.ndarray) -> None:
    cells = block(rate=20.0, n=20)._replace(dataset=np.zeros(20, int))
    how = dataclasses.replace(WHOLE, panels=0.4, hidden=0.0, whole_depth=0.5)
    expressed = np.diff(cells.counts.indptr)
    cut, kept = [], []
    for seed in range(150):
        tokens, _ = run(cells, measured, how, seed)
        panel = np.diff(tokens.indptr).sum() < 0.97 * expressed.sum()
        cut.append(panel)
        if not panel:
            kept.append(np.isclose(tokens.depth[:, 0], np.log10(cells.totals), atol=1e-4).mean())
    assert np.mean(cut) == pytest.approx(0.4, abs=0.1)
    assert np.mean(kept) == pytest.approx(0.5, abs=0.05)


def test_inputs_are_thinned_and_targets_are_not(measured: np.ndarray) -> None:
    cells = block(rate=20.0)
    dense = cells.counts.toarray()
    tokens, target = run(cells, measured, dataclasses.replace(WHOLE, whole_depth=0.0))
    seen, asked = np.zeros(N), np.zeros(N)
    share = np.where(cells.dataset == 1, PROFILE[:80].sum() / PROFILE.sum(), 1)
    depth = 10.0 ** np.asarray(tokens.depth[:, 0])
    for row, (gene, value) in enumerate(by_cell(tokens.indptr, tokens.gene, tokens.value)):
        given = np.expm1(value) * depth[row] / 1e4
        np.testing.assert_allclose(given, np.rint(given), atol=1e-2)
        seen[row] = given.sum() / dense[row, gene].sum()
    fraction = depth * share / cells.totals
    assert ((fraction > 0.2 - 1e-4) & (fraction < 1 + 1e-4)).all()
    np.testing.assert_allclose(seen, fraction, atol=0.06)
    for row, (gene, count) in enumerate(by_cell(target.indptr, target.gene, target.asked)):
        np.testing.assert_array_equal(count, dense[row, gene])
        asked[row] = len(gene)
    assert (asked > 0).all()


def test_deep_cells_are_brought_to_a_common_depth(measured: np.ndarray) -> None:
    cells = block(rate=2000.0)
    tokens, target = run(cells, measured, WHOLE)
    assert target.totals.max() <= DEEPEST * (1 + 1e-6)
    assert target.totals.min() >= DEEPEST / 4 * (1 - 1e-6)
    dense = cells.counts.toarray()
    for row, (gene, asked, totals) in enumerate(
        by_cell(target.indptr, target.gene, target.asked, target.totals)
    ):
        expected = dense[row, gene].sum() * totals[0] / cells.totals[row]
        assert asked.sum() == pytest.approx(expected, rel=0.15)
        assert tokens.depth[row, 1] == pytest.approx(np.log10(totals[0]), rel=1e-5)


def test_a_sample_of_the_genes_is_read_and_stands_for_all(measured: np.ndarray) -> None:
    cells = block()
    everything, _ = run(cells, measured, WHOLE)
    some, _ = run(cells, measured, dataclasses.replace(WHOLE, read_tokens=10))
    np.testing.assert_array_equal(some.length, everything.length)
    np.testing.assert_array_equal(everything.length, np.diff(everything.indptr))
    assert np.diff(some.indptr).max() == 10
    for (few,), (all_,) in zip(
        by_cell(some.indptr, some.gene), by_cell(everything.indptr, everything.gene), strict=True
    ):
        assert set(few) <= set(all_)
        assert len(few) == min(10, len(all_))


def test_sampling_is_even_over_the_genes(measured: np.ndarray) -> None:
    counts = sparse.csr_matrix(np.ones((500, GENES), np.float32))
    zeros = np.zeros(500, int)
    cells = Block(counts, np.full(500, 120.0), zeros, zeros)
    tokens, _ = run(cells, measured, dataclasses.replace(WHOLE, hidden=0.0, read_tokens=30))
    drawn = np.bincount(np.asarray(tokens.gene), minlength=GENES) / 500
    np.testing.assert_allclose(drawn, 0.25, atol=0.09)


def test_the_same_generator_state_gives_the_same_task(measured: np.ndarray) -> None:
    cells = block()
    before = cells.counts.copy()
    first, again, other = (run(cells, measured, Corruption(), seed) for seed in (3, 3, 4))
    for one, two in zip((*first[0], *first[1]), (*again[0], *again[1]), strict=True):
        assert one.numpy().tobytes() == two.numpy().tobytes()
    assert first[1].gene.tolist() != other[1].gene.tolist()
    assert (cells.counts != before).nnz == 0


def test_cells_without_counts_have_neither_input_nor_target(measured: np.ndarray) -> None:
    for counts in (sparse.csr_matrix((3, GENES), dtype=np.float32),):
        zeros = np.zeros(3, int)
        cells = Block(counts, np.full(3, 5.0), zeros, zeros)
        tokens, target = run(cells, measured, Corruption())
        assert len(tokens.gene) == len(target.gene) == 0
        assert tokens.indptr.tolist() == target.indptr.tolist() == [0, 0, 0, 0]


def test_the_measured_share_follows_the_profile() -> None:
    profile = np.array([0.5, 0.3, 0.1, 0.0])
    shown = np.array([[True, False, True, True], [True, True, True, True], [False] * 4])
    np.testing.assert_allclose(measured_share(shown, profile), [0.6 / 0.9, 1, 1e-4])
    assert measured_share(shown[0], profile) == pytest.approx(0.6 / 0.9)


def test_a_whole_target_asks_for_every_count_and_as_many_zeros() -> None:
    cells = block()
    dense = cells.counts.toarray()
    allowed = np.arange(GENES) % 3 > 0
    target = whole_target(cells.counts, cells.totals, allowed, np.random.default_rng(0))
    for row, (gene, asked, weight) in enumerate(
        by_cell(target.indptr, target.gene, target.asked, target.weight)
    ):
        np.testing.assert_array_equal(asked, dense[row, gene])
        assert set(gene[asked > 0]) == set(np.flatnonzero(dense[row]))
        assert allowed[gene[asked == 0]].all()
        assert weight.sum() == pytest.approx(1, rel=1e-5)
