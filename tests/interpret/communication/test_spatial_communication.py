import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scypher.encoders.errors import InputError
from scypher.interpret.communication.ligand_receptor import PairGenes, Pairs, read_pairs
from scypher.interpret.communication.spatial import (
    neighbour_edges,
    spatial_communicate,
    spot_communication,
)
from scypher.interpret.permutations import shuffles


def grid(width=16, seed=0, planted=True):
    """A grid of spots in two groups; in group 0 gene 1 is high beside gene 0 where planted."""
    rng = np.random.default_rng(seed)
    y, x = np.divmod(np.arange(width * width), width)
    groups = (x >= width // 2).astype(np.int64)
    rate = np.ones((len(x), 6))
    spot = (x // 2 % 2 == 0) & (y // 2 % 2 == 0) & (groups == 0)
    if planted:
        rate[:, 0] = rate[:, 1] = np.where(groups == 1, 1.0, np.where(spot, 6.0, 0.2))
    values = sp.csr_matrix(np.log1p(rng.poisson(rate)))
    places = np.column_stack([x, y]).astype(np.float64)
    pairs = PairGenes(np.array([[0, -1], [2, 3]]), np.array([[1, -1], [4, -1]]), np.arange(2))
    return values, places, groups, pairs


def run(values, places, groups, pairs, **options):
    options = {"rng": np.random.default_rng(0), "k": 4, "n_permutations": 99} | options
    return spatial_communicate(values, places, groups, 2, pairs, **options)


class TestNeighbours:
    def test_edges_are_those_of_all_distances(self):
        rng = np.random.default_rng(0)
        places, sections = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
        source, target = neighbour_edges(places, k=3, sections=sections)
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        distance[sections[:, None] != sections[None]] = np.inf
        np.fill_diagonal(distance, np.inf)
        near = np.zeros((60, 60), dtype=bool)
        np.put_along_axis(near, np.argsort(distance, axis=1)[:, :3], values=True, axis=1)
        assert np.column_stack([source, target]).tolist() == np.argwhere(near | near.T).tolist()

    def test_a_section_of_one_spot_has_no_neighbour(self):
        source, _ = neighbour_edges(np.zeros((3, 2)), k=6, sections=np.array([0, 1, 1]))
        assert source.tolist() == [1, 2]

    def test_bad_places_are_refused(self):
        with pytest.raises(InputError, match="finite numbers"):
            neighbour_edges(np.full((3, 2), np.nan))
        with pytest.raises(InputError, match="k = 0"):
            neighbour_edges(np.zeros((3, 2)), k=0)


class TestScores:
    def test_the_planted_neighbours_are_found(self):
        table = run(*grid(), n_permutations=499)
        called = table[table["q"] < 0.05]
        assert called[["source", "target", "pair"]].to_numpy().tolist() == [[0, 0, 0]]
        assert called["z"].iloc[0] > 4
        assert len(table) == 2 * 4

    def test_scores_and_p_are_those_of_brute_force(self):
        values, places, groups, pairs = grid(width=8)
        sections = (places[:, 1] >= 4).astype(np.int64)
        source, target = neighbour_edges(places, k=4, sections=sections)
        weights = np.random.default_rng(1).random(len(source))
        options = {"sections": sections, "weights": weights, "n_permutations": 20}
        table = run(values, places, groups, pairs, **options)
        dense = values.toarray()
        stratum = groups * 2 + sections
        rank = np.array([(stratum[:spot] == stratum[spot]).sum() for spot in range(64)])
        drawn = shuffles(rank, stratum, np.random.default_rng(0), n=20).T

        def score(order, pair, a, b):
            ends = [side[pair][side[pair] >= 0] for side in (pairs.ligand, pairs.receptor)]
            used = np.flatnonzero((groups[source] == a) & (groups[target] == b))
            total = sum(
                weights[edge]
                * np.sqrt(
                    dense[order[source[edge]], ends[0]].min()
                    * dense[order[target[edge]], ends[1]].min()
                )
                for edge in used
            )
            return total / weights[used].sum()

        orders = []
        for one in drawn:
            order = np.empty(64, dtype=np.int64)
            for value in range(4):
                spots = np.flatnonzero(stratum == value)
                order[spots] = spots[one[spots]]
            orders.append(order)
        assert len(table) == 8
        for row in table.itertuples():
            null = [score(order, row.pair, row.source, row.target) for order in orders]
            seen = score(np.arange(64), row.pair, row.source, row.target)
            assert row.score == pytest.approx(seen, rel=1e-5)
            assert row.expected == pytest.approx(np.mean(null), rel=1e-5)
            assert row.z == pytest.approx((seen - np.mean(null)) / np.std(null), rel=1e-3)
            assert row.p == (sum(one >= seen * (1 - 1e-6) for one in null) + 1) / 21

    def test_given_edges_take_the_place_of_neighbours(self):
        values, places, groups, pairs = grid()
        edges = neighbour_edges(places, k=4)
        assert run(values, places, groups, pairs).equals(
            run(values, places, groups, pairs, edges=edges, weights=np.full(len(edges[0]), 1.0))
        )

    def test_p_is_uniform_where_nothing_is(self):
        p = np.concatenate(
            [run(*grid(seed=seed, planted=False))["p"].to_numpy() for seed in range(25)]
        )
        assert abs((p <= 0.05).mean() - 0.05) < 0.05
        assert abs((p <= 0.5).mean() - 0.5) < 0.12

    def test_bad_input_is_refused(self):
        values, places, groups, pairs = grid(width=8)
        with pytest.raises(InputError, match="63 coordinates"):
            run(values, places[1:], groups, pairs)
        with pytest.raises(InputError, match="weights were given"):
            run(values, places, groups, pairs, weights=np.ones(3))
        source, _ = neighbour_edges(places, k=4)
        with pytest.raises(InputError, match="weights were given"):
            run(values, places, groups, pairs, weights=-np.ones(len(source)))
        with pytest.raises(InputError, match="share 9999 edges"):
            run(values, places, groups, pairs, min_edges=9999)


class TestVerb:
    def test_slot_and_missing_coordinates(self):
        values, places, groups, _ = grid()
        spots = anndata.AnnData(values)
        spots.var_names = list("ABCDEF")
        spots.obs["layer"] = np.array(["left", "right"])[groups]
        pairs = Pairs("mine", "0", (("A",),), (("B",),), ("",), ("",))
        with pytest.raises(InputError, match="there is no 'spatial' in obsm"):
            spot_communication(spots, pairs)
        spots.obsm["spatial"] = places
        table = spot_communication(
            spots, pairs, groupby="layer", k=4, n_permutations=99, key_added="near"
        )
        assert table.iloc[0][["source", "target", "ligand"]].tolist() == ["left", "left", "A"]
        assert len(spots.uns["near"]) == 4
        source, target = neighbour_edges(places, k=4)
        shape = (len(places), len(places))
        spots.obsp["same"] = sp.csr_matrix((np.full(len(source), 2.0), (source, target)), shape)
        options = {"groupby": "layer", "n_permutations": 99}
        again = spot_communication(spots, pairs, weights_key="same", **options)
        pd.testing.assert_frame_equal(again, table)
        with pytest.raises(InputError, match="there is no 'other' in obsp; it has: same"):
            spot_communication(spots, pairs, weights_key="other", **options)

    def test_layers_of_the_cortex(self, data_dir):
        spots = anndata.read_h5ad(data_dir / "spatial_dlpfc_151510.h5ad")
        spots.obsm["spatial"] = spots.obsm["spatial"] * [1, np.sqrt(3)]
        source, target = neighbour_edges(spots.obsm["spatial"], k=6)
        away = np.linalg.norm(np.diff(spots.obsm["spatial"][[source, target]], axis=0)[0], axis=1)
        assert (np.abs(away - 2) < 1e-9).mean() > 0.95
        pairs = read_pairs(data_dir / "knowledge" / "lr_liana_consensus.tsv.gz")
        whole = spot_communication(spots, pairs, n_permutations=199)
        inside = spot_communication(spots, pairs, groupby="layer", n_permutations=199)
        # What layers explain is gone within them.
        assert (whole["q"] < 0.05).mean() > 0.3
        assert (inside["q"] < 0.05).mean() < 0.05

    def test_sections_of_a_tumour(self, data_dir):
        spots = anndata.read_h5ad(data_dir / "spatial_breast_st.h5ad")
        pairs = read_pairs(data_dir / "knowledge" / "lr_cellchatdb_v2.tsv.gz")
        chosen = [row for row in range(len(pairs)) if pairs.ligand[row] in {("FN1",), ("COL1A1",)}]
        few = Pairs(
            *("few", "0"),
            *(
                tuple(getattr(pairs, name)[row] for row in chosen)
                for name in ("ligand", "receptor", "pathway", "category")
            ),
        )
        options = {"section": "batch", "n_permutations": 199}
        table = spot_communication(spots, few, **options)
        told = table[table["q"] < 0.05]
        assert ("COL1A1", "SDC1") in set(zip(told["ligand"], told["receptor"], strict=True))
        assert (table["n_sections"] == 4).all()
        rng = np.random.default_rng(0)
        for section in spots.obs["batch"].unique():
            rows = np.flatnonzero(spots.obs["batch"] == section)
            spots.obsm["spatial"][rows] = spots.obsm["spatial"][rng.permutation(rows)]
        moved = spot_communication(spots, few, **options)
        assert (moved["q"] < 0.05).mean() < 0.05
