"""All statistics of markers against scipy, scanpy and short loops."""

import itertools

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from scypher.encoders.errors import InputError
from scypher.interpret.chunks import Chunks
from scypher.interpret.donors.means import donor_test
from scypher.interpret.markers.group_sums import group_sums
from scypher.interpret.markers.marker_statistics import marker_statistics
from scypher.interpret.markers.rank_sum import rank_sum
from scypher.interpret.markers.ranked_genes import marker_genes
from scypher.interpret.markers.welch import specificity, welch
from scypher.interpret.statistics import adjust


def toy(seed: int = 0, n_cells: int = 240, n_genes: int = 30) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return log expression, sparse and with ties, and three groups."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, n_cells)
    counts = rng.poisson(rng.gamma(0.5, 2.0, n_genes), (n_cells, n_genes))
    counts[groups == 1, 4] += rng.poisson(3, (groups == 1).sum())
    counts[:, 5] = 2
    counts[:, 6] = 0
    return sp.csr_matrix(np.log1p(counts).astype(np.float32)), groups


def in_parts(matrix: sp.csr_matrix) -> Chunks:
    """Return a matrix as chunks of unequal size."""
    edges = [0, 7, 100, matrix.shape[0]]
    return Chunks(matrix.shape, lambda: (matrix[a:b] for a, b in itertools.pairwise(edges)))


