"""Sums of table rows over ragged cells, the two operations that reading and decoding consist of.

Cells have different numbers of genes; nothing is padded. ``indptr`` (n + 1,) says where the entries
of each cell lie, as in a CSR matrix. On the CPU the operations are compiled kernels, elsewhere
plain torch; both give the same numbers, forward and backward.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..compiled import use_threads_of_torch

# Sums may be reordered for speed; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _bag(indptr: Any, gene: Any, weight: Any, table: Any, out: Any) -> None:
    """Write out[i, c] = sum over entries p of cell i of weight[p, head of c] * table[gene p, c]."""
    heads = weight.shape[1]
    width = table.shape[1] // heads
    for i in numba.prange(len(indptr) - 1):
        total = np.zeros(table.shape[1], np.float32)
        for p in range(indptr[i], indptr[i + 1]):
            row = table[gene[p]]
            for h in range(heads):
                share = weight[p, h]
                for c in range(h * width, (h + 1) * width):
                    total[c] += share * row[c]
        out[i] = total


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _dot(indptr: Any, gene: Any, cells: Any, table: Any, out: Any) -> None:
    """Write out[p, h] = sum over components c of head h of cells[i, c] * table[gene p, c]."""
    heads = out.shape[1]
    width = table.shape[1] // heads
    for i in numba.prange(len(indptr) - 1):
        cell = cells[i]
        for p in range(indptr[i], indptr[i + 1]):
            row = table[gene[p]]
            for h in range(heads):
                total = np.float32(0)
                for c in range(h * width, (h + 1) * width):
                    total += cell[c] * row[c]
                out[p, h] = total


@numba.njit(parallel=True, fastmath=_FAST, cache=True)
def _scatter(indptr: Any, gene: Any, weight: Any, cells: Any, out: Any, parts: int) -> None:
    """Add weight[p, head of c] * cells[i, c] to out[gene p, c]."""
    heads = weight.shape[1]
    width = out.shape[1] // heads
    # Each part owns a range of genes, so that no two threads write the same row.
    for part in numba.prange(parts):
        low = part * len(out) // parts
        high = (part + 1) * len(out) // parts
        for i in range(len(indptr) - 1):
            for p in range(indptr[i], indptr[i + 1]):
                g = gene[p]
                if g < low or g >= high:
                    continue
                for h in range(heads):
                    share = weight[p, h]
                    for c in range(h * width, (h + 1) * width):
                        out[g, c] += share * cells[i, c]


def cell_of_entry(indptr: Tensor) -> Tensor:
    """Return the cell of each entry, (nnz,)."""
    lengths = indptr[1:] - indptr[:-1]
    return torch.repeat_interleave(torch.arange(len(lengths), device=indptr.device), lengths)


class _Bag(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, indptr: Tensor, gene: Tensor, weight: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(indptr, gene, weight, table)
        out = table.new_empty(len(indptr) - 1, table.shape[1])
        _bag(*(item.detach().numpy() for item in (indptr, gene, weight, table, out)))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        indptr, gene, weight, table = ctx.saved_tensors
        return None, None, *_gradients(indptr, gene, weight, table, grad, ctx.needs_input_grad[2:])


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, indptr: Tensor, gene: Tensor, cells: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(indptr, gene, cells, table)
        out = table.new_empty(len(gene), 1)
        _dot(*(item.detach().numpy() for item in (indptr, gene, cells, table, out)))
        return out.squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        indptr, gene, cells, table = ctx.saved_tensors
        weight = grad.contiguous().unsqueeze(1)
        to_cells = torch.empty_like(cells)
        _bag(*(item.detach().numpy() for item in (indptr, gene, weight, table, to_cells)))
        to_table = None
        if ctx.needs_input_grad[3]:
            to_table = _to_table(indptr, gene, weight, cells.detach(), table)
        return None, None, to_cells, to_table


def _gradients(
    indptr: Tensor,
    gene: Tensor,
    weight: Tensor,
    table: Tensor,
    grad: Tensor,
    needed: tuple[bool, ...],
) -> tuple[Tensor | None, Tensor | None]:
    grad = grad.contiguous()
    to_weight = to_table = None
    if needed[0]:
        to_weight = torch.empty_like(weight)
        _dot(*(item.detach().numpy() for item in (indptr, gene, grad, table, to_weight)))
    if needed[1]:
        to_table = _to_table(indptr, gene, weight.detach(), grad, table)
    return to_weight, to_table


def _to_table(indptr: Tensor, gene: Tensor, weight: Tensor, cells: Tensor, like: Tensor) -> Tensor:
    out = torch.zeros_like(like)
    arrays = [item.numpy() for item in (indptr, gene, weight, cells.contiguous(), out)]
    arguments: list[Any] = [*arrays, numba.get_num_threads()]
    _scatter(*arguments)
    return out


def bag(indptr: Tensor, gene: Tensor, weight: Tensor, table: Tensor) -> Tensor:
    r"""Return weighted sums of table rows, one per cell and head.

    :math:`o_{ic} = \sum_{p \in i} w_{p,h(c)} T_{g_p,c}` with :math:`h(c)` the head that component
    :math:`c` belongs to; heads are equal slices of the components.

    Parameters
    ----------
    indptr
        (n + 1,) int64, where the entries of each cell begin.
    gene
        (nnz,) int64 row of the table of each entry.
    weight
        (nnz, heads) float32.
    table
        (rows, width) float32; ``heads`` divides ``width``.

    Returns
    -------
    Tensor
        (n, width).
    """
    if table.device.type == "cpu" and table.dtype == torch.float32:
        use_threads_of_torch()
        out: Tensor = _Bag.apply(indptr, gene, weight.contiguous(), table.contiguous())
        return out
    heads = weight.shape[1]
    rows = table[gene].view(len(gene), heads, table.shape[1] // heads) * weight.unsqueeze(2)
    out = rows.new_zeros(len(indptr) - 1, table.shape[1])
    return out.index_add(0, cell_of_entry(indptr), rows.flatten(1))


def dot(indptr: Tensor, gene: Tensor, cells: Tensor, table: Tensor) -> Tensor:
    r"""Return the product of each entry's cell and table row, (nnz,): :math:`x_i \cdot T_{g_p}`.

    Parameters
    ----------
    indptr, gene, table
        As in :func:`bag`.
    cells
        (n, width) float32.
    """
    if table.device.type == "cpu" and table.dtype == torch.float32:
        use_threads_of_torch()
        out: Tensor = _Dot.apply(indptr, gene, cells.contiguous(), table.contiguous())
        return out
    return (cells[cell_of_entry(indptr)] * table[gene]).sum(dim=1)


def ragged_softmax(indptr: Tensor, logits: Tensor) -> Tensor:
    """Return the softmax over the entries of each cell, (nnz, heads)."""
    cell = cell_of_entry(indptr)
    n, heads = len(indptr) - 1, logits.shape[1]
    index = cell.unsqueeze(1).expand(-1, heads)
    # The maximum cancels; without it large logits would overflow.
    top = logits.new_full((n, heads), -torch.inf).scatter_reduce(
        0, index, logits.detach(), "amax", include_self=True
    )
    weight = torch.exp(logits - top.index_select(0, cell))
    total = weight.new_zeros(n, heads).index_add(0, cell, weight)
    return weight / total.index_select(0, cell)
