"""Cells to train on: many files on one list of genes, streamed in shuffled runs of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import InputError
from ..reading import to_columns
from .files import CellFile
from .objective import Block

RUN = 64
"""Cells read at once: neighbours in a file, because single rows are slow to read."""

WINDOW = 32
"""Runs that are shuffled together."""


class Source:
    """Cells of many files, never loaded whole.

    A gene is kept when ``min_sets`` files (fewer when there are fewer files) detect it in three
    cells or more each and ``min_cells`` cells do overall. Every ``1 / held_out``-th run is kept for
    validation. Memory does not grow with the number of cells.

    Parameters
    ----------
    paths
        ``.h5ad`` files and ``.zarr`` folders; each is a data set.
    layer
        Layer with raw counts, ``X`` when not given.
    batch
        Column of ``obs`` with the batch within a file, ``None`` when each file is one batch.
    properties
        Columns of ``obs`` whose values are read as labels; ``unknown`` and empty mean missing.
    min_sets, min_cells
        What a gene must reach.
    held_out
        Share of the runs kept for validation, [0, 1).
    seed
        Of the choice of the runs held out.

    Attributes
    ----------
    genes, symbols
        Ensembl id and symbol of each column, in the order of the ids.
    measured
        (n_files, n_genes) whether a file measured a gene.
    n_cells, n_batches
        Cells to train on; batches over all files.
    names
        Names of the files.
    values
        Property -> its known values, sorted.

    Raises
    ------
    InputError
        There is no file, a file is no AnnData with counts stored by row, or all cells are held
        out.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        layer: str | None = None,
        batch: str | None = "batch",
        properties: Sequence[str] = (),
        min_sets: int = 3,
        min_cells: int = 50,
        held_out: float = 0.03,
        seed: int = 0,
    ) -> None:
        if not paths:
            message = "there are no files to train on; name .h5ad files or .zarr folders."
            raise InputError(message)
        columns = list(dict.fromkeys([*([batch] if batch else []), *properties]))
        self._files = [CellFile(path, layer=layer, columns=columns) for path in paths]
        self.names = [path.stem for path in paths]
        self._choose_genes(min(min_sets, len(paths)), min_cells)
        self._number_labels(batch, properties)
        starts = [np.arange(0, file.n_cells, RUN) for file in self._files]
        self._runs = np.array(
            [(number, start) for number, part in enumerate(starts) for start in part]
        )
        order = np.random.default_rng(seed).permutation(len(self._runs))
        n_held = int(np.ceil(held_out * len(order))) if held_out else 0
        self._held, self._train = np.sort(order[:n_held]), np.sort(order[n_held:])
        self.n_cells = sum(self._length(run) for run in self._train)
        if not self.n_cells:
            message = (
                f"all {sum(file.n_cells for file in self._files)} cells are held out for "
                f"validation, in runs of {RUN}; give more cells or set held_out to 0."
            )
            raise InputError(message)

    def blocks(self, n: int, *, epoch: int, stream: int, streams: int, seed: int) -> "Stream":
        """Return the blocks of one epoch for one of several streams that share it.

        Files are drawn by the square root of their size, or a large one would be all there is.

        Parameters
        ----------
        n
            Cells of a block.
        epoch
            Number of the epoch; each has its own order.
        stream, streams
            Which part of the epoch; parts do not overlap.
        seed
            Of the order.

        Raises
        ------
        InputError
            There are fewer runs than streams.
        """
        rng = np.random.default_rng([seed, epoch])
        files = self._runs[self._train, 0]
        sizes = np.bincount(files, minlength=len(self._files))
        wanted = np.sqrt(sizes) / np.sqrt(sizes).sum() * len(files)
        drawn = []
        for number, (size, share) in enumerate(zip(sizes, wanted, strict=True)):
            if size:
                own = self._train[files == number]
                # Whole rounds through a small file, then a part of one.
                rounds = [rng.permutation(own) for _ in range(int(np.ceil(share / size)) + 1)]
                times = int(share) + int(rng.random() < share % 1)
                drawn.append(np.concatenate(rounds)[:times])
        runs = rng.permutation(np.concatenate(drawn))
        if len(runs) < streams:
            message = (
                f"{len(runs)} runs of {RUN} cells cannot be shared by {streams} streams; give more "
                "cells or set blocks_per_step to a smaller number."
            )
            raise InputError(message)
        return Stream(self, runs[stream::streams], n, (seed, epoch, stream))

    def held_out(self, n: int) -> Iterator[Block]:
        """Yield the cells held out in blocks of ``n``, always the same."""
        for start in range(0, len(self._held), max(1, n // RUN)):
            yield self.read(self._held[start : start + max(1, n // RUN)])

    def all_blocks(self) -> Iterator[Block]:
        """Yield every training cell once, in the order of the files."""
        for start in range(0, len(self._train), WINDOW):
            yield self.read(self._train[start : start + WINDOW])

    def sample(self, n: int, rng: np.random.Generator) -> Block:
        """Return about ``n`` training cells, files drawn by the square root of their size."""
        files = self._runs[self._train, 0]
        share = 1 / np.sqrt(np.bincount(files)[files])
        times = min(int(np.ceil(n / RUN)), len(self._train))
        return self.read(
            np.sort(rng.choice(self._train, times, replace=False, p=share / share.sum()))
        )

    def read(self, runs: np.ndarray) -> Block:
        """Return the cells of some runs that have a count."""
        parts = []
        for run in runs:
            number, start = self._runs[run]
            file = self._files[number]
            stop = min(start + RUN, file.n_cells)
            counts = file.rows(start, stop)
            totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
            labels = {name: column[number][start:stop] for name, column in self._labels.items()}
            parts.append(
                Block(
                    to_columns(counts, self._columns[number], len(self.genes)),
                    totals,
                    np.full(len(totals), number),
                    self._batches[number][start:stop],
                    labels,
                )
            )
        block = _join(parts)
        return take(block, np.flatnonzero(block.totals > 0))

    def _length(self, run: int) -> int:
        number, start = self._runs[run]
        return int(min(RUN, self._files[number].n_cells - start))

    def _choose_genes(self, min_sets: int, min_cells: int) -> None:
        table: dict[str, list[int]] = {}
        symbols: dict[str, str] = {}
        for file in self._files:
            detected = np.zeros(len(file.genes), np.int64)
            for start in range(0, file.n_cells, RUN * WINDOW):
                counts = file.rows(start, min(start + RUN * WINDOW, file.n_cells))
                detected += np.bincount(counts.indices[counts.data > 0], minlength=len(detected))
            for gene, symbol, n in zip(
                file.genes["ensembl_id"], file.genes["symbol"], detected, strict=True
            ):
                if gene:
                    entry = table.setdefault(gene, [0, 0])
                    entry[0] += int(n >= 3)
                    entry[1] += int(n)
                    symbols[gene] = symbol
        self.genes = sorted(g for g, (s, n) in table.items() if s >= min_sets and n >= min_cells)
        self.symbols = [symbols[gene] for gene in self.genes]
        if not self.genes:
            message = (
                f"no gene is detected in {min_sets} files and {min_cells} cells; give more cells."
            )
            raise InputError(message)
        index = pd.Index(self.genes)
        self._columns = [
            index.get_indexer(pd.Index(file.genes["ensembl_id"])) for file in self._files
        ]
        self.measured = np.zeros((len(self._files), len(self.genes)), bool)
        for number, column in enumerate(self._columns):
            self.measured[number, column[column >= 0]] = True

    def _number_labels(self, batch: str | None, properties: Sequence[str]) -> None:
        self.values: dict[str, list[str]] = {}
        self._labels: dict[str, list[np.ndarray]] = {}
        for name in properties:
            columns = [file.obs[name] for file in self._files]
            known = sorted(set().union(*map(set, columns)) - {"unknown", "", "nan"})
            self.values[name] = known
            self._labels[name] = [pd.Index(known).get_indexer(pd.Index(item)) for item in columns]
        self._batches, n = [], 0
        for file in self._files:
            values = file.obs[batch].to_numpy() if batch else np.zeros(file.n_cells)
            number = np.unique(values, return_inverse=True)[1]
            self._batches.append(number + n)
            n += int(number.max(initial=-1)) + 1
        self.n_batches = n


class Stream:
    """Blocks of equal size out of a list of runs, shuffled within windows.

    Parameters
    ----------
    source
        Where the cells are read.
    runs
        Runs in their order.
    n
        Cells of a block; cells that do not fill the last block of a window are left out.
    seed
        Of the order within windows.
    """

    def __init__(self, source: Source, runs: np.ndarray, n: int, seed: tuple[int, ...]) -> None:
        self._source, self._runs, self._n, self._seed = source, runs, n, seed
        # As many blocks as a window surely fills, so that a block is found without reading.
        self.per_window = max(1, (WINDOW - 1) * RUN // n)
        self._window: tuple[int, Block, np.ndarray] | None = None

    @property
    def _windows(self) -> int:
        return max(1, len(self._runs) // WINDOW)

    def __len__(self) -> int:
        return self._windows * self.per_window

    def __getitem__(self, number: int) -> Block:
        """Return a block, beyond the last one from the beginning; a window is read once.

        Epochs differ by a run or two in length and are taken to be as long as the first.
        """
        window, place = divmod(number % len(self), self.per_window)
        if self._window is None or self._window[0] != window:
            block = self._source.read(self._runs[window * WINDOW : (window + 1) * WINDOW])
            rng = np.random.default_rng([*self._seed, window])
            self._window = (window, block, rng.permutation(len(block.totals)))
        _, block, order = self._window
        # A short window, of short runs or of a small source, is gone through again.
        rows = np.take(order, np.arange(place * self._n, (place + 1) * self._n), mode="wrap")
        return take(block, rows)


def take(block: Block, rows: np.ndarray) -> Block:
    """Return some cells of a block."""
    return Block(
        sparse.csr_matrix(block.counts[rows]),
        block.totals[rows],
        block.dataset[rows],
        block.batch[rows],
        {name: values[rows] for name, values in block.labels.items()},
    )


def _join(parts: list[Block]) -> Block:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Block(
        sparse.csr_matrix(sparse.vstack([part.counts for part in parts])),
        joined("totals"),
        joined("dataset"),
        joined("batch"),
        {name: np.concatenate([part.labels[name] for part in parts]) for name in parts[0].labels},
    )
