import math
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scypher.encoders.errors import InputError
from scypher.interpret.conformal import fit_conformal, state_labels

NAMES = np.array(["B", "NK", "T"])
CENTRES = np.array([[3.0, 0, 0], [0, 3.0, 0], [0, 1.0, 3.0]])


def planted(
    rng: np.random.Generator, *, n_donors: int = 12, n_each: int = 60, noise: float = 1.2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of three overlapping types, every donor a little apart from the others."""
    donors = np.repeat(np.arange(n_donors), n_each)
    types = rng.integers(0, 3, len(donors))
    shift = rng.normal(0, 0.4, (n_donors, 3))
    embedding = CENTRES[types] + shift[donors] + rng.normal(0, noise, (len(donors), 3))
    return embedding, NAMES[types], donors


def held(sets: np.ndarray, labels: list[str], truth: np.ndarray) -> np.ndarray:
    return sets[np.arange(len(truth)), np.searchsorted(labels, truth)]


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_cells_of_new_donors_are_covered_at_the_nominal_rate(level: float) -> None:
    reached = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        embedding, truth, donors = planted(rng, n_donors=24)
        seen = donors < 12
        found = fit_conformal(
            embedding[seen], truth[seen], donors=donors[seen], rng=rng, level=level
        )
        assert found.unit == "donor"
        assert found.note == ""
        reached.append(held(found.predict_sets(embedding[~seen]), found.labels, truth[~seen]))
    assert np.mean(reached) == pytest.approx(level, abs=0.02)


def test_the_threshold_is_the_quantile_of_scores_with_donors_of_equal_weight() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    embedding, truth, donors = planted(rng, n_donors=4)
    kept = (donors > 0) | (np.arange(len(donors)) < 25)
    embedding, truth, donors = embedding[kept], truth[kept], donors[kept]
    found = fit_conformal(embedding, truth, donors=donors, rng=rng)
    scores = np.zeros(len(truth))
    for donor in range(4):
        out = donors == donor
        scaler = StandardScaler().fit(embedding[~out])
        model = LogisticRegression(C=0.1, max_iter=1000, tol=1e-3)
        model.fit(scaler.transform(embedding[~out]), truth[~out])
        probability = model.predict_proba(scaler.transform(embedding[out]))
        scores[out] = 1 - held(probability, list(model.classes_), truth[out])
    n = len(scores)
    for candidate in np.sort(scores):
        share = np.mean([(scores[donors == donor] <= candidate).mean() for donor in range(4)])
        if share * n / (n + 1) >= 0.9:
            break
    assert found.threshold == pytest.approx(np.full(3, candidate))
    own = held(found.own_sets, found.labels, truth)
    assert own.tolist() == (scores <= candidate + 1e-12).tolist()


def test_coverage_of_each_donor_uses_the_threshold_of_the_others() -> None:
    rng = np.random.default_rng(1)
    embedding, truth, donors = planted(rng)
    # The last donor is labelled at random: nothing covers it at the nominal rate.
    last = donors == 11
    truth[last] = NAMES[rng.integers(0, 3, last.sum())]
    coverage = fit_conformal(embedding, truth, donors=donors, rng=rng).coverage
    assert coverage["donor"].tolist() == list(range(12))
    assert coverage["n_cells"].tolist() == [60] * 12
    assert coverage["coverage"].iloc[:11].mean() > 0.85
    assert coverage["coverage"].iloc[11] < 0.7
    assert list(coverage) == ["donor", "n_cells", "coverage", "set_size"]


def test_by_label_every_label_is_covered_and_a_rare_one_is_everywhere() -> None:
    rng = np.random.default_rng(2)
    embedding, truth, donors = planted(rng, n_donors=20, n_each=100, noise=1.6)
    rare = np.flatnonzero(truth == "T")[5:]
    embedding, truth, donors = (np.delete(a, rare, axis=0) for a in (embedding, truth, donors))
    found = fit_conformal(embedding, truth, donors=donors, rng=rng, by_label=True)
    assert math.isinf(found.threshold[2])
    assert found.own_sets[:, 2].all()
    for number, name in enumerate(NAMES[:2]):
        inside = truth == name
        assert found.own_sets[inside, number].mean() == pytest.approx(0.9, abs=0.02)


def test_without_donors_it_says_what_it_cannot_promise() -> None:
    rng = np.random.default_rng(3)
    embedding, truth, donors = planted(rng)
    for given in (None, np.zeros(len(truth), int), np.full(len(truth), -1)):
        found = fit_conformal(embedding, truth, donors=given, rng=rng)
        assert found.unit == "cell"
        assert found.note.startswith("coverage in a new donor: not possible")
        assert found.coverage.empty
        assert held(found.own_sets, found.labels, truth).mean() == pytest.approx(0.9, abs=0.02)
    small = np.where(np.arange(len(truth)) < 700, 0, 1)
    assert fit_conformal(embedding, truth, donors=small, rng=rng).unit == "donor"
    small[:701] = 0
    assert fit_conformal(embedding, truth, donors=small, rng=rng).unit == "cell"
    few = fit_conformal(embedding[donors < 4], truth[donors < 4], donors=donors[:240], rng=rng)
    assert "a guarantee at 90% needs 9 donors, there are 4" in few.note


def test_a_cell_like_none_seen_before_gets_no_label_or_several() -> None:
    rng = np.random.default_rng(4)
    embedding, truth, donors = planted(rng, noise=0.5)
    found = fit_conformal(embedding, truth, donors=donors, rng=rng)
    between = (CENTRES[0] + CENTRES[1]) / 2
    assert found.predict_sets(between[None]).sum() != 1
    assert found.predict_sets(CENTRES).tolist() == np.eye(3, dtype=bool).tolist()


def test_cells_without_label_are_labelled_and_change_nothing() -> None:
    rng = np.random.default_rng(5)
    embedding, truth, donors = planted(rng, noise=0.6)
    blank = rng.random(len(truth)) < 0.2
    text = np.where(blank, "", truth)
    first = fit_conformal(embedding, text, donors=donors, rng=np.random.default_rng(0))
    second = fit_conformal(
        embedding[~blank], truth[~blank], donors=donors[~blank], rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(first.threshold, second.threshold)
    np.testing.assert_array_equal(first.own_sets[~blank], second.own_sets)
    assert held(first.own_sets[blank], first.labels, truth[blank]).mean() > 0.85


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.full(9, "B")}, "1 distinct labels"),
        ({"labels": np.full(8, "B")}, "one row, label and donor"),
        ({"level": 1.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change: dict[str, object], words: str) -> None:
    given = {"labels": np.array(list("BNT") * 3), "donors": None, "level": 0.9} | change
    with pytest.raises(InputError, match=words):
        fit_conformal(np.zeros((9, 2)), rng=np.random.default_rng(0), **given)


def test_states_take_the_labels_that_most_of_their_cells_hold() -> None:
    sets = np.zeros((13, 3), bool)
    sets[:4, 0] = True  # state 0: B, one cell of five with nothing
    sets[5:9] = [[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]  # state 1: NK 3 of 4, B 2 of 4
    sets[9:11] = [[1, 1, 0], [1, 1, 0]]  # state 2: both
    cell = np.column_stack([np.repeat([0, 1, 2, 3], [5, 4, 2, 2]), np.full(13, -1)])
    cell[:2, 1] = 4
    found = state_labels(sets, list(NAMES), cell, n_states=6)
    assert found["state"].tolist() == list(range(6))
    assert found["n_cells"].tolist() == [5, 4, 2, 2, 2, 0]
    assert found["label"].tolist() == ["B", "NK", "B", "", "B", ""]
    assert found["confidence"].tolist() == [0.8, 0.25, 0, 0, 1, 0]
    assert found["label_set"].tolist() == [["B"], ["NK"], ["B", "NK"], [], ["B"], []]
    expected = ["label", "label", "ambiguous", "abstain", "label", "abstain"]
    assert found["outcome"].tolist() == expected


def test_held_out_donors_of_real_cells_are_covered(data_dir: Path) -> None:
    from sklearn.decomposition import TruncatedSVD

    from scypher.encoders.cells import prepare
    from scypher.encoders.counts import normalise

    cells = prepare(data_dir / "blood_kang_ifnb.h5ad")
    values = sparse.csr_matrix(normalise(cells.counts, cells.totals))
    embedding = TruncatedSVD(20, random_state=0).fit_transform(values)
    obs = cells.adata.obs
    names = sorted(set(obs["donor"].astype(str)) - {"unassigned"})
    donors = np.array([names.index(d) if d in names else -1 for d in obs["donor"].astype(str)])
    truth = obs["cell_type"].astype(str).to_numpy()
    reached = []
    for donor in range(len(names)):
        out = donors == donor
        found = fit_conformal(
            embedding[~out], truth[~out], donors=donors[~out], rng=np.random.default_rng(0)
        )
        reached.append(held(found.predict_sets(embedding[out]), found.labels, truth[out]).mean())
    assert np.mean(reached) == pytest.approx(0.9, abs=0.02)
