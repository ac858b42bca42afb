"""Raw counts: where they are, how they come back from logarithms, what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.counts import Counts, find_counts, is_integral, recover_counts
from scypher.encoders.errors import InputError


@pytest.fixture
def truth() -> np.ndarray:
    """Counts of 60 cells with very different depths; each cell has a gene with one count."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.3, 3, (60, 1))
    counts = rng.negative_binomial(1, 1 / (1 + depth * rng.gamma(1, 2, (1, 150))))
    counts[:, 0] = 1
    return counts.astype(float)


def adata_of(x: object, **rest: object) -> AnnData:
    return AnnData(x, **rest)


def log_scaled(counts: np.ndarray, target: float) -> np.ndarray:
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * target)


def assert_equal(found: Counts | None, truth: np.ndarray) -> None:
    assert found is not None
    assert sparse.issparse(found.matrix)
    assert found.matrix.dtype == np.float32
    np.testing.assert_array_equal(found.matrix.toarray(), truth)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_counts_of_x_are_returned_as_they_are(
    truth: np.ndarray, kind: type, dtype: np.dtype
) -> None:
    found = find_counts(adata_of(kind(truth.astype(dtype))))
    assert_equal(found, truth)
    assert found.source == "X"
    assert found.note == "counts read from X"


def test_counts_of_a_layer_and_of_raw(truth: np.ndarray) -> None:
    adata = adata_of(truth)
    adata.raw = adata.copy()
    adata.layers["spliced"] = sparse.csr_matrix(truth * 2)
    adata.X = truth - truth.mean()
    assert_equal(find_counts(adata, "spliced"), truth * 2)
    assert_equal(find_counts(adata, "raw"), truth)
    assert find_counts(adata, "spliced").source == "spliced"


def test_a_layer_named_raw_goes_before_the_raw_attribute(truth: np.ndarray) -> None:
    adata = adata_of(truth)
    adata.raw = adata.copy()
    adata.layers["raw"] = truth * 3
    assert_equal(find_counts(adata, "raw"), truth * 3)


def test_the_input_is_not_touched_and_stored_zeros_go(truth: np.ndarray) -> None:
    stored = sparse.csr_matrix(truth)
    stored.data[:5] = 0
    adata = adata_of(stored.copy())
    found = find_counts(adata)
    assert found.matrix.nnz == np.count_nonzero(stored.data)
    np.testing.assert_array_equal(adata.X.data, stored.data)
    found.matrix.data[:] = 7
    np.testing.assert_array_equal(adata.X.data, stored.data)


@pytest.mark.parametrize("target", ["1e4", "median"])
@pytest.mark.parametrize("decimals", [None, 3])
def test_counts_come_back_from_scaled_logarithms(
    truth: np.ndarray, target: str, decimals: int | None
) -> None:
    scaled = log_scaled(truth, 1e4 if target == "1e4" else float(np.median(truth.sum(axis=1))))
    if decimals is not None:
        scaled = scaled.round(decimals)
    found = find_counts(adata_of(sparse.csr_matrix(scaled.astype(np.float32))))
    assert_equal(found, truth)
    assert "recovered" in found.note


def test_cells_without_counts_stay_empty_when_recovered(truth: np.ndarray) -> None:
    truth[[0, 7, -1]] = 0
    scaled = np.zeros_like(truth)
    filled = truth.sum(axis=1) > 0
    scaled[filled] = log_scaled(truth[filled], 1e4)
    assert_equal(find_counts(adata_of(scaled)), truth)


def test_recovery_leaves_its_input_alone_and_gives_the_error(truth: np.ndarray) -> None:
    matrix = sparse.csr_matrix(log_scaled(truth, 1e4))
    before = matrix.copy()
    recovered = recover_counts(matrix)
    assert recovered is not None
    assert 0 <= recovered[1] < 1e-6
    assert (matrix != before).nnz == 0


@pytest.mark.parametrize(
    "matrix",
    [
        sparse.csr_matrix((3, 4)),
        sparse.csr_matrix(np.full((3, 4), 0.7)),
        sparse.csr_matrix(np.array([[0.5, 60.0]])),
        sparse.csr_matrix(np.array([[-0.5, 1.0]])),
    ],
    ids=["empty", "one value", "too large", "negative"],
)
def test_nothing_is_recovered_from_what_proves_nothing(matrix: sparse.csr_matrix) -> None:
    assert recover_counts(matrix) is None


