import json
import math
from collections import Counter

import numpy as np
import pytest

from scypher.interpret.code_health import LEAST_ENTROPY, check_codes


def check(code: np.ndarray, n_codes: int = 40, **options: object) -> object:
    return check_codes(code, n_codes, rng=np.random.default_rng(0), **options)


def test_figures_of_usage() -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(0, 30, 600) // 2 * 2
    found = check(code)
    shares = [count / 600 for count in Counter(code.tolist()).values()]
    assert found.figures["n_used"] == 15
    assert found.figures["n_dead"] == 25
    entropy = -sum(share * math.log(share) for share in shares)
    assert found.figures["perplexity"] == pytest.approx(math.exp(entropy))
    assert found.figures["largest_share"] == max(shares)
    assert found.figures["perplexity_least"] == pytest.approx(0.05 * 30)
    assert found.alarms == []
    assert [note.split(":")[0] for note in found.notes] == ["donors per code", "batch entropy"]
    json.dumps(found.to_dict())


def test_batch_entropy_is_conditional_over_overall() -> None:
    rng = np.random.default_rng(1)
    code = rng.integers(0, 10, 500)
    batch = np.where(rng.random(500) < 0.6, code % 3, rng.integers(0, 3, 500))
    batch[:20] = -1
    found = check(code, batches=batch)
    known = batch >= 0
    within = 0.0
    for one in range(10):
        inside = batch[known & (code == one)]
        for value in range(3):
            share = (inside == value).mean()
            within -= len(inside) * share * math.log(share) / known.sum()
    overall = [(batch[known] == value).mean() for value in range(3)]
    expected = within / -sum(share * math.log(share) for share in overall)
    assert found.figures["batch_entropy"] == pytest.approx(expected)
    assert 0.95 < found.figures["batch_entropy_expected"] < 1
    assert found.alarms == []


def test_codes_of_one_donor_are_counted() -> None:
    code = np.repeat([0, 1, 2, 3], [50, 30, 9, 11])
    donors = np.concatenate([np.arange(50) % 2, np.zeros(30, int), np.ones(9, int), np.ones(11)])
    found = check(code, 4, donors=donors.astype(int))
    assert found.figures["one_donor_codes"] == 2
    assert found.figures["one_donor_share"] == pytest.approx(0.41)
    assert found.figures["one_donor_share_expected"] < 0.05
    assert found.alarms == []


def test_a_healthy_book_raises_no_alarm() -> None:
    rng = np.random.default_rng(2)
    code = rng.integers(0, 40, 3000)
    found = check(code, donors=rng.integers(0, 6, 3000), batches=rng.integers(0, 3, 3000))
    assert found.alarms == []
    assert found.notes == []


def test_alarms_say_what_is_wrong() -> None:
    rng = np.random.default_rng(3)
    collapsed = np.where(rng.random(4000) < 0.97, 0, rng.integers(0, 10, 4000))
    found = check(collapsed, 100)
    assert any(alarm.startswith("cells use few codes") for alarm in found.alarms)
    assert any(alarm.startswith("one code holds 97%") for alarm in found.alarms)
    assert any("90 of 100 codes are unused" in alarm for alarm in found.alarms)
    donors = rng.integers(0, 8, 4000)
    own = donors * 5 + rng.integers(0, 5, 4000)
    found = check(own, donors=donors, batches=donors // 4)
    assert [alarm.split(",")[0] for alarm in found.alarms] == [
        "codes of a single donor hold 100% of the cells",
        "batches hardly mix within codes: an entropy of 0.00",
    ]
    mixed = np.where(rng.random(4000) < LEAST_ENTROPY + 0.4, rng.integers(0, 2, 4000), donors // 4)
    assert check(own, batches=mixed).alarms == []
