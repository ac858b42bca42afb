from collections.abc import Iterator

import networkx as nx
import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scypher.encoders.leiden import by_size, leiden


def planted(
    sizes: tuple[int, ...], *, seed: int, inside: float = 0.5, outside: float = 0.02
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return a symmetric graph of dense groups and the group of each node, in random order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    chance = np.where(group[:, None] == group, inside, outside)
    upper = np.triu(rng.random(chance.shape) < chance, 1) * rng.uniform(0.5, 1.5, chance.shape)
    return sparse.csr_matrix(upper + upper.T), group


def modularity(weights: np.ndarray, member: np.ndarray, resolution: float) -> float:
    """Newman's modularity of dense symmetric weights, loops on the diagonal."""
    degree = weights.sum(axis=1)
    total = degree.sum()
    gain = weights / total - resolution * np.outer(degree, degree) / total**2
    return float(gain[member[:, None] == member].sum())


def partitions(n: int) -> Iterator[list[int]]:
    """Yield every partition of n nodes as restricted growth strings."""
    if n == 0:
        yield []
        return
    for head in partitions(n - 1):
        for group in range(max(head, default=-1) + 2):
            yield [*head, group]


def aggregate(graph: sparse.csr_matrix, code: np.ndarray) -> sparse.csr_matrix:
    member = sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code)))))
    return sparse.csr_matrix(member @ graph @ member.T)


def test_planted_groups_are_found_and_numbered_by_size() -> None:
    graph, group = planted((40, 30, 20, 12), seed=1)
    np.testing.assert_array_equal(leiden(graph, resolution=1.0, seed=0), group)


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_is_that_of_networkx_louvain_or_better(resolution: float) -> None:
    graph = nx.karate_club_graph()
    weights = nx.to_numpy_array(graph, nodelist=sorted(graph))
    found = leiden(sparse.csr_matrix(weights), resolution=resolution, seed=0)
    louvain = nx.community.louvain_communities(graph, resolution=resolution, seed=0)
    groups = [set(np.flatnonzero(found == group)) for group in range(found.max() + 1)]
    score = nx.community.modularity(graph, groups, resolution=resolution)
    assert modularity(weights, found, resolution) == pytest.approx(score)
    assert score >= nx.community.modularity(graph, louvain, resolution=resolution) - 0.005


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("resolution", [0.5, 1.0])
def test_weight_inside_nodes_counts_as_in_the_best_of_all_partitions(
    seed: int, resolution: float
) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((7, 7)) < 0.5, 1) * rng.uniform(0.2, 1, (7, 7))
    weights = upper + upper.T + np.diag(rng.uniform(0, 3, 7))
    weights[0, 0] = 0
    found = leiden(sparse.csr_matrix(weights), resolution=resolution, seed=0)
    best = max(modularity(weights, np.array(each), resolution) for each in partitions(7))
    assert modularity(weights, found, resolution) == pytest.approx(best)


def test_graph_of_codes_gives_the_groups_of_the_graph_of_cells() -> None:
    graph, group = planted((60, 45, 30), seed=3, inside=0.3)
    # Four codes inside each group.
    code = group * 4 + np.random.default_rng(0).integers(0, 4, len(group))
    cells = leiden(graph, resolution=1.0, seed=0)
    codes = leiden(aggregate(graph, code), resolution=1.0, seed=0)
    assert adjusted_rand_score(cells, codes[code]) == 1
    assert adjusted_rand_score(group, codes[code]) == 1


def test_diagonal_is_not_ignored() -> None:
    """Two heavy nodes joined by a light edge stay apart, without their own weight they join."""
    weights = np.array([[10.0, 1.0], [1.0, 10.0]])
    apart = leiden(sparse.csr_matrix(weights), resolution=1.0, seed=0)
    together = leiden(sparse.csr_matrix(weights * (1 - np.eye(2))), resolution=1.0, seed=0)
    assert apart.tolist() == [0, 1]
    assert together.tolist() == [0, 0]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_graph_without_edges_leaves_every_node_alone(n: int) -> None:
    found = leiden(sparse.csr_matrix((n, n)), resolution=1.0, seed=0)
    assert found.tolist() == list(range(n))


def test_stored_zeros_are_no_edges() -> None:
    zeros = sparse.csr_matrix((np.zeros(2), ([0, 1], [1, 0])), shape=(3, 3))
    assert leiden(zeros, resolution=1.0, seed=0).tolist() == [0, 1, 2]


def test_nodes_with_loops_alone_stay_alone() -> None:
    graph = sparse.csr_matrix(np.diag([1.0, 2.0, 0.0]))
    assert sorted(leiden(graph, resolution=1.0, seed=0).tolist()) == [0, 1, 2]


def test_isolated_nodes_are_groups_of_their_own_after_the_larger() -> None:
    graph, group = planted((12, 9), seed=5)
    lonely = sparse.csr_matrix((2, 2))
    whole = sparse.csr_matrix(sparse.block_diag([lonely, graph]))
    found = leiden(whole, resolution=1.0, seed=0)
    np.testing.assert_array_equal(found, np.concatenate([[2, 3], group]))


def test_same_seed_gives_the_same_groups() -> None:
    graph, _ = planted((20, 20, 20), seed=2, inside=0.2, outside=0.12)
    once, again = (leiden(graph, resolution=1.0, seed=4) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_larger_resolution_gives_more_groups() -> None:
    graph, _ = planted((30, 30, 30), seed=2, inside=0.3, outside=0.1)
    groups = [
        leiden(graph, resolution=resolution, seed=0).max() + 1 for resolution in (0.1, 1.0, 4.0)
    ]
    assert groups[0] < groups[1] < groups[2]


def test_input_graph_is_left_as_it_was() -> None:
    graph, _ = planted((10, 10), seed=6)
    graph.setdiag(1.0)
    before = graph.copy()
    leiden(graph, resolution=1.0, seed=0)
    assert (graph != before).nnz == 0


def test_by_size_numbers_groups_by_size_then_first_member() -> None:
    member = np.array([7, 3, 3, 9, 9, 5, 9, 1, 7])
    sizes = [(-int((member == group).sum()), int(np.argmax(member == group))) for group in member]
    order = sorted(set(sizes))
    np.testing.assert_array_equal(by_size(member), [order.index(size) for size in sizes])
    assert by_size(member).tolist() == [1, 2, 2, 0, 0, 3, 0, 4, 1]


def test_by_size_of_nothing_is_nothing() -> None:
    assert by_size(np.array([], int)).tolist() == []
