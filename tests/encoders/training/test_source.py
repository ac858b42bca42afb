"""Cells of many files on one list of genes, streamed."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from scypher.encoders.errors import InputError
from scypher.encoders.training.files import CellFile
from scypher.encoders.training.objective import Block
from scypher.encoders.training.source import RUN, WINDOW, Source, Stream, take

Maker = Callable[..., AnnData]
SIZES = (700, 300, 260)


def paths(folder: Path, suffix: str = "h5ad") -> list[Path]:
    return [folder / f"set{number}.{suffix}" for number in range(3)]


@pytest.fixture(scope="module")
def source(corpus: Path) -> Source:
    return Source(paths(corpus), properties=["cell_type"], held_out=0.15, seed=3)


def rows_of(block: Block) -> list[tuple[int, bytes]]:
    """Return what tells the cells of a block: their file and their counts."""
    dense = block.counts.toarray()
    return [(int(d), row.tobytes()) for d, row in zip(block.dataset, dense, strict=True)]


def joined(blocks: list[Block]) -> Counter[tuple[int, bytes]]:
    return Counter(row for block in blocks for row in rows_of(block))


def same(one: Block, other: Block) -> bool:
    return (
        (one.counts != other.counts).nnz == 0
        and np.array_equal(one.totals, other.totals)
        and np.array_equal(one.dataset, other.dataset)
        and np.array_equal(one.batch, other.batch)
        and all(np.array_equal(one.labels[name], other.labels[name]) for name in one.labels)
        and one.labels.keys() == other.labels.keys()
    )


def test_every_cell_is_trained_on_or_held_out_and_never_both(source: Source, corpus: Path) -> None:
    train, held = joined(list(source.all_blocks())), joined(list(source.held_out(128)))
    assert not train & held
    expected: Counter[tuple[int, bytes]] = Counter()
    for number, path in enumerate(paths(corpus)):
        file = CellFile(path, layer=None, columns=[])
        column = [file.genes["ensembl_id"].tolist().index(gene) for gene in source.genes]
        dense = file.rows(0, file.n_cells).toarray()[:, column]
        expected.update((number, row.tobytes()) for row in dense)
    assert train + held == expected
    assert source.n_cells == train.total()
    assert held.total() == pytest.approx(0.15 * sum(SIZES), rel=0.5)


def test_held_out_cells_are_always_the_same_and_depend_on_the_seed(
    source: Source, corpus: Path
) -> None:
    first, again = list(source.held_out(128)), list(source.held_out(128))
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    assert max(len(block.totals) for block in first) <= 128
    other = Source(paths(corpus), held_out=0.15, seed=4)
    assert joined(list(other.held_out(128))) != joined(first)
    none = Source(paths(corpus), held_out=0)
    assert list(none.held_out(128)) == []
    assert none.n_cells == sum(SIZES)


def test_held_out_cells_are_never_in_a_block(source: Source) -> None:
    held = joined(list(source.held_out(64)))
    for epoch in range(3):
        stream = source.blocks(64, epoch=epoch, stream=0, streams=1, seed=0)
        assert not joined([stream[number] for number in range(len(stream))]) & held


def test_batches_are_numbered_over_all_files(source: Source) -> None:
    assert source.n_batches == 6
    for block in source.all_blocks():
        np.testing.assert_array_equal(block.batch // 2, block.dataset)
    assert set(np.concatenate([block.batch for block in source.all_blocks()])) == set(range(6))


def test_without_a_column_each_file_is_a_batch(corpus: Path) -> None:
    source = Source(paths(corpus), batch=None)
    assert source.n_batches == 3
    for block in source.all_blocks():
        np.testing.assert_array_equal(block.batch, block.dataset)
        assert block.labels == {}


def test_labels_are_numbered_and_unknown_ones_are_missing(source: Source, corpus: Path) -> None:
    assert source.values == {"cell_type": ["A", "B", "C"]}
    file = CellFile(paths(corpus)[0], layer=None, columns=["cell_type"])
    known = ["A", "B", "C"]
    expected = [known.index(v) if v in known else -1 for v in file.obs["cell_type"]]
    whole = Source(paths(corpus)[:1], properties=["cell_type"], held_out=0)
    found = np.concatenate([block.labels["cell_type"] for block in whole.all_blocks()])
    np.testing.assert_array_equal(found, expected)
    assert (found == -1).mean() == pytest.approx(0.2, abs=0.01)


def test_missing_values_of_a_category_are_missing_labels(make_cells: Maker, tmp_path: Path) -> None:
    adata = make_cells(200)
    adata.obs["donor"] = ["x", None, "unknown", "", "y"] * 40
    adata.obs["donor"] = adata.obs["donor"].astype("category")
    adata.write_h5ad(tmp_path / "set0.h5ad")
    source = Source([tmp_path / "set0.h5ad"], properties=["donor"], held_out=0)
    assert source.values == {"donor": ["x", "y"]}
    found = np.concatenate([block.labels["donor"] for block in source.all_blocks()])
    np.testing.assert_array_equal(found, [0, -1, -1, -1, 1] * 40)


def test_totals_count_genes_that_are_not_read_too(make_cells: Maker, tmp_path: Path) -> None:
    adata = make_cells(130)
    names = adata.var_names.tolist()
    adata.var_names = [*names[:-1], "no gene"]
    adata.write_h5ad(tmp_path / "set0.h5ad")
    source = Source([tmp_path / "set0.h5ad"], held_out=0, min_cells=5)
    assert names[-1] not in source.genes
    totals = np.concatenate([block.totals for block in source.all_blocks()])
    np.testing.assert_array_equal(totals, adata.X.toarray().sum(axis=1))


def test_genes_must_be_seen_in_enough_files_and_cells(make_cells: Maker, tmp_path: Path) -> None:
    for number in range(3):
        adata = make_cells(100, number)
        counts = adata.X.toarray()
        counts[:, :4] = 0
        # The first gene: two cells a file, too few to count as detected in it.
        counts[:2, 0] = 1
        if number < 2:
            counts[:30, 1] = 1
        counts[:4, 2] = 1
        counts[:30, 3] = 1
        adata.X = sparse.csr_matrix(counts)
        adata.write_h5ad(tmp_path / f"set{number}.h5ad")
    ids = adata.var_names.tolist()

    def read(min_sets: int, min_cells: int) -> list[bool]:
        genes = Source(paths(tmp_path), min_sets=min_sets, min_cells=min_cells).genes
        assert genes == sorted(genes)
        return [gene in genes for gene in ids[:4]]

    assert read(3, 12) == [False, False, True, True]
    assert read(3, 13) == [False, False, False, True]
    assert read(2, 12) == [False, True, True, True]
    assert read(9, 12) == read(3, 12)
    with pytest.raises(InputError, match="no gene is detected in 3 files and 1000 cells"):
        Source(paths(tmp_path), min_cells=1000)


def test_symbols_and_what_each_file_measured(make_cells: Maker, tmp_path: Path) -> None:
    whole, part = make_cells(150), make_cells(150, 1, genes=slice(40, 160))
    part.var_names = part.var["symbol"].to_numpy()
    whole.write_h5ad(tmp_path / "set0.h5ad")
    part.write_h5ad(tmp_path / "set1.h5ad")
    source = Source(paths(tmp_path)[:2], min_sets=1, min_cells=1)
    symbol = dict(zip(whole.var_names, whole.var["symbol"], strict=True))
    assert source.symbols == [symbol[gene] for gene in source.genes]
    assert source.measured[0].all()
    ids = set(whole.var_names[40:])
    np.testing.assert_array_equal(source.measured[1], [gene in ids for gene in source.genes])
    assert source.names == ["set0", "set1"]


def test_a_gene_in_two_spellings_is_read_once(make_cells: Maker, tmp_path: Path) -> None:
    adata = make_cells(150)
    ids = adata.var_names.tolist()
    adata.var_names = [ids[0], adata.var["symbol"].iloc[0], *ids[2:]]
    adata.write_h5ad(tmp_path / "set0.h5ad")
    source = Source([tmp_path / "set0.h5ad"], held_out=0, min_cells=1)
    assert source.genes.count(ids[0]) == 1
    found = np.concatenate(
        [b.counts[:, source.genes.index(ids[0])].toarray() for b in source.all_blocks()]
    )
    np.testing.assert_array_equal(found[:, 0], adata.X[:, 0].toarray()[:, 0])


def test_cells_without_counts_are_left_out(make_cells: Maker, tmp_path: Path) -> None:
    adata = make_cells(150)
    counts = adata.X.toarray()
    counts[[3, 70]] = 0
    adata.X = sparse.csr_matrix(counts)
    adata.write_h5ad(tmp_path / "set0.h5ad")
    source = Source([tmp_path / "set0.h5ad"], held_out=0)
    assert sum(len(block.totals) for block in source.all_blocks()) == 148


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_streams_share_an_epoch_without_overlap(corpus: Path, streams: int) -> None:
    # Files of one size: no run is drawn twice in an epoch.
    source = Source([paths(corpus)[0]], held_out=0)
    runs = [
        set(source.blocks(8, epoch=1, stream=number, streams=streams, seed=0)._runs.tolist())
        for number in range(streams)
    ]
    assert sum(map(len, runs)) == len(set().union(*runs)) == int(np.ceil(700 / RUN))


def test_the_same_seed_gives_the_same_blocks_and_epochs_differ(source: Source) -> None:
    def blocks(epoch: int, seed: int) -> list[Block]:
        stream = source.blocks(50, epoch=epoch, stream=1, streams=2, seed=seed)
        return [stream[number] for number in range(4)]

    first = blocks(0, 7)
    assert all(same(one, other) for one, other in zip(first, blocks(0, 7), strict=True))
    for epoch, seed in ((1, 7), (0, 8)):
        other = blocks(epoch, seed)
        assert not any(same(one, two) for one, two in zip(first, other, strict=True))


def test_a_block_is_found_without_reading_the_ones_before(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(paths(corpus), held_out=0, min_cells=5)
    monkeypatch.setattr("scypher.encoders.training.source.WINDOW", 4)

    def make() -> Stream:
        return source.blocks(50, epoch=0, stream=0, streams=1, seed=0)

    stream = make()
    assert len(stream) > 10
    inside = [stream[number] for number in range(len(stream))]
    reads: list[np.ndarray] = []
    read = source.read
    monkeypatch.setattr(source, "read", lambda runs: reads.append(runs) or read(runs))
    for number in (len(stream) - 1, 4, 0):
        reads.clear()
        assert same(make()[number], inside[number])
        assert [len(runs) for runs in reads] == [4]
    reads.clear()
    again = make()
    for number in range(len(again)):
        assert same(again[number], inside[number])
    assert len(reads) == len(again) // again.per_window


def test_within_a_window_no_cell_is_seen_twice(corpus: Path) -> None:
    source = Source(paths(corpus)[:1], held_out=0)
    stream = source.blocks(60, epoch=0, stream=0, streams=1, seed=0)
    seen = joined([stream[number] for number in range(700 // 60)])
    assert max(seen.values()) == 1


def test_a_small_source_is_gone_through_again(make_cells: Maker, tmp_path: Path) -> None:
    make_cells(100).write_h5ad(tmp_path / "set0.h5ad")
    source = Source([tmp_path / "set0.h5ad"], held_out=0, min_cells=5)
    stream = source.blocks(64, epoch=0, stream=0, streams=1, seed=0)
    blocks = [stream[number] for number in range(len(stream))]
    assert {len(block.totals) for block in blocks} == {64}
    counts = joined(blocks)
    assert len(counts) == 100
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("streams", [2, 5])
def test_more_streams_than_runs_are_refused_with_advice(
    make_cells: Maker, tmp_path: Path, streams: int
) -> None:
    make_cells(60).write_h5ad(tmp_path / "set0.h5ad")
    source = Source([tmp_path / "set0.h5ad"], held_out=0, min_cells=5)
    with pytest.raises(InputError, match="blocks_per_step"):
        source.blocks(8, epoch=0, stream=0, streams=streams, seed=0)


def test_cells_that_are_all_held_out_are_told(make_cells: Maker, tmp_path: Path) -> None:
    make_cells(60).write_h5ad(tmp_path / "set0.h5ad")
    with pytest.raises(InputError, match="held_out"):
        Source([tmp_path / "set0.h5ad"], held_out=0.03, min_cells=5)


def test_files_are_drawn_by_the_square_root_of_their_size(source: Source) -> None:
    drawn = np.zeros(3)
    for epoch in range(60):
        runs = source.blocks(64, epoch=epoch, stream=0, streams=1, seed=0)._runs
        drawn += np.bincount(source._runs[runs, 0], minlength=3)
    sizes = np.bincount(source._runs[source._train, 0], minlength=3)
    expected = np.sqrt(sizes) / np.sqrt(sizes).sum()
    np.testing.assert_allclose(drawn / drawn.sum(), expected, atol=0.01)
    np.testing.assert_allclose(drawn.sum() / 60, sizes.sum(), atol=2)


def test_a_sample_draws_by_the_square_root_too_and_no_cell_twice(source: Source) -> None:
    files = np.zeros(3)
    for seed in range(100):
        block = source.sample(RUN * 4, np.random.default_rng(seed))
        assert max(joined([block]).values()) == 1
        files += np.bincount(block.dataset, minlength=3)
    assert files[0] / files.sum() < 700 / sum(SIZES)
    everything = source.sample(10**6, np.random.default_rng(0))
    assert len(everything.totals) == source.n_cells
    again = source.sample(200, np.random.default_rng(5))
    assert same(again, source.sample(200, np.random.default_rng(5)))


@pytest.mark.filterwarnings("ignore:.*next minor release:UserWarning")
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_zarr_and_dense_files_give_the_same_blocks(corpus: Path, tmp_path: Path) -> None:
    import anndata

    for number in range(3):
        adata = anndata.read_h5ad(corpus / f"set{number}.h5ad")
        with anndata.settings.override(zarr_write_format=3):
            adata.write_zarr(tmp_path / f"set{number}.zarr")
        adata.X = adata.X.toarray()
        adata.write_h5ad(tmp_path / f"set{number}.h5ad")
    sources = [Source(paths(corpus)), Source(paths(tmp_path, "zarr")), Source(paths(tmp_path))]
    blocks = [
        [stream[number] for number in (0, 3)]
        for stream in (s.blocks(64, epoch=2, stream=0, streams=1, seed=1) for s in sources)
    ]
    for other in blocks[1:]:
        assert all(same(one, two) for one, two in zip(blocks[0], other, strict=True))
    assert sources[0].genes == sources[1].genes == sources[2].genes


def test_files_are_read_in_parts_of_bounded_size(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    rows = CellFile.rows

    def counted(self: CellFile, start: int, stop: int) -> sparse.csr_matrix:
        asked.append(stop - start)
        return rows(self, start, stop)

    monkeypatch.setattr(CellFile, "rows", counted)
    source = Source(paths(corpus))
    assert max(asked) <= RUN * WINDOW
    assert sum(asked) == sum(SIZES)
    asked.clear()
    source.blocks(64, epoch=0, stream=0, streams=1, seed=0)[0]
    assert max(asked) <= RUN
    assert sum(asked) <= RUN * WINDOW


def test_nothing_to_train_on_is_told() -> None:
    with pytest.raises(InputError, match="there are no files to train on"):
        Source([])


def test_taking_rows_takes_all_parts(source: Source) -> None:
    block = next(source.all_blocks())
    some = take(block, np.array([5, 5, 2]))
    np.testing.assert_array_equal(some.counts.toarray(), block.counts.toarray()[[5, 5, 2]])
    for name in ("totals", "dataset", "batch"):
        np.testing.assert_array_equal(getattr(some, name), getattr(block, name)[[5, 5, 2]])
    labels = block.labels["cell_type"][[5, 5, 2]]
    np.testing.assert_array_equal(some.labels["cell_type"], labels)
