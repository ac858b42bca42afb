"""Cross-attention of constant queries to expressed genes, compiled: no padding, no key products.

The queries of the patches are the same in every cell, and a token is a gene vector plus a value
times another vector. So the logit of a latent (a patch in one head) for gene ``g`` with value ``v``
is ``logit[g] + v * slope`` up to a term that every gene shares and the softmax takes away, and
what it reads there is ``gene[g] + v * value + offset``. All of that is looked up.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from .model import PatchEncoder

FAST = {"contract", "nsz", "arcp", "reassoc"}
"""Liberties of the compiler: it may reorder sums, not assume that numbers are finite."""

CELLS_PER_BLOCK = 8
"""Cells that share the scratch memory of a thread."""


class Tables(NamedTuple):
    """What the kernel looks up, float32, for ``L`` latents: all patches of one head, then the next.

    Attributes
    ----------
    logit, slope
        (n_genes, L) and (L,).
    gene, value, offset
        (n_genes, D), (D,) and (D,), for each head ``D / n_heads`` components; an odd number of
        them is followed by a zero, because the kernel takes two at a time.
    n_heads
        Attention heads.
    depth
        Components of a head without that zero.
    """

    logit: np.ndarray
    slope: np.ndarray
    gene: np.ndarray
    value: np.ndarray
    offset: np.ndarray
    n_heads: int
    depth: int


@torch.no_grad()
def make_tables(model: PatchEncoder, tokens: np.ndarray) -> Tables:
    """Return the tables of some rows of the gene table, (n_genes,) in the order given."""
    attention = model.read.attn
    heads, depth = attention.n_heads, model.config.width // attention.n_heads

    def by_head(vectors: Tensor) -> Tensor:
        return vectors.reshape(*vectors.shape[:-1], heads, depth)

    def read(vectors: Tensor) -> np.ndarray:
        return _array(functional.pad(by_head(vectors), (0, depth % 2)).flatten(-2))

    query = attention.project(0, model.start)[0] * depth**-0.5
    _, key, value = attention.in_proj_weight.chunk(3)
    genes, slope = model.gene.weight[torch.from_numpy(tokens)], model.value.weight[:, 0]
    return Tables(
        logit=_array(torch.einsum("hpd,ghd->ghp", query, by_head(genes @ key.T)).flatten(1)),
        slope=_array(torch.einsum("hpd,hd->hp", query, by_head(key @ slope)).flatten()),
        gene=read(genes @ value.T),
        value=read(value @ slope),
        offset=read(value @ model.value.bias + attention.in_proj_bias.chunk(3)[2]),
        n_heads=heads,
        depth=depth,
    )


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.float().numpy())


def cross_read(values: sparse.csr_matrix, tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return what the patches read in each cell, and the attention to each gene.

    It runs on as many threads as torch does.

    Parameters
    ----------
    values
        CSR (n, n_genes) of the values of the expressed genes.
    tables
        See :func:`make_tables`.

    Returns
    -------
    context
        (n, n_patches, width) before the output projection; zeros in a cell without genes.
    attention
        (nnz,) mean weight over patches and heads; sums to 1 in each cell.
    """
    n_patches = len(tables.slope) // tables.n_heads
    context = np.zeros((values.shape[0], len(tables.offset), n_patches), np.float32)
    attention = np.zeros(values.nnz, np.float32)
    threads = torch.get_num_threads()
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        _read_cells(
            values.indptr.astype(np.int64),
            values.indices.astype(np.int32),
            values.data.astype(np.float32),
            int(np.diff(values.indptr).max(initial=0)),
            tables[:5],
            context,
            attention,
        )
    finally:
        numba.set_num_threads(before)
        # Both may share one OpenMP: numba, when it starts, then sets the threads of torch as well.
        torch.set_num_threads(threads)
    with_zeros = len(tables.offset) // tables.n_heads
    kept = np.flatnonzero(np.arange(len(tables.offset)) % with_zeros < tables.depth)
    return context[:, kept].transpose(0, 2, 1), attention


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    compiler: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(cache=True, **options)
    return compiler


