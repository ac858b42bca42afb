"""The contrast against loops, and the memory of past keys."""

import math

import numpy as np
import pytest
import torch

from scypher.encoders.scdmc.contrast import PastKeys, info_nce


@pytest.mark.parametrize("m", [0, 5])
def test_the_loss_is_that_of_a_loop(rng: np.random.Generator, m: int) -> None:
    query, key, past = (rng.normal(size=(n, 6)).astype(np.float32) for n in (4, 4, m))
    past /= np.linalg.norm(past, axis=1, keepdims=True)
    found = info_nce(*map(torch.from_numpy, (query, key, past)), tau=0.2)

    def score(one: np.ndarray, other: np.ndarray) -> float:
        cosine = float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other))
        return math.exp(cosine / 0.2)

    total = 0.0
    for i in range(4):
        right = score(query[i], key[i])
        forth = sum(score(query[i], k) for k in (*key, *past))
        back = sum(score(q, key[i]) for q in query)
        total -= (math.log(right / forth) + math.log(right / back)) / 8
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_matching_rows_lose_less_than_shuffled_ones(rng: np.random.Generator) -> None:
    cells = torch.from_numpy(rng.normal(size=(20, 8)).astype(np.float32))
    matching = info_nce(cells, cells, cells[:0], tau=0.07)
    shuffled = info_nce(cells, cells.roll(1, 0), cells[:0], tau=0.07)
    assert float(matching) < 0.5 < 2 < float(shuffled)


def test_one_cell_without_past_has_nothing_to_lose() -> None:
    cell = torch.ones(1, 3)
    assert float(info_nce(cell, -cell, torch.zeros(0, 3), tau=0.07)) == 0


def test_the_latest_keys_are_kept(rng: np.random.Generator) -> None:
    past, kept = PastKeys(5, 2), np.zeros((0, 2), np.float32)
    assert past().shape == (0, 2)
    for n in (2, 2, 3, 12, 1, 5):
        keys = rng.normal(size=(n, 2)).astype(np.float32)
        past.push(torch.from_numpy(keys))
        unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
        kept = np.concatenate([kept, unit])[-5:]
        found = past().numpy()
        assert sorted(map(tuple, found.round(5))) == sorted(map(tuple, kept.round(5)))
    assert int(past.pushed) == 25


def test_no_room_means_no_past() -> None:
    past = PastKeys(0, 2)
    past.push(torch.ones(3, 2))
    assert past().shape == (0, 2)
