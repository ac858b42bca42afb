"""Reading many cells with a latent reader: one compiled pass from values to attention and sums.

The numbers are those of :meth:`scypher.encoders.cellvq.latent.LatentReader.forward`; nothing but
the result of a cell leaves the pass.
"""

from typing import Any

import numba
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ..compiled import use_threads_of_torch
from ..counts import COUNTS_PER_CELL
from .latent import LatentReader

_FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _read(
    indptr: Any,
    gene: Any,
    value: Any,
    genes: Any,
    bins: Any,
    per_bin: float,
    scale: Any,
    loadings: Any,
    most: int,
    out: Any,
    kept: Any,
    lift: Any,
    counts: Any,
) -> None:
    """Write the weighted sums (out) and the top attended genes (kept, lift, counts) of cells."""
    heads = genes.shape[1]
    width = loadings.shape[1] // heads
    last = np.float32(len(bins) - 1 - 1e-4)
    for i in numba.prange(len(indptr) - 1):
        start, n = indptr[i], indptr[i + 1] - indptr[i]
        weight = np.empty((n, heads), np.float32)
        total = np.zeros(heads, np.float32)
        for p in range(n):
            g = gene[start + p]
            place = min(max(value[start + p] * np.float32(per_bin), np.float32(0)), last)
            lower = int(place)
            share = place - np.float32(lower)
            for h in range(heads):
                low = bins[lower, h]
                # Logits are bounded, so that the exponential needs no maximum taken off.
                one = np.exp(genes[g, h] + low + share * (bins[lower + 1, h] - low))
                weight[p, h] = one
                total[h] += one
        sums = np.zeros(loadings.shape[1], np.float32)
        mean = np.empty(n, np.float32)
        for h in range(heads):
            total[h] = np.float32(n) / total[h] if n else np.float32(0)
        for p in range(n):
            g = gene[start + p]
            unit = value[start + p] / scale[g]
            row = loadings[g]
            both = np.float32(0)
            for h in range(heads):
                attended = weight[p, h] * total[h]
                both += attended
                factor = attended * unit
                for c in range(h * width, (h + 1) * width):
                    sums[c] += factor * row[c]
            mean[p] = both / np.float32(heads)
        out[i] = sums
        number = min(n, most)
        counts[i] = number
        limit = np.float32(-1)
        ties = n
        if n > most:
            limit = np.partition(mean, n - most)[n - most]
            ties = most
            for p in range(n):
                if mean[p] > limit:
                    ties -= 1
        place_out = 0
        for p in range(n):
            # Ties at the limit go to the lower gene until the row is full.
            if mean[p] > limit or (mean[p] == limit and ties > 0):
                if mean[p] == limit:
                    ties -= 1
                kept[i, place_out] = gene[start + p]
                lift[i, place_out] = mean[p]
                place_out += 1


class FusedReader:
    """A latent reader with its tables computed once.

    Parameters
    ----------
    reader
        The reader, on the CPU.
    loadings, scale, centre
        Tables of the model.
    most
        Attended genes kept of a cell.
    """

    def __init__(
        self, reader: LatentReader, loadings: Tensor, scale: Tensor, *, centre: Tensor, most: int
    ) -> None:
        self._reader, self._centre, self._most = reader, centre, most
        with torch.no_grad():
            genes, bins = reader.tables(loadings)
        self._tables = [genes.numpy(), bins.numpy()]
        self._per_bin = float((reader.config.n_bins - 1) / np.log1p(COUNTS_PER_CELL))
        self._model = [scale.numpy(), loadings.detach().numpy()]

    @torch.no_grad()
    def __call__(
        self, values: sparse.csr_matrix, depth: Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return embedding, entries kept of each cell, their genes and their attention.

        Parameters
        ----------
        values
            CSR (n, n_genes) log1p of counts per 10,000.
        depth
            (n, 2) source and target depth.

        Returns
        -------
        tuple
            (n, width) float32; (n,) counts; (kept,) genes; (kept,) attention times genes read.
        """
        n = values.shape[0]
        read = np.empty((n, self._reader.config.width), np.float32)
        kept = np.empty((n, self._most), np.int32)
        lift = np.empty((n, self._most), np.float32)
        counts = np.empty(n, np.int64)
        use_threads_of_torch()
        given = [values.indptr, values.indices, values.data.astype(np.float32, copy=False)]
        tables = [*self._tables, self._per_bin, *self._model, self._most]
        arguments: list[Any] = [*given, *tables, read, kept, lift, counts]
        _read(*arguments)
        cell = self._reader.mix(torch.from_numpy(read) - self._centre, depth).numpy()
        inside = np.arange(self._most) < counts[:, None]
        return cell, counts, kept[inside], lift[inside]
