import re
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scypher.kg.states import MIN_CELLS, States, find_states

# Coarse group -> finer groups -> codes -> cells of each.
SIZES = ((40, 30, 26), (36, 24), (28,))
CODES_EACH = 3


def graph_of(group: np.ndarray, chance: np.ndarray, seed: int) -> sparse.csr_matrix:
    """Return symmetric weights drawn with the chance of each pair of groups."""
    rng = np.random.default_rng(seed)
    shape = (len(group), len(group))
    drawn = np.triu(rng.random(shape) < chance[np.ix_(group, group)], 1)
    upper = drawn * rng.uniform(0.5, 1.0, shape)
    return sparse.csr_matrix(upper + upper.T)


def planted(seed: int = 0) -> tuple[np.ndarray, sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Return codes, graph, coarse and fine group of cells; codes split the fine groups."""
    coarse_of = np.array([group for group, sizes in enumerate(SIZES) for _ in sizes])
    sizes = [size for group in SIZES for size in group]
    rng = np.random.default_rng(seed)
    fine = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    same = coarse_of[:, None] == coarse_of
    chance = np.where(np.eye(len(sizes), dtype=bool), 0.7, np.where(same, 0.08, 0.002))
    codes = 100 + 7 * (fine * CODES_EACH + rng.integers(0, CODES_EACH, len(fine)))
    return codes, graph_of(fine, chance, seed), coarse_of[fine], fine


@pytest.fixture(scope="module")
def toy() -> tuple[States, np.ndarray, sparse.csr_matrix, np.ndarray, np.ndarray]:
    codes, graph, coarse, fine = planted()
    return find_states(codes, graph, seed=0, resolution=0.5), codes, graph, coarse, fine


def check(states: States, codes: np.ndarray) -> None:
    """Check what holds of any states: nesting, sizes, names, codes."""
    table = states.table
    assert list(table) == ["name", "level", "parent", "size", "stability"]
    assert table["name"].is_unique
    levels = table["level"].to_numpy()
    for row, state in table.iterrows():
        inside = states.cell[:, state["level"] - 1] == row
        assert inside.sum() == state["size"]
        children = table[table["parent"] == row]
        assert children.empty or children["size"].sum() == state["size"]
        assert len(children) != 1
        if state["level"] == 1:
            assert state["parent"] == -1
            assert re.fullmatch(r"S\d+", state["name"])
        else:
            parent = table.loc[state["parent"]]
            assert parent["level"] == 1
            assert state["name"].startswith(parent["name"] + ".")
            assert (states.cell[inside, 0] == state["parent"]).all()
        finer = states.cell[inside, 1]
        assert state["level"] == 2 or (finer >= 0).all() == bool(len(children))
    for parent in [-1, *np.flatnonzero(levels == 1)]:
        group = table[table["parent"] == parent]
        prefix = "S" if parent == -1 else f"{table.loc[parent, 'name']}."
        assert group["name"].tolist() == [f"{prefix}{i + 1}" for i in range(len(group))]
        assert group["size"].is_monotonic_decreasing
    assert table.loc[levels == 1, "size"].sum() == len(codes)
    assert (states.cell[:, 0] >= 0).all()
    assert set(states.code) == set(codes.tolist())
    for code, rows in states.code.items():
        cells = states.cell[codes == code]
        assert (cells == cells[0]).all()
        assert rows == [row for row in cells[0] if row >= 0]


def expected_connectivity(graph: sparse.csr_matrix, states: States) -> np.ndarray:
    """Weight between two states over what their total weights would give at random."""
    dense = graph.toarray()
    levels = states.table["level"].to_numpy()
    found = np.zeros((len(levels), len(levels)))
    for a in range(len(levels)):
        for b in range(len(levels)):
            if a == b or levels[a] != levels[b]:
                continue
            in_a, in_b = (states.cell[:, levels[s] - 1] == s for s in (a, b))
            at_random = dense[in_a].sum() * dense[in_b].sum() / dense.sum()
            found[a, b] = dense[np.ix_(in_a, in_b)].sum() / at_random
    return found


def test_planted_groups_are_found_on_both_levels(
    toy: tuple[States, np.ndarray, sparse.csr_matrix, np.ndarray, np.ndarray],
) -> None:
    states, _, _, coarse, fine = toy
    assert adjusted_rand_score(coarse, states.cell[:, 0]) == 1
    # A coarse state without finer ones stands for itself.
    finest = np.where(states.cell[:, 1] >= 0, states.cell[:, 1], states.cell[:, 0])
    assert adjusted_rand_score(fine, finest) == 1
    names = ["S1", "S2", "S3", "S1.1", "S1.2", "S1.3", "S2.1", "S2.2"]
    assert states.table["name"].tolist() == names
    assert states.table["size"].tolist() == [96, 60, 28, 40, 30, 26, 36, 24]
    assert states.table["parent"].tolist() == [-1, -1, -1, 0, 0, 0, 1, 1]


def test_states_nest_and_their_sizes_add_up(
    toy: tuple[States, np.ndarray, sparse.csr_matrix, np.ndarray, np.ndarray],
) -> None:
    check(toy[0], toy[1])


def test_connectivity_is_weight_over_weight_at_random(
    toy: tuple[States, np.ndarray, sparse.csr_matrix, np.ndarray, np.ndarray],
) -> None:
    states, _, graph, _, _ = toy
    found = states.connectivity.toarray()
    np.testing.assert_allclose(found, expected_connectivity(graph, states), rtol=1e-9)
    np.testing.assert_allclose(found, found.T)
    assert found[3, 4] > 3 * found[3, 6]


def test_connectivity_of_states_that_ignore_each_other_is_near_one() -> None:
    """With cells joined at random, states drawn by a few weights are joined as by chance."""
    rng = np.random.default_rng(0)
    codes = np.arange(400) % 2
    background = sparse.csr_matrix(np.triu(rng.random((400, 400)) < 0.5, 1))
    extra = sparse.csr_matrix(np.triu((codes[:, None] == codes) & (rng.random((400, 400)) < 0.02)))
    graph = sparse.csr_matrix(background + background.T + extra + extra.T, dtype=float)
    states = find_states(codes, graph, seed=0, resolution=1.0)
    assert len(states.table) == 2
    assert states.connectivity[0, 1] == pytest.approx(1, abs=0.05)


def test_states_of_few_cells_join_the_one_they_are_most_connected_to() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], [40, 30, MIN_CELLS - 1])
    chance = np.array([[0.6, 0.0, 0.0], [0.0, 0.6, 0.03], [0.0, 0.03, 1.0]])
    graph = graph_of(group, chance, seed=1)
    codes = group * 2 + rng.integers(0, 2, len(group))
    states = find_states(codes, graph, seed=0)
    check(states, codes)
    assert states.table.loc[states.table["level"] == 1, "size"].tolist() == [40, 39]
    assert len(set(states.cell[group > 0, 0])) == 1
    assert (states.table["size"] >= MIN_CELLS).all()


def test_states_of_just_enough_cells_stand() -> None:
    group = np.repeat([0, 1], [40, MIN_CELLS])
    states = find_states(group, graph_of(group, np.diag([0.6, 1.0]), seed=1), seed=0)
    assert states.table["size"].tolist() == [40, MIN_CELLS]


def test_few_cells_without_any_neighbour_outside_still_join_a_state() -> None:
    group = np.repeat([0, 1, 2], [40, 30, 3])
    states = find_states(group, graph_of(group, np.diag([0.6, 0.6, 1.0]), seed=1), seed=0)
    check(states, group)
    assert (states.table["size"] >= MIN_CELLS).all()


def test_too_few_cells_in_all_are_one_state() -> None:
    codes = np.array([0, 0, 1, 1, 2])
    graph = sparse.csr_matrix(np.kron(np.eye(2), np.ones((3, 3)))[:5, :5] - np.eye(5))
    states = find_states(codes, graph, seed=0)
    stability = states.table.pop("stability")
    assert states.table.to_dict("list") == {
        "name": ["S1"],
        "level": [1],
        "parent": [-1],
        "size": [5],
    }
    assert 0 < stability.item() <= 1
    assert states.cell.tolist() == [[0, -1]] * 5


def test_one_code_is_one_state() -> None:
    graph = graph_of(np.zeros(30, int), np.array([[0.5]]), seed=0)
    states = find_states(np.full(30, 7), graph, seed=0)
    assert states.code == {7: [0]}
    assert states.table["name"].tolist() == ["S1"]
    assert states.connectivity.nnz == 0


def test_cells_without_neighbours_are_grouped_all_the_same() -> None:
    codes = np.repeat([0, 1], 20)
    states = find_states(codes, sparse.csr_matrix((40, 40)), seed=0)
    check(states, codes)
    assert states.connectivity.nnz == 0


def test_same_seed_gives_the_same_states_and_order_of_cells_none_other() -> None:
    codes, graph, _, _ = planted(seed=3)
    for resolution in (None, 0.5):
        once, again = (find_states(codes, graph, seed=5, resolution=resolution) for _ in range(2))
        np.testing.assert_array_equal(once.cell, again.cell)
        assert once.table.equals(again.table)
        assert once.tried.equals(again.tried)
    order = np.random.default_rng(0).permutation(len(codes))
    turned = find_states(
        codes[order], sparse.csr_matrix(graph[order][:, order]), seed=5, resolution=0.5
    )
    assert adjusted_rand_score(once.cell[order, 0], turned.cell[:, 0]) == 1


def test_larger_resolution_gives_more_states() -> None:
    codes, graph, _, _ = planted()
    few, many = (find_states(codes, graph, seed=0, resolution=r) for r in (0.01, 3.0))
    assert (few.table["level"] == 1).sum() < (many.table["level"] == 1).sum()
    check(few, codes)
    check(many, codes)


def test_the_resolution_chosen_finds_the_planted_groups_without_being_told() -> None:
    codes, graph, _, fine = planted()
    states = find_states(codes, graph, seed=0)
    check(states, codes)
    assert adjusted_rand_score(fine, states.cell[:, 0]) == 1
    assert states.resolution in states.tried["resolution"].tolist()
    assert (states.table["stability"] > 0.8).all()


def test_cells_without_structure_stay_one_state() -> None:
    rng = np.random.default_rng(0)
    graph = graph_of(np.zeros(300, int), np.array([[0.1]]), seed=0)
    states = find_states(rng.integers(0, 15, 300), graph, seed=0)
    assert states.table["name"].tolist() == ["S1"]
    assert states.tried["stability"].max() < 0.5


def test_a_resolution_that_is_given_is_used(
    toy: tuple[States, np.ndarray, sparse.csr_matrix, np.ndarray, np.ndarray],
) -> None:
    states = toy[0]
    assert states.resolution == 0.5
    assert states.tried["resolution"].tolist() == [0.5]
    assert (states.table["stability"] > 0.8).all()


def test_real_cells_fall_into_states_of_their_types(data_dir: Path) -> None:
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    from scypher.encoders.cells import prepare
    from scypher.encoders.counts import normalise

    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    values = normalise(cells.counts, cells.totals).toarray()
    left, strength, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    embedding = left[:, :20] * strength[:20]
    codes = KMeans(40, n_init=1, random_state=0).fit_predict(embedding)
    near = kneighbors_graph(embedding, 15)
    graph = sparse.csr_matrix(near.maximum(near.T))
    states = find_states(codes, graph, seed=0)
    check(states, codes)
    np.testing.assert_allclose(
        states.connectivity.toarray(), expected_connectivity(graph, states), rtol=1e-9
    )
    labels = cells.adata.obs["cell_type"].astype(str)
    # Types of one lineage share a state, other lineages do not.
    lineage = labels.str.contains("Monocyte|Dendritic").to_numpy()
    assert adjusted_rand_score(lineage, states.cell[:, 0]) > 0.3
