"""Sums over ragged cells: compiled kernels and plain torch against loops."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scypher.encoders.cellvq.kernels import bag, cell_of_entry, dot, ragged_softmax

SHAPES = {
    "some cells are empty": [3, 0, 7, 1, 0],
    "one cell": [4],
    "one empty cell": [0],
    "no entries": [0, 0, 0],
    "no cells": [],
    "many cells": [int(n) for n in torch.arange(70) % 9],
}
ROWS, WIDTH, HEADS = 11, 12, 3


class Case:
    """Entries of cells with given lengths; a table row is used again and again."""

    def __init__(self, lengths: list[int]) -> None:
        generator = torch.Generator().manual_seed(sum(lengths))
        self.indptr = torch.tensor([0, *torch.tensor(lengths).cumsum(0).long().tolist()])
        n, nnz = len(lengths), sum(lengths)
        self.gene = torch.randint(0, ROWS, (nnz,), generator=generator)
        self.weight = torch.randn(nnz, HEADS, generator=generator)
        self.table = torch.randn(ROWS, WIDTH, generator=generator)
        self.cells = torch.randn(n, WIDTH, generator=generator)
        self.out = torch.randn(n, WIDTH, generator=generator)
        self.of_entry = torch.randn(nnz, generator=generator)

    def entries(self) -> list[tuple[int, int]]:
        """Return the cell and the number of each entry."""
        bounds = self.indptr.tolist()
        return [
            (cell, p)
            for cell in range(len(bounds) - 1)
            for p in range(bounds[cell], bounds[cell + 1])
        ]


@pytest.fixture(params=list(SHAPES))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(SHAPES[request.param])


def loop_bag(case: Case, weight: Tensor, table: Tensor) -> Tensor:
    rows = [table.new_zeros(WIDTH) for _ in range(len(case.indptr) - 1)]
    for cell, p in case.entries():
        share = weight[p].repeat_interleave(WIDTH // HEADS)
        rows[cell] = rows[cell] + share * table[case.gene[p]]
    return torch.stack(rows) if rows else table.new_zeros(0, WIDTH)


def loop_dot(case: Case, cells: Tensor, table: Tensor) -> Tensor:
    found = [(cells[cell] * table[case.gene[p]]).sum() for cell, p in case.entries()]
    return torch.stack(found) if found else table.new_zeros(0)


def gradients(
    call: Callable[[Tensor, Tensor], Tensor], given: tuple[Tensor, Tensor], towards: Tensor
) -> list[Tensor]:
    """Return value and gradients of a function of two tensors, in the direction of a third."""
    leaves = [item.clone().requires_grad_() for item in given]
    value = call(*leaves)
    if value.requires_grad:
        (value * towards.to(value.dtype)).sum().backward()
    return [value.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in leaves)]


def close(found: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other.to(one.dtype), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "plain"])
def test_bag_agrees_with_a_loop_forward_and_backward(case: Case, dtype: torch.dtype) -> None:
    given = case.weight.to(dtype), case.table.to(dtype)
    wanted = gradients(
        lambda w, t: loop_bag(case, w, t), (case.weight.double(), case.table.double()), case.out
    )
    close(gradients(lambda w, t: bag(case.indptr, case.gene, w, t), given, case.out), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "plain"])
def test_dot_agrees_with_a_loop_forward_and_backward(case: Case, dtype: torch.dtype) -> None:
    given = case.cells.to(dtype), case.table.to(dtype)
    wanted = gradients(
        lambda c, t: loop_dot(case, c, t), (case.cells.double(), case.table.double()), case.of_entry
    )
    found = gradients(lambda c, t: dot(case.indptr, case.gene, c, t), given, case.of_entry)
    close(found, wanted)


def test_plain_gradients_agree_with_differences() -> None:
    case = Case([3, 0, 2])
    weight, table = case.weight.double().requires_grad_(), case.table.double().requires_grad_()
    cells = case.cells.double().requires_grad_()
    for call, given in (
        (lambda w, t: bag(case.indptr, case.gene, w, t), (weight, table)),
        (lambda c, t: dot(case.indptr, case.gene, c, t), (cells, table)),
        (lambda w: ragged_softmax(case.indptr, w), (weight,)),
    ):
        assert torch.autograd.gradcheck(call, given)


def test_compiled_gradients_agree_with_differences() -> None:
    case = Case([3, 0, 2])
    for kernel, first in ((bag, case.weight), (dot, case.cells)):
        leaves = [first.clone().requires_grad_(), case.table.clone().requires_grad_()]

        def total(*given: Tensor, kernel: Callable[..., Tensor] = kernel) -> Tensor:
            return kernel(case.indptr, case.gene, *given).square().sum()

        total(*leaves).backward()
        for place, leaf in enumerate(leaves):
            direction = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(9))
            up, down = ([x.detach().clone() for x in leaves] for _ in range(2))
            up[place] += 1e-2 * direction
            down[place] -= 1e-2 * direction
            slope = (total(*up) - total(*down)) / 2e-2
            assert leaf.grad is not None
            torch.testing.assert_close((leaf.grad * direction).sum(), slope, rtol=2e-3, atol=2e-3)


def test_a_gradient_that_is_not_needed_is_not_computed() -> None:
    case = Case([3, 2])
    weight = case.weight.clone().requires_grad_()
    bag(case.indptr, case.gene, weight, case.table).sum().backward()
    assert weight.grad is not None
    table = case.table.clone().requires_grad_()
    bag(case.indptr, case.gene, case.weight, table).sum().backward()
    dot(case.indptr, case.gene, case.cells, table).sum().backward()
    assert table.grad is not None
    assert case.table.grad is None


def test_views_are_read_as_what_they_show() -> None:
    case = Case([3, 0, 2])
    wide = torch.randn(WIDTH, ROWS, generator=torch.Generator().manual_seed(3))
    expected = loop_bag(case, case.weight, wide.T)
    torch.testing.assert_close(
        bag(case.indptr, case.gene, case.weight, wide.T), expected, atol=1e-5, rtol=1e-5
    )
    leaf = case.weight.clone().requires_grad_()
    # The gradient of a sum is an expanded scalar, which no kernel can read as it lies.
    bag(case.indptr, case.gene, leaf, wide.T).sum().backward()
    other = case.weight.clone().requires_grad_()
    loop_bag(case, other, wide.T).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_softmax_agrees_with_torch_cell_by_cell(case: Case, scale: float) -> None:
    logits = case.weight.double() * scale
    bounds = case.indptr.tolist()

    def loop(given: Tensor) -> Tensor:
        parts = [given[a:b].softmax(dim=0) for a, b in itertools.pairwise(bounds)]
        return torch.cat([*parts, given.new_zeros(0, HEADS)])

    towards = case.weight.roll(1, 0).double()
    found = gradients(lambda x, _: ragged_softmax(case.indptr, x), (logits, logits), towards)
    close(found[:2], gradients(lambda x, _: loop(x), (logits, logits), towards)[:2])
    single = ragged_softmax(case.indptr, logits.float())
    assert torch.isfinite(single).all()
    torch.testing.assert_close(single, found[0].float(), atol=1e-4, rtol=1e-4)


def test_entries_know_their_cell() -> None:
    case = Case([2, 0, 3])
    assert cell_of_entry(case.indptr).tolist() == [0, 0, 2, 2, 2]


def test_several_threads_give_the_same_numbers() -> None:
    case = Case([int(n) for n in torch.arange(200) % 13])
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(
                gradients(
                    lambda w, t: bag(case.indptr, case.gene, w, t),
                    (case.weight, case.table),
                    case.out,
                )
            )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    close(*results)
