"""The highest attention of each ragged row."""

import numpy as np
import pytest

from scypher.encoders.cellvq.top import top_of_rows


def rows(seed: int, lengths: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    gene = np.concatenate([np.sort(rng.permutation(50)[:n]) for n in lengths])
    # Few distinct values, so that many are tied.
    weight = rng.integers(1, 5, int(indptr[-1])).astype(np.float32)
    return indptr, gene, weight


@pytest.mark.parametrize("most", [1, 4, 10, 60])
def test_it_agrees_with_sorting_and_ties_go_to_the_lower_gene(most: int) -> None:
    lengths = [10, 0, 3, 50, 11, 1]
    indptr, gene, weight = rows(0, lengths)
    counts, genes, lift = top_of_rows(indptr, gene, weight, most)
    expected_gene, expected_lift = [], []
    for start, n in zip(indptr, lengths, strict=False):
        own = range(start, start + n)
        kept = sorted(own, key=lambda p: (-weight[p], gene[p]))[:most]
        kept.sort()
        expected_gene += [gene[p] for p in kept]
        expected_lift += [weight[p] * n for p in kept]
    assert counts.tolist() == [min(n, most) for n in lengths]
    assert genes.tolist() == expected_gene
    np.testing.assert_allclose(lift, expected_lift)
    assert lift.dtype == np.float32


def test_rows_without_entries_give_nothing() -> None:
    empty = np.zeros(0, np.float32)
    counts, genes, lift = top_of_rows(np.zeros(4, np.int64), empty.astype(int), empty, 3)
    assert counts.tolist() == [0, 0, 0]
    assert len(genes) == len(lift) == 0
