import itertools

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from scypher.interpret.intermediate.paths import path_candidates, widest_path


def random_graph(seed, n=9, share=0.5):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((n, n)) * (rng.random((n, n)) < share), k=1)
    return upper + upper.T


def width_by_search(weight, a, b):
    graph = nx.from_numpy_array(weight)
    widths = [
        min(weight[u, v] for u, v in itertools.pairwise(path))
        for path in nx.all_simple_paths(graph, a, b)
    ]
    return max(widths, default=0.0)


@pytest.mark.parametrize("seed", range(4))
def test_width_equals_a_search_over_all_paths(seed):
    weight = random_graph(seed)
    width = widest_path(sp.csr_matrix(weight))
    for a, b in itertools.combinations(range(len(weight)), 2):
        assert width[a, b] == pytest.approx(width_by_search(weight, a, b), abs=1e-12)
        assert width[a, b] == width[b, a]


@pytest.mark.parametrize("seed", range(4))
def test_candidates_equal_a_loop_over_triples(seed):
    weight = random_graph(seed, n=7)
    expected = set()
    for m in range(7):
        for a, b in itertools.combinations([s for s in range(7) if s != m], 2):
            weaker = min(weight[m, a], weight[m, b])
            if weaker > weight[a, b] and weaker >= width_by_search(weight, a, b) - 1e-12:
                expected.add((m, a, b, round(weaker, 9)))
    found = path_candidates(sp.csr_matrix(weight)).itertuples(index=False)
    assert {(m, a, b, round(w, 9)) for m, a, b, w in found} == expected
    assert expected


def test_a_chain_has_its_inner_nodes_in_the_middle():
    weight = np.zeros((4, 4))
    for i in range(3):
        weight[i, i + 1] = weight[i + 1, i] = 1 + i
    found = path_candidates(sp.csr_matrix(weight))
    assert found[["state", "from_state", "to_state"]].to_numpy().tolist() == [[1, 0, 2], [2, 1, 3]]
    assert found["connectivity_min"].tolist() == [1, 2]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_graphs_without_a_path_have_no_candidates(n):
    assert path_candidates(sp.csr_matrix((n, n))).empty
