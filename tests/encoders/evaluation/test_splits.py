"""Divisions of cells."""

from collections import Counter

import numpy as np

from scypher.encoders.evaluation.splits import inter_folds, intra_folds

LABELS = np.array(["a"] * 53 + ["b"] * 12 + ["c"] * 5 + ["d"], dtype=object)


def test_intra_folds_divide_every_type_evenly() -> None:
    folds = intra_folds(LABELS, seed=1)
    assert len(folds) == 5
    for kind in "abc":
        counts = [Counter(LABELS[fold.test])[kind] for fold in folds]
        assert max(counts) - min(counts) <= 1
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert "d" not in LABELS[fold.test]  # no cell of it is left to learn from
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(70))


def test_intra_folds_follow_their_seed() -> None:
    first, again, other = (intra_folds(LABELS, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))


def test_inter_folds_leave_out_one_batch_and_judge_shared_types() -> None:
    labels = np.array(["a", "b", "x", "a", "b", "y", "a", "b", "b"], dtype=object)
    batch = np.array(["1"] * 3 + ["2"] * 3 + ["3"] * 3, dtype=object)
    folds = inter_folds(labels, batch)
    assert [fold.name for fold in folds] == ["1", "2", "3"]
    assert folds[0].test.tolist() == [0, 1]  # "x" is in no other batch
    assert folds[0].train.tolist() == [3, 4, 5, 6, 7, 8]
    assert folds[0].types.tolist() == ["a", "b"]
    assert [fold.note for fold in folds] == ["", "", ""]
    assert [fold.name for fold in inter_folds(labels, batch, most=2)] == ["1", "2"]


def test_a_batch_with_one_shared_type_is_noted() -> None:
    labels = np.array(["a", "a", "a", "b", "c"], dtype=object)
    batch = np.array(["1", "1", "2", "2", "2"], dtype=object)
    note = inter_folds(labels, batch)[0].note
    assert "shares 1 types" in note
    assert "skipped" in note
