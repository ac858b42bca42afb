from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from scypher.encoders.cells import prepare
from scypher.encoders.counts import normalise
from scypher.kg.neighbours import N_NEIGHBOURS, Neighbours, find_neighbours


def blobs(n_cells: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    group = np.arange(n_cells) % 3
    centres = 30 * np.eye(3, 6)
    return (centres[group] + rng.normal(size=(n_cells, 6))).astype(np.float32), group


def exact(embedding: np.ndarray, k: int) -> np.ndarray:
    """Return which cells are among the k nearest of either, the cell itself counted in k."""
    distance = np.linalg.norm(embedding[:, None] - embedding, axis=2)
    chosen = np.argsort(distance, axis=1)[:, 1:k]
    pattern = np.zeros(distance.shape, dtype=bool)
    np.put_along_axis(pattern, chosen, True, axis=1)
    return pattern | pattern.T


@pytest.fixture(scope="module")
def toy() -> Neighbours:
    return find_neighbours(blobs()[0], seed=0)


def test_graph_joins_the_exact_nearest_neighbours(toy: Neighbours) -> None:
    embedding, _ = blobs()
    found = toy.connectivities.toarray() > 0
    np.testing.assert_array_equal(found, exact(embedding, N_NEIGHBOURS))


def test_weights_are_symmetric_in_the_unit_interval_without_loops(toy: Neighbours) -> None:
    graph = toy.connectivities
    assert sparse.issparse(graph)
    assert graph.format == "csr"
    assert abs(graph - graph.T).max() < 1e-6
    assert graph.data.min() > 0
    assert graph.data.max() <= 1 + 1e-6
    assert not graph.diagonal().any()
    # The nearest neighbour of each cell has weight 1 in UMAP's fuzzy set.
    np.testing.assert_allclose(graph.max(axis=1).toarray(), 1, atol=1e-6)


def test_groups_stay_apart_in_graph_and_map(toy: Neighbours) -> None:
    _, group = blobs()
    rows, columns = toy.connectivities.nonzero()
    assert (group[rows] == group[columns]).all()
    near = NearestNeighbors(n_neighbors=2).fit(toy.layout).kneighbors(return_distance=False)
    assert (group[near[:, 0]] == group).mean() > 0.95


def test_same_seed_gives_the_same_map_and_another_seed_another(toy: Neighbours) -> None:
    embedding, _ = blobs()
    again, other = (find_neighbours(embedding, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.layout, toy.layout)
    assert (again.connectivities != toy.connectivities).nnz == 0
    assert (other.connectivities != toy.connectivities).nnz == 0
    assert not np.array_equal(other.layout, toy.layout)


def test_map_has_two_finite_coordinates_of_four_digits(toy: Neighbours) -> None:
    assert toy.layout.shape == (90, 2)
    assert toy.layout.dtype == np.float64
    assert np.isfinite(toy.layout).all()
    np.testing.assert_array_equal(toy.layout, np.round(toy.layout, 4))


def test_fewer_cells_than_neighbours_are_all_joined() -> None:
    embedding, _ = blobs(9)
    found = find_neighbours(embedding, seed=0)
    assert found.connectivities.shape == (9, 9)
    np.testing.assert_array_equal(found.connectivities.toarray() > 0, exact(embedding, 8))


def test_real_cells_lie_beside_cells_of_their_type(data_dir: Path) -> None:
    cells = prepare(data_dir / "blood_pbmc68k_700.h5ad")
    values = normalise(cells.counts, cells.totals).toarray()
    centred = values - values.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    graph = find_neighbours(left[:, :20] * strength[:20], seed=0).connectivities
    labels = cells.adata.obs["cell_type"].astype(str).to_numpy()
    edges = graph.tocoo()
    same = np.average(labels[edges.row] == labels[edges.col], weights=edges.data)
    _, sizes = np.unique(labels, return_counts=True)
    at_random = float(((sizes / sizes.sum()) ** 2).sum())
    assert same > 2 * at_random