# Without freedom to reorder: the two steps that make ``f`` would lose their precision.
@_compiled(fastmath={"contract"})
def _exponential(x: Any) -> Any:
    """Return ``exp(x)`` for ``x <= 0``, to 1e-7 of it above -80, in steps that run on vectors.

    ``x = k ln 2 + f`` with ``|f| <= ln 2 / 2``: the Taylor series of ``exp(f)`` up to the seventh
    power, times ``2 ** k``, which is ``k + 127`` in the exponent bits of a float32.
    """
    x = x if x > np.float32(-80) else np.float32(-80)
    k = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    f = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    y = np.float32(1 / 5040) * f + np.float32(1 / 720)
    y = y * f + np.float32(1 / 120)
    y = y * f + np.float32(1 / 24)
    y = y * f + np.float32(1 / 6)
    y = y * f + np.float32(0.5)
    y = y * f + np.float32(1)
    y = y * f + np.float32(1)
    return y * np.int32((k + np.float32(127)) * np.float32(8388608)).view(np.float32)


@_compiled(fastmath=FAST)
def _weigh(index: Any, level: Any, logit: Any, slope: Any, weight: Any, share: Any) -> Any:
    """Fill ``weight`` with exponentials and ``share`` with mean weights; return 1 / totals."""
    n_latents = len(slope)
    top = np.full(n_latents, -np.inf, np.float32)
    for j in range(len(index)):
        gene, value = index[j], level[j]
        for i in range(n_latents):
            x = logit[gene, i] + value * slope[i]
            weight[j, i] = x
            top[i] = max(top[i], x)
    inverse = np.zeros(n_latents, np.float32)
    for j in range(len(index)):
        for i in range(n_latents):
            x = _exponential(weight[j, i] - top[i])
            weight[j, i] = x
            inverse[i] += x
    for i in range(n_latents):
        inverse[i] = np.float32(1) / inverse[i]
    for j in range(len(index)):
        total = np.float32(0)
        for i in range(n_latents):
            total += weight[j, i] * inverse[i]
        share[j] = total / np.float32(n_latents)
    return inverse


@_compiled(fastmath=FAST)
def _gather(weight: Any, token: Any, inverse: Any, read: Any) -> None:
    """Add up tokens by weight into ``read`` (D, n_patches).

    Four tokens and two components at a time: fewer passes over memory, by a factor of three.
    """
    n_patches = read.shape[1]
    depth = len(read) * n_patches // len(inverse)
    for j in range(0, len(weight), 4):
        for first in range(0, len(read), depth):
            start = first // depth * n_patches
            w0 = weight[j, start : start + n_patches]
            w1 = weight[j + 1, start : start + n_patches]
            w2 = weight[j + 2, start : start + n_patches]
            w3 = weight[j + 3, start : start + n_patches]
            for d in range(first, first + depth, 2):
                x0, x1, x2, x3 = token[j, d], token[j + 1, d], token[j + 2, d], token[j + 3, d]
                d1 = d + 1
                y0, y1, y2, y3 = token[j, d1], token[j + 1, d1], token[j + 2, d1], token[j + 3, d1]
                one, two = read[d], read[d1]
                for p in range(n_patches):
                    a, b, c, e = w0[p], w1[p], w2[p], w3[p]
                    one[p] += x0 * a + x1 * b + x2 * c + x3 * e
                    two[p] += y0 * a + y1 * b + y2 * c + y3 * e
    for d in range(len(read)):
        start = d // depth * n_patches
        for p in range(n_patches):
            read[d, p] *= inverse[start + p]


@_compiled(parallel=True)
def _read_cells(
    indptr: Any, indices: Any, data: Any, longest: int, tables: Any, context: Any, attention: Any
) -> None:
    logit, slope, gene, value, offset = tables
    n_cells = len(indptr) - 1
    for block in numba.prange((n_cells + CELLS_PER_BLOCK - 1) // CELLS_PER_BLOCK):
        weight = np.zeros((longest + 3, len(slope)), np.float32)
        token = np.zeros((longest + 3, len(offset)), np.float32)
        for cell in range(block * CELLS_PER_BLOCK, min(n_cells, (block + 1) * CELLS_PER_BLOCK)):
            first, last = indptr[cell], indptr[cell + 1]
            length = last - first
            if length == 0:
                continue
            index, level = indices[first:last], data[first:last]
            inverse = _weigh(index, level, logit, slope, weight, attention[first:last])
            for j in range(length):
                for d in range(len(offset)):
                    token[j, d] = gene[index[j], d] + level[j] * value[d] + offset[d]
            filled = (length + 3) // 4 * 4
            weight[length:filled] = 0
            _gather(weight[:filled], token, inverse, context[cell])
