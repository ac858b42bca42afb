"""Attention with a penalty on distance, against loops and against its own slow path."""

import math

import numpy as np
import pytest
import torch

from scypher.encoders.scdmc.attention import Bias, alibi, alibi_slopes, attend, weigh


def test_slopes_are_those_of_the_publication() -> None:
    np.testing.assert_allclose(alibi_slopes(8), [2.0**-k for k in range(1, 9)])
    # The publication's rule for other numbers: those of 8, then every second one of 16.
    wanted = [2.0**-k for k in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    np.testing.assert_allclose(alibi_slopes(12), wanted)
    assert alibi_slopes(1).tolist() == [2.0**-8]


def test_the_penalty_is_symmetric_and_linear() -> None:
    penalty = alibi(4, 5, torch.device("cpu"))[0]
    for head, slope in enumerate(alibi_slopes(4)):
        for i in range(5):
            for j in range(5):
                assert float(penalty[head, i, j]) == pytest.approx(-float(slope) * abs(i - j))


@pytest.mark.parametrize("ordered", [True, False])
def test_both_paths_give_what_a_loop_gives(ordered: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, 4, 7, 6, generator=generator) for _ in range(3))
    present = torch.arange(7) < torch.tensor([[7], [4], [1]])
    bias = Bias(alibi(4, 7, torch.device("cpu")) if ordered else None, present)
    fast = attend(query, key, value, bias=bias)
    slow = weigh(query, key, bias)
    slopes = alibi_slopes(4) if ordered else torch.zeros(4)
    for n in range(3):
        for h in range(4):
            for i in range(7):
                keys = [j for j in range(7) if present[n, j]]
                scores = [
                    float(query[n, h, i] @ key[n, h, j]) / math.sqrt(6)
                    - float(slopes[h]) * abs(i - j)
                    for j in keys
                ]
                top = max(scores)
                weights = np.exp(np.array(scores) - top)
                weights /= weights.sum()
                mixed = sum(w * value[n, h, j].numpy() for w, j in zip(weights, keys, strict=True))
                np.testing.assert_allclose(slow[n, h, i, keys], weights, atol=1e-6)
                np.testing.assert_allclose(fast[n, h, i], mixed, atol=1e-5)
    assert (slow.transpose(1, 3)[~present] == 0).all()


def test_the_fast_path_has_the_gradient_of_the_slow_one() -> None:
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(2, 4, 6, 8, generator=generator, requires_grad=True) for _ in range(3)]
    bias = Bias(alibi(4, 6, torch.device("cpu")), torch.arange(6) < torch.tensor([[6], [3]]))
    seen = torch.randn(2, 4, 6, 8, generator=generator)
    fast = torch.autograd.grad((attend(*given, bias=bias) * seen).sum(), given)
    slow = torch.autograd.grad((weigh(given[0], given[1], bias) @ given[2] * seen).sum(), given)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
