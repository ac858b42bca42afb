from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scypher.encoders.errors import InputError
from scypher.interpret.code_algebra import (
    cell_frame,
    codes_of,
    near_in_codebook,
    near_in_graph,
    only_in,
)
from scypher.kg.metadata import Metadata


def toy() -> pd.DataFrame:
    rows = [
        (1, "a", "d1", "control"),
        (1, "a", "d1", "case"),
        (1, "a", "d2", "control"),
        (2, "a", "d1", "control"),
        (3, "a", "d2", "case"),
        (3, "a", "d2", "case"),
        (3, "b", "d2", "case"),
        (4, "b", "", "case"),
        (4, "b", "", ""),
    ]
    return pd.DataFrame(rows, columns=["code", "dataset", "donor", "condition"])


def planted(rng: np.random.Generator, rate: float) -> pd.DataFrame:
    """Codes 0 to 4 of everyone; code 7 of five of eight case donors."""
    frames = []
    for donor in range(16):
        code = rng.choice(5, 1000, p=rng.dirichlet(np.full(5, 9.0)))
        held = rng.random(1000) < (rate if donor < 5 else 0) + 0.0005
        condition = "case" if donor < 8 else "control"
        code = np.where(held, 7, code)
        frames.append(pd.DataFrame({"code": code, "donor": f"d{donor}", "condition": condition}))
    return pd.concat(frames, ignore_index=True).assign(dataset="a")


def test_sets_of_codes_are_joined_met_and_taken_away() -> None:
    frame = toy()
    case, control = (codes_of(frame, condition=name) for name in ("case", "control"))
    assert case.codes.tolist() == [1, 3, 4]
    assert control.codes.tolist() == [1, 2]
    assert (case | control).codes.tolist() == [1, 2, 3, 4]
    assert (case & control).codes.tolist() == [1]
    assert (case - control).codes.tolist() == [3, 4]
    assert (control - case).codes.tolist() == [2]
    assert ((case - control) | (case & control)).codes.tolist() == case.codes.tolist()
    assert codes_of(frame).codes.tolist() == [1, 2, 3, 4]
    assert codes_of(frame, condition="case", dataset="b").codes.tolist() == [3, 4]


def test_tables_count_cells_and_donors_of_each_code() -> None:
    frame = toy()
    case, control = (codes_of(frame, condition=name) for name in ("case", "control"))
    both = (case & control).table()
    assert both.to_dict("list") == {"code": [1], "n_cells": [3], "n_donors": [2]}
    # A donor of one name in two data sets is two donors; an unknown one is none.
    assert case.table().to_dict("list") == {
        "code": [1, 3, 4],
        "n_cells": [1, 3, 1],
        "n_donors": [1, 2, 0],
    }
    assert (case | case).table().equals(case.table())


def test_frames_hold_metadata_as_text() -> None:
    donor = Metadata("donor", "donor", np.array([1, -1, 0]), ["x", "y"], ["", ""])
    frame = cell_frame(np.array([5, 6, 5]), {"donor": donor}, "set")
    assert frame.to_dict("list") == {
        "code": [5, 6, 5],
        "dataset": ["set"] * 3,
        "donor": ["y", "", "x"],
    }


def test_a_code_of_the_case_is_found_over_donors() -> None:
    found = [
        only_in(
            planted(np.random.default_rng(seed), 0.01),
            "condition",
            "case",
            rng=np.random.default_rng(0),
        )
        for seed in range(12)
    ]
    assert all(table["code"].tolist() == [7] for table in found)
    assert np.mean([table["q"][0] < 0.05 for table in found]) >= 0.9
    assert np.mean([table["donors_with"][0] for table in found]) == pytest.approx(5, abs=0.7)
    table = found[0]
    frame = planted(np.random.default_rng(0), 0.01)
    held = frame["code"] == 7
    assert table["n_cells"][0] == (held & (frame["condition"] == "case")).sum()
    assert table["n_cells_control"][0] == (held & (frame["condition"] == "control")).sum()
    assert table["n_donors"][0] == 16
    none = only_in(
        planted(np.random.default_rng(3), 0.0), "condition", "case", rng=np.random.default_rng(0)
    )
    assert (none["q"] > 0.05).all()


def test_a_control_can_be_named_and_others_are_left_out() -> None:
    frame = planted(np.random.default_rng(0), 0.01)
    third = frame.copy()
    third["condition"] = np.where(frame["donor"].isin(["d14", "d15"]), "third", frame["condition"])
    given = {"rng": np.random.default_rng(0), "control": "control"}
    assert only_in(third, "condition", "case", **given)["n_donors"][0] == 14


def test_what_donors_cannot_tell_is_counted_without_p() -> None:
    frame = planted(np.random.default_rng(0), 0.01)
    frame.loc[(frame["code"] == 7) & (frame["condition"] == "control"), "code"] = 1
    for changed in (
        frame.drop(columns="donor"),
        frame.assign(donor="one"),
        frame.assign(batch=frame["condition"]),
    ):
        table = only_in(changed, "condition", "case", rng=np.random.default_rng(0))
        assert table["code"].tolist() == [7]
        assert table["reason"].str.startswith("not possible: ").all()
        assert table[["p", "q", "shift_p", "shift_q"]].isna().all(axis=None)


def test_near_codes_of_the_codebook_are_by_cosine() -> None:
    rng = np.random.default_rng(0)
    codebook = rng.normal(size=(20, 6))
    codebook /= np.linalg.norm(codebook, axis=1, keepdims=True)
    among = np.arange(0, 20, 2)
    found = near_in_codebook(np.array([3, 4]), codebook, among=among, k=3)
    for code in (3, 4):
        rows = found[found["code"] == code]
        cosine = {other: codebook[code] @ codebook[other] for other in among if other != code}
        assert rows["near"].tolist() == sorted(cosine, key=lambda c: -cosine[c])[:3]
        assert rows["rank"].tolist() == [1, 2, 3]
        np.testing.assert_allclose(rows["similarity"], [cosine[c] for c in rows["near"]])


def test_near_codes_of_the_graph_are_by_weight_over_chance() -> None:
    rng = np.random.default_rng(1)
    code = rng.choice([2, 5, 7, 9], 60)
    upper = np.triu(rng.random((60, 60)) * (rng.random((60, 60)) < 0.1), 1)
    upper[np.ix_(code == 2, code == 9)] = 0
    upper[np.ix_(code == 9, code == 2)] = 0
    dense = upper + upper.T
    found = near_in_graph(np.array([2, 7]), code, sparse.csr_matrix(dense), k=2)
    for asked in (2, 7):
        ratio = {
            other: dense[np.ix_(code == asked, code == other)].sum()
            * dense.sum()
            / (dense[code == asked].sum() * dense[code == other].sum())
            for other in {2, 5, 7, 9} - {asked}
        }
        rows = found[found["code"] == asked]
        best = [c for c in sorted(ratio, key=lambda c: -ratio[c]) if ratio[c] > 0][:2]
        assert rows["near"].tolist() == best
        np.testing.assert_allclose(rows["similarity"], [ratio[c] for c in best])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: codes_of(toy(), tissue="blood"), "no column 'tissue'"),
        (lambda: codes_of(toy(), condition="none"), "no cell has the condition 'none'"),
        (lambda: codes_of(toy()) | codes_of(toy()), "two different tables"),
        (
            lambda: near_in_graph(np.array([3]), np.array([1, 4]), sparse.csr_matrix((2, 2))),
            r"codes \[3\] do not occur",
        ),
    ],
)
def test_wrong_questions_are_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
