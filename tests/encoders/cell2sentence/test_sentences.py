"""Cell sentences: order, ties, caps, names, and the choice of variable genes."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scypher.encoders.cell2sentence.sentences import log_values, sentences_of, words_of
from scypher.encoders.cell2sentence.variable import variable_genes_of
from scypher.encoders.cells import read_h5ad
from scypher.encoders.errors import InputError

NAMES = ["a", "B", "c", "d", "E"]
COUNTS = sparse.csr_matrix(
    np.array([[0, 5, 2, 5, 1], [3, 0, 0, 0, 0], [1, 1, 1, 1, 9], [0, 0, 0, 0, 0]], np.float32)
)


@pytest.fixture
def scanpy() -> Iterator[ModuleType]:
    """The peer; what it compiles sets the threads of the process, which are put back."""
    import scanpy

    threads = torch.get_num_threads()
    yield scanpy
    torch.set_num_threads(threads)


def random_counts(n_cells: int = 40, n_genes: int = 60, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.5, 2.0, n_genes) * rng.uniform(0.2, 3, n_cells)[:, None]
    return sparse.csr_matrix(rng.poisson(rate), dtype=np.float32)


def loop_sentence(values: np.ndarray, names: list[str], most: int | None = None) -> str:
    """The definition, gene by gene: highest first, equal ones by column."""
    found = sorted((-value, index) for index, value in enumerate(values) if value > 0)
    return " ".join(names[index] for _, index in found[:most])


def test_words_are_upper_case_and_ties_go_by_column() -> None:
    sentences = sentences_of(COUNTS, NAMES)
    assert [sentences.text(row) for row in range(4)] == ["B D C E", "A", "E A B C D", ""]
    assert sentences.length.tolist() == [4, 1, 5, 0]
    assert sentences.ranks.toarray()[0].tolist() == [0, 1, 3, 2, 4]
    assert sentences.n_truncated == 0


@pytest.mark.parametrize("most", [None, 7])
def test_sentences_equal_a_loop(most: int | None) -> None:
    counts = random_counts()
    names = [f"G{index}" for index in range(60)]
    sentences = sentences_of(counts, names, most=most)
    values = log_values(counts).toarray()
    for row in range(40):
        assert sentences.text(row) == loop_sentence(values[row], names, most)


def test_the_cap_keeps_the_first_words_and_counts_what_it_cut() -> None:
    sentences = sentences_of(COUNTS, NAMES, most=2)
    assert [sentences.text(row) for row in range(4)] == ["B D", "A", "E A", ""]
    assert sentences.expressed.tolist() == [4, 1, 5, 0]
    assert sentences.n_truncated == 2


def test_unsorted_columns_and_stored_zeros_change_nothing() -> None:
    messy = sparse.csr_matrix(
        (np.array([1, 0, 5, 2, 5], np.float32), [4, 0, 3, 2, 1], [0, 5]), shape=(1, 5)
    )
    assert sentences_of(messy, NAMES).text(0) == "B D C E"
    assert messy.indices.tolist() == [4, 0, 3, 2, 1]


def test_repeated_upper_case_names_shift_no_column() -> None:
    names = ["Gapdh", "GAPDH", "gapdh", "GAPDH-1", "LYZ"]
    assert words_of(names) == ["GAPDH", "GAPDH-2", "GAPDH-3", "GAPDH-1", "LYZ"]
    counts = sparse.csr_matrix(np.diag([1.0, 2, 3, 4, 5]))
    sentences = sentences_of(counts, names)
    assert [sentences.text(row) for row in range(5)] == words_of(names)


def test_a_seed_draws_the_order_of_ties_and_of_nothing_else() -> None:
    counts = sparse.csr_matrix(np.array([[1.0] * 30 + [2.0], [1.0] * 30 + [2.0]]))
    names = [f"G{index}" for index in range(31)]
    first, again, other = (
        sentences_of(counts, names, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.text(0) == again.text(0) != other.text(0)
    assert first.text(0).startswith("G30 ")
    assert first.text(0) == first.text(1)  # a cell is read the same whatever stands beside it
    assert sorted(first.text(0).split()) == sorted(names)
    alone = sentences_of(counts[1:], names, rng=np.random.default_rng(1))
    assert alone.text(0) == first.text(1)


def test_only_chosen_genes_are_words() -> None:
    sentences = sentences_of(COUNTS, NAMES, genes=["e", "C", "ZZZ"])
    assert [sentences.text(row) for row in range(4)] == ["C E", "", "E C", ""]
    assert sentences.chosen.tolist() == [False, False, True, False, True]
    assert sentences.ranks.shape == COUNTS.shape


def test_no_chosen_gene_in_the_data_is_refused() -> None:
    with pytest.raises(InputError, match=r"none of the 2 chosen genes \(X, Y …\).*5 genes .*A, B"):
        sentences_of(COUNTS, NAMES, genes=["x", "y"])


def test_log_values_equal_scanpy(scanpy: ModuleType) -> None:
    counts = random_counts()
    for target, total in ((1e4, 1e4), ("median", None)):
        adata = AnnData(counts.astype(np.float64).copy())
        scanpy.pp.normalize_total(adata, target_sum=total)
        scanpy.pp.log1p(adata, base=10)
        ours = log_values(counts, target=target)  # type: ignore[arg-type]  # a loop over both kinds
        np.testing.assert_allclose(ours.toarray(), adata.X.toarray(), rtol=1e-6)
    assert log_values(COUNTS, target="median").toarray()[3].tolist() == [0] * 5


def loop_dispersion(counts: np.ndarray) -> np.ndarray:
    """Normalised dispersion of each gene, from the equations, 20 bins of equal width."""
    scaled = counts / counts.sum(axis=1, keepdims=True) * 1e4
    mean = scaled.mean(axis=0)
    dispersion = np.log(scaled.var(axis=0, ddof=1) / mean)
    log_mean = np.log1p(mean)
    edges = np.linspace(log_mean.min(), log_mean.max(), 21)
    bins = np.clip(np.searchsorted(edges, log_mean, side="left"), 1, 20)
    result = np.empty(len(mean))
    for gene, own in enumerate(bins):
        group = dispersion[bins == own]
        result[gene] = (
            1.0 if len(group) == 1 else (dispersion[gene] - group.mean()) / group.std(ddof=1)
        )
    return result


def test_variable_genes_equal_a_loop() -> None:
    counts = random_counts(n_cells=80)
    expressed = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel())
    names = [f"g{index}" for index in range(60)]
    found = variable_genes_of(counts, names, 10)
    dispersion = loop_dispersion(counts.toarray()[:, expressed])
    best = expressed[np.argsort(-dispersion, kind="stable")[:10]]
    assert found == [f"G{index}" for index in best]


def test_variable_genes_equal_those_of_scanpy(scanpy: ModuleType, data_dir: Path) -> None:
    adata = read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    names = words_of([str(name) for name in adata.var_names])
    peer = AnnData(counts.astype(np.float64).copy())
    scanpy.pp.normalize_total(peer, target_sum=1e4)
    scanpy.pp.log1p(peer)
    table = scanpy.pp.highly_variable_genes(peer, flavor="seurat", n_top_genes=200, inplace=False)
    expected = {names[index] for index in np.flatnonzero(table["highly_variable"])}
    assert set(variable_genes_of(counts, names, 200)) == expected


def test_planted_variable_genes_are_found_and_fewer_come_than_asked() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.geomspace(0.5, 30, 400), (200, 400))
    planted = np.arange(100, 300, 20)
    on = np.where(np.arange(200) % 2, 2.0, 0.0)[:, None]
    counts[:, planted] = rng.poisson(on * np.geomspace(0.5, 30, 400)[planted])
    counts[:, 399] = 0
    names = [f"G{index}" for index in range(400)]
    matrix = sparse.csr_matrix(counts, dtype=np.float32)
    assert set(variable_genes_of(matrix, names, 20)) >= {f"G{index}" for index in planted}
    everything = variable_genes_of(matrix, names, 2000)
    assert sorted(everything) == sorted(names[:399])


def test_variable_genes_depend_on_the_given_cells_alone() -> None:
    counts = random_counts(n_cells=80)
    names = [f"G{index}" for index in range(60)]
    train = variable_genes_of(counts[:40], names, 15)
    altered = sparse.vstack([counts[:40], random_counts(seed=9)]).tocsr()
    assert variable_genes_of(altered[:40], names, 15) == train
    assert variable_genes_of(altered, names, 15) != train


@pytest.mark.parametrize(
    ("counts", "n", "message"),
    [
        (COUNTS[:1], 5, "5 variable genes of 1 cells that express 4 genes"),
        (COUNTS, 0, "0 variable genes of 4 cells"),
        (sparse.csr_matrix((4, 5), dtype=np.float32), 5, "that express 0 genes"),
        (sparse.csr_matrix(np.ones((4, 5), np.float32)), 5, "none of 5 genes varies over 4 cells"),
    ],
)
def test_cells_without_variable_genes_are_refused(
    counts: sparse.csr_matrix, n: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        variable_genes_of(counts, NAMES, n)


def test_real_sentences_begin_with_what_is_expressed_most(data_dir: Path) -> None:
    adata = read_h5ad(data_dir / "blood_pbmc68k_700.h5ad")
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    names = [str(name) for name in adata.var_names]
    sentences = sentences_of(counts, names, most=20)
    dense = counts.toarray()
    for row in range(0, 700, 70):
        assert sentences.text(row) == loop_sentence(dense[row], words_of(names), 20)
    variable = variable_genes_of(counts, names, 100)
    shorter = sentences_of(counts, names, genes=variable)
    assert shorter.chosen.sum() == 100
    assert shorter.length.mean() < sentences_of(counts, names).length.mean() / 2