def wide(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as (n_groups, n_genes)."""
    return table.pivot(index="group", columns="gene", values=column).to_numpy()


def test_sums_equal_a_loop() -> None:
    matrix, groups = toy()
    groups[:9] = -1
    dense = matrix.toarray().astype(float)
    for given in (matrix, in_parts(matrix)):
        sums = group_sums(given, groups, 3)
        for row, group in enumerate([0, 1, 2, -1]):
            own = dense[groups == group]
            assert sums.size[row] == len(own)
            np.testing.assert_array_equal(sums.detected[row], (own > 0).sum(0))
            np.testing.assert_allclose(sums.total[row], own.sum(0))
            np.testing.assert_allclose(sums.square[row], (own**2).sum(0))
            np.testing.assert_allclose(sums.mass[row], np.expm1(own).sum(0))


def test_parts_in_any_order_of_indices_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, groups = toy(n_cells=3000, n_genes=12)
    whole = rank_sum(matrix, groups, 3, calibrated=True)
    shuffled = matrix.copy()
    for row in range(3000):
        part = slice(*shuffled.indptr[row : row + 2])
        shuffled.indices[part] = shuffled.indices[part][::-1].copy()
        shuffled.data[part] = shuffled.data[part][::-1].copy()
    shuffled.has_sorted_indices = False
    monkeypatch.setattr("scypher.interpret.markers.rank_sum._ENTRIES_AT_ONCE", 900)
    for given in (in_parts(matrix), shuffled):
        for name, values in rank_sum(given, groups, 3, calibrated=True).items():
            np.testing.assert_allclose(values, whole[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_cells", [5, 60, 900, 9000])
def test_ranks_of_any_number_of_cells(n_cells: int) -> None:
    rng = np.random.default_rng(n_cells)
    dense = (rng.gamma(1.0, 2.0, (n_cells, 6)) * rng.integers(0, 2, (n_cells, 6))).astype("f4")
    dense[:, 1] = np.round(dense[:, 1])
    dense[:, 2] *= np.float32(1e-30)
    dense[:, 3] *= np.float32(1e30)
    groups = rng.integers(0, 2, n_cells)
    found = rank_sum(sp.csr_matrix(np.log1p(dense)), groups, 2)
    for gene in range(6):
        values = np.log1p(dense[:, gene])
        ranks = stats.rankdata(values)
        ties = np.unique(values, return_counts=True)[1].astype(float)
        n, m = (groups == 0).sum(), (groups == 1).sum()
        spread = n * m / 12 * (n_cells + 1 - (ties**3 - ties).sum() / n_cells / (n_cells - 1))
        z = (ranks[groups == 0].sum() - n * (n_cells + 1) / 2) / np.sqrt(spread)
        assert found["z"][0, gene] == pytest.approx(z, rel=1e-9, abs=1e-9)


def test_welch_equals_scipy() -> None:
    matrix, groups = toy()
    groups[:20] = -1
    t, p = welch(group_sums(matrix, groups, 3))
    dense = matrix.toarray().astype(float)
    for group in range(3):
        for gene in range(dense.shape[1]):
            a, b = dense[groups == group, gene], dense[groups != group, gene]
            if np.ptp(dense[:, gene]) == 0:
                assert (t[group, gene], p[group, gene]) == (0, 1)
                continue
            oracle = stats.ttest_ind(a, b, equal_var=False)
            assert t[group, gene] == pytest.approx(oracle.statistic, rel=1e-9)
            assert p[group, gene] == pytest.approx(oracle.pvalue, rel=1e-8)


def test_specificity_is_between_the_groups() -> None:
    matrix, groups = toy()
    dense = matrix.toarray().astype(float)
    found = specificity(group_sums(matrix, groups, 3))
    indicator = np.eye(3)[groups]
    norm = np.linalg.norm(dense, axis=0)
    cosine = (
        (indicator.T @ dense) / np.maximum(norm, 1e-12) / np.linalg.norm(indicator, axis=0)[:, None]
    )
    known = norm > 0
    expected = cosine[:, known] * cosine[:, known] ** 2 / (cosine[:, known] ** 2).sum(0)
    np.testing.assert_allclose(found[:, known], expected)
    assert (found[:, ~known] == 0).all()


def test_one_against_one_leaves_the_others_out() -> None:
    matrix, groups = toy()
    table = marker_statistics(matrix, groups, 3, reference=0)
    assert sorted(set(table["group"])) == [1, 2]
    kept = groups != 2
    alone = marker_statistics(matrix[kept], groups[kept], 2)
    for column in ("z", "p", "t", "auroc", "specificity", "log2_fold_change", "n_out"):
        np.testing.assert_allclose(wide(table, column)[0], wide(alone, column)[1])


def test_donors_are_the_replicates() -> None:
    matrix, groups = toy(n_cells=900)
    donors = np.random.default_rng(1).integers(-1, 5, 900)
    table = marker_statistics(in_parts(matrix), groups, 3, donors=donors)
    linear = np.expm1(matrix.toarray().astype(float))
    for group in range(3):
        sides = [
            np.array([linear[(donors == one) & mask].mean(0) for one in range(5)])
            for mask in (groups != group, groups == group)
        ]
        test = donor_test(*sides, paired=True)
        own = table[table["group"] == group].sort_values("gene")
        np.testing.assert_allclose(own["donor_log2_fold_change"], test.difference, atol=1e-9)
        np.testing.assert_allclose(own["donor_p"], test.p, rtol=1e-5)
        assert (own["n_donors"] == 5).all()
    np.testing.assert_allclose(table["donor_q"], adjust(table["donor_p"].to_numpy()))


def test_effect_of_one_donor_is_no_marker_by_donors() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (1200, 100)).astype(float)
    donors, groups = np.repeat(np.arange(6), 200), np.tile([0, 1], 600)
    one = (donors == 0) & (groups == 1)
    counts[one, :10] += 20
    table = marker_statistics(sp.csr_matrix(np.log1p(counts)), groups, 2, donors=donors).query(
        "group == 1 and gene < 10"
    )
    assert (table["q"] < 0.01).all()
    assert (table["donor_q"] > 0.05).all()


def test_conditions_of_other_donors_are_compared_unpaired() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (800, 60)).astype(float)
    donors = np.repeat(np.arange(8), 100)
    groups = (donors >= 4).astype(int)
    counts[groups == 1, 0] += 6
    table = marker_statistics(
        sp.csr_matrix(np.log1p(counts)), groups, 2, reference=0, donors=donors
    ).set_index("gene")
    assert (table["n_donors"] == 8).all()
    assert table["donor_q"].idxmin() == 0
    assert table.loc[0, "donor_q"] < 0.01
    assert table.loc[0, "donors_agreeing"] == 8


def test_groups_that_cannot_be_compared() -> None:
    matrix, groups = toy()
    groups[:] = 0
    groups[3] = 1
    table = marker_statistics(matrix, groups, 3)
    empty = table[table["group"] == 2]
    assert (empty[["p", "t_p", "auroc"]] == [1, 1, 0.5]).all(axis=None)
    alone = table[table["group"] == 1]
    assert (alone["t_p"] == 1).all()
    assert alone["p"].between(0, 1, inclusive="right").all()
    assert table[["donor_p", "donor_q"]].isna().all(axis=None)
    assert (table["n_donors"] == 0).all()
    assert marker_statistics(matrix[:, :0], groups, 3, donors=groups).empty


def test_a_reference_that_is_no_group() -> None:
    matrix, groups = toy()
    with pytest.raises(InputError, match="position of a group"):
        marker_statistics(matrix, groups, 3, reference=3)


@pytest.fixture
def kang(data_dir):
    """Kang's cells of two types, counts."""
    data = anndata.read_h5ad(data_dir / "blood_kang_ifnb.h5ad")
    return data[data.obs["cell_type"].isin(["CD14+ monocyte", "B"])].copy()


def test_condition_within_cell_type(kang) -> None:
    table = marker_genes(kang, "condition", reference="control", within="cell_type", donor="donor")
    assert set(table["within"]) == {"CD14+ monocyte", "B"}
    for _, rows in table.groupby("within"):
        own = rows.set_index("gene")
        assert own.loc["ISG15", "rank"] <= 4
        assert own.loc["ISG15", "donor_q"] < 1e-3
        assert own.loc["ISG15", "n_donors"] >= 7
    known = table["donor_p"].notna()
    np.testing.assert_allclose(
        table.loc[known, "donor_q"], adjust(table.loc[known, "donor_p"].to_numpy())
    )


def test_scanpy_reads_what_is_written(kang, tmp_path) -> None:
    import scanpy as sc

    table = marker_genes(kang, "cell_type", key_added="rank_genes_groups").set_index(
        ["group", "gene"]
    )
    found = sc.get.rank_genes_groups_df(kang, "B")
    assert found["scores"].is_monotonic_decreasing
    own = table.loc["B"].loc[found["names"]]
    np.testing.assert_allclose(found["pvals_adj"], own["q"])
    kang.write_h5ad(tmp_path / "kang.h5ad")
    again = anndata.read_h5ad(tmp_path / "kang.h5ad")
    assert sc.get.rank_genes_groups_df(again, "B")["names"].tolist() == found["names"].tolist()


def test_backed_file_gives_the_same(kang, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    kang.write_h5ad(tmp_path / "kang.h5ad")
    monkeypatch.setattr("scypher.interpret.inputs._CELLS_AT_ONCE", 200)
    backed = anndata.read_h5ad(tmp_path / "kang.h5ad", backed="r")
    pd.testing.assert_frame_equal(
        marker_genes(backed, "cell_type", donor="donor"),
        marker_genes(kang, "cell_type", donor="donor"),
        rtol=1e-9,
    )
    backed.file.close()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"groupby": "types"}, "no column 'types'"),
        ({"groupby": "cell_type", "layer": "raws"}, "no layer 'raws'"),
        ({"groupby": "cell_type", "reference": "T"}, "expected one of its values"),
        ({"groupby": "age"}, "no cell has a value"),
        ({"groupby": "condition", "within": "cell_type", "key_added": "x"}, "one value of it"),
    ],
)
def test_bad_input_says_what_to_do(kang, asked: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        marker_genes(kang, **asked)


def test_scaled_values_are_refused(kang) -> None:
    kang = kang[:, :50].copy()
    kang.X = kang.X.toarray() - 1.0
    with pytest.raises(InputError, match="negative or not finite"):
        marker_genes(kang, "cell_type")