@pytest.mark.parametrize("seed", range(5))
def test_two_values_a_cell_fit_any_scale_and_prove_nothing(seed: int) -> None:
    values = np.log1p(np.random.default_rng(seed).uniform(1, 5, (60, 2)))
    assert recover_counts(sparse.csr_matrix(values)) is None


def test_entries_stored_twice_are_added() -> None:
    stored = sparse.csr_matrix((np.array([1.0, 2, 4]), [0, 0, 1], [0, 2, 3]), shape=(2, 2))
    found = find_counts(adata_of(stored)).matrix
    assert found.nnz == 2
    np.testing.assert_array_equal(found.data, [3, 4])


def test_tpm_is_refused(truth: np.ndarray) -> None:
    lengths = np.random.default_rng(1).uniform(0.5, 9, 150)
    tpm = truth / lengths
    tpm = tpm / tpm.sum(axis=1, keepdims=True) * 1e6
    for values in (tpm, np.log1p(tpm), np.log2(tpm + 1)):
        with pytest.raises(InputError, match="X holds values that are neither counts nor log1p"):
            find_counts(adata_of(values))


def test_real_tpm_is_refused(data_dir: Path) -> None:
    import anndata

    adata = anndata.read_h5ad(data_dir / "tumour_oligodendroglioma_tpm.h5ad")
    with pytest.raises(InputError, match="neither counts nor log1p"):
        find_counts(adata)


def test_scaled_data_are_refused_and_places_that_fit_are_named(truth: np.ndarray) -> None:
    adata = adata_of(log_scaled(truth, 1e4))
    adata.raw = adata.copy()
    adata.layers["spliced"] = truth
    adata.layers["smooth"] = truth + 0.3
    adata.layers["holes"] = np.full_like(truth, np.nan)
    adata.X = (truth - truth.mean(axis=0)) / (truth.std(axis=0) + 1)
    with pytest.raises(InputError) as caught:
        find_counts(adata)
    message = str(caught.value)
    assert "spliced looks like counts: use --layer spliced (layer='spliced')" in message
    assert "raw looks like log1p of scaled counts: use --layer raw" in message
    assert "smooth" not in message
    assert "holes" not in message


def test_scaled_data_alone_get_advice(truth: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"No layer looks like counts.*--layer"):
        find_counts(adata_of(truth - truth.mean(axis=0)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(truth: np.ndarray, value: float) -> None:
    truth[3, 4] = value
    with pytest.raises(InputError, match="1 NaN or infinite"):
        find_counts(adata_of(truth))


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_a_negative_or_broken_count_is_refused(truth: np.ndarray, value: float) -> None:
    truth[3, 4] = value
    with pytest.raises(InputError, match="neither counts"):
        find_counts(adata_of(truth))


def test_a_missing_layer_is_answered_with_those_that_exist(truth: np.ndarray) -> None:
    adata = adata_of(truth, layers={"spliced": truth})
    with pytest.raises(InputError, match=r"no 'umi'; there are: X, spliced\. Name one"):
        find_counts(adata, "umi")
    with pytest.raises(InputError, match=r"no 'raw'; there are: X, spliced"):
        find_counts(adata, "raw")


@pytest.mark.parametrize(
    ("values", "answer"),
    [([0.0, 3, 7], True), ([], True), ([0.5], False), ([-1.0], False), ([np.nan], False)],
)
def test_integral_means_no_fraction_and_no_sign(values: list[float], answer: bool) -> None:
    assert is_integral(np.array(values)) is answer


def test_the_demo_cells_have_exactly_their_published_counts(data_dir: Path) -> None:
    import anndata

    from scypher.interpret.demo import demo_cells

    with warnings.catch_warnings():
        # On reading, what an old anndata wrote is remarked on.
        warnings.simplefilter("ignore")
        cells = demo_cells()
        found = find_counts(cells, "raw")
    wanted = anndata.read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    genes = pd.Index(cells.raw.var_names).get_indexer(wanted.var_names)
    rows = cells.obs_names.get_indexer(wanted.obs_names)
    assert (genes >= 0).all()
    assert (rows >= 0).all()
    difference = found.matrix[rows][:, genes] - sparse.csr_matrix(wanted.X)
    assert abs(difference).max() == 0
