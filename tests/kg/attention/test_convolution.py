from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scypher.encoders.compiled import use_threads_of_torch
from scypher.encoders.errors import InputError
from scypher.kg.attention.convolution import GATv2, GATv2Conv
from scypher.kg.attention.kernel import gatv2_messages

N_SOURCES, N_TARGETS, WIDTH = 13, 9, 10


def edges_of(kind: str, rng: np.random.Generator) -> Tensor:
    """Edges of 60 random pairs, with targets and sources that have none."""
    source, target = rng.integers(0, N_SOURCES - 2, 60), rng.integers(1, N_TARGETS - 2, 60)
    if kind == "none":
        source, target = source[:0], target[:0]
    if kind == "sorted":
        target = np.sort(target)
    return torch.from_numpy(np.stack([source, target]))


def both_layers(heads: int, edge_dim: int | None) -> tuple[GATv2, GATv2Conv]:
    """Our layer and, in float64, that of PyG with its parameters; all biases are set."""
    sizes = (WIDTH, WIDTH - 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = GATv2(sizes, 4, heads=heads, edge_dim=edge_dim, path="kernel")
        for parameter in ours.parameters():
            torch.nn.init.normal_(parameter)
    peer = GATv2Conv(sizes, 4, heads=heads, edge_dim=edge_dim, add_self_loops=False).double()
    peer.load_state_dict(ours.state_dict())
    return ours, peer


@pytest.mark.parametrize("kind", ["sorted", "unsorted", "none"])
@pytest.mark.parametrize(("heads", "edge_dim"), [(1, None), (2, 3), (4, 1)])
def test_numbers_and_gradients_are_those_of_pyg(
    kind: str, heads: int, edge_dim: int | None
) -> None:
    rng = np.random.default_rng(1)
    edges = edges_of(kind, rng)
    n_edges = edges.shape[1]
    shapes = [(N_SOURCES, WIDTH), (N_TARGETS, WIDTH - 3), (n_edges, edge_dim or 0)]
    arrays = [rng.normal(size=shape) for shape in shapes]
    asked = [rng.normal(size=(N_TARGETS, 4 * heads)), rng.normal(size=(n_edges, heads))]
    found = []
    for layer, dtype in zip(
        both_layers(heads, edge_dim), (torch.float32, torch.float64), strict=True
    ):
        left, right, edge = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in arrays)
        given = edge if edge_dim else None
        out, (returned, alpha) = layer((left, right), edges, given, return_attention_weights=True)
        assert torch.equal(returned, edges)
        plain = layer((left, right), edges, given)
        assert torch.equal(plain, out)
        loss = sum(
            (x * torch.tensor(w, dtype=dtype)).sum()
            for x, w in zip((out, alpha), asked, strict=True)
        )
        named = dict(layer.named_parameters()) | {"left": left, "right": right}
        named |= {"edge": edge} if edge_dim else {}
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        found.append({"out": out, "alpha": alpha, **dict(zip(named, gradients, strict=True))})
    for name, expected in found[1].items():
        if expected is None:
            assert found[0][name] is None or not found[0][name].any()
            continue
        np.testing.assert_allclose(
            found[0][name].detach().numpy(),
            expected.detach().numpy(),
            rtol=1e-5,
            atol=1e-5 * float(expected.detach().abs().max() if expected.numel() else 0),
            err_msg=name,
        )


def test_choice_of_the_path() -> None:
    layer, _ = both_layers(2, None)
    layer.path = "auto"
    ends = (torch.zeros(3, WIDTH), torch.zeros(2, WIDTH - 3))
    assert layer.uses_kernel(ends)
    assert not layer.uses_kernel((ends[0].double(), ends[1].double()))
    assert not layer.uses_kernel((ends[0].to("meta"), ends[1].to("meta")))
    layer.path = "pyg"
    assert not layer.uses_kernel(ends)


@pytest.mark.parametrize("path", ["auto", "pyg"])
def test_other_types_go_through_pyg(path: Any) -> None:
    rng = np.random.default_rng(2)
    ours, peer = both_layers(2, 3)
    ours.path = path
    ours.double()
    ends = tuple(torch.from_numpy(rng.normal(size=(9, n))) for n in (WIDTH, WIDTH - 3))
    edges, edge = edges_of("sorted", rng), torch.from_numpy(rng.normal(size=(60, 3)))
    edges[0] %= 9
    assert torch.equal(ours(ends, edges, edge), peer(ends, edges, edge))


def test_large_scores_do_not_overflow() -> None:
    left = torch.tensor([[1e4], [9e3]])
    out, alpha = gatv2_messages(
        left,
        torch.zeros(1, 1),
        torch.ones(1, 1),
        indptr=torch.tensor([0, 2]),
        source=torch.tensor([0, 1]),
    )
    assert alpha.flatten().tolist() == [1.0, 0.0]
    assert out.item() == 1e4


@pytest.mark.parametrize("edges", [[[13], [0]], [[-1], [0]], [[0], [9]], [[0], [-1]]])
def test_edges_of_nodes_that_are_not_there_are_refused(edges: list[list[int]]) -> None:
    layer, _ = both_layers(2, None)
    ends = (torch.zeros(N_SOURCES, WIDTH), torch.zeros(N_TARGETS, WIDTH - 3))
    with pytest.raises(IndexError, match="expected rows of"):
        layer(ends, torch.tensor(edges))


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (0, 3)])
def test_attributes_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    layer, _ = both_layers(2, 3)
    ends = (torch.zeros(N_SOURCES, WIDTH), torch.zeros(N_TARGETS, WIDTH - 3))
    with pytest.raises(InputError, match="edge attributes of shape"):
        layer(ends, torch.tensor([[0], [0]]), torch.zeros(shape))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_threads_give_the_same_bits(threads: int) -> None:
    rng = np.random.default_rng(3)
    indptr = torch.arange(0, 2001, 20)
    source = torch.from_numpy(rng.integers(0, 30, 2000))
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((30, 8), (100, 8), (2, 4))]
    before = torch.get_num_threads()
    found = []
    try:
        for number in (threads, threads, 1):
            torch.set_num_threads(number)
            use_threads_of_torch()
            given = [torch.tensor(x, requires_grad=True) for x in arrays]
            out, _ = gatv2_messages(*given, indptr=indptr, source=source)
            found.append([out, *torch.autograd.grad((out**2).sum(), given)])
    finally:
        torch.set_num_threads(before)
    for one, same, single in zip(*found, strict=True):
        assert torch.equal(one, same)
        torch.testing.assert_close(one, single, rtol=1e-4, atol=1e-4)
