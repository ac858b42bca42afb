"""GATv2 messages over edges sorted by target, forward and backward, as compiled kernels.

One pass over the edges of a target does gather, LeakyReLU, score, softmax and weighted sum; nothing
of (edges x channels) is ever stored, the backward pass computes it again. Imports torch.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...encoders.compiled import use_threads_of_torch
from ...encoders.errors import InputError
from .loops import kernels_of


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


def _parts(indptr: Tensor) -> Any:
    """Return the first target of each thread, and the end: about as many edges for each."""
    parts = numba.get_num_threads()
    edges = np.linspace(0, int(indptr[-1]), parts + 1).astype(np.int64)
    bounds = np.searchsorted(indptr.numpy(), edges)
    bounds[0], bounds[-1] = 0, len(indptr) - 1
    return bounds


class _GATv2(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        indptr: Tensor,
        source: Tensor,
        left: Tensor,
        right: Tensor,
        edge: Tensor,
        weight: Tensor,
        vector: Tensor,
        slope: float,
    ) -> tuple[Tensor, Tensor]:
        alpha = left.new_empty(len(source), vector.shape[0])
        out = left.new_empty(len(right), left.shape[1])
        given = _arrays(indptr, source, left, right, edge, weight, vector.flatten())
        arguments = [_parts(indptr), given, np.float32(slope), *_arrays(alpha, out)]
        kernels_of(*vector.shape)[0](*arguments)
        ctx.slope = slope
        ctx.save_for_backward(indptr, source, left, right, edge, weight, vector, alpha)
        ctx.set_materialize_grads(False)
        return out, alpha

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, to_out: Tensor | None, to_alpha: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        use_threads_of_torch()
        indptr, source, left, right, edge, weight, vector, alpha = ctx.saved_tensors
        to_out = left.new_zeros(right.shape) if to_out is None else to_out.contiguous()
        to_score = torch.zeros_like(alpha) if to_alpha is None else to_alpha.clone().contiguous()
        bounds = _parts(indptr)
        parts = len(bounds) - 1
        to_left = left.new_zeros(parts, *left.shape)
        to_right, to_edge = torch.empty_like(right), torch.empty_like(edge)
        to_weight = torch.zeros(parts, *weight.shape, dtype=torch.float64)
        to_vector = torch.zeros(parts, left.shape[1], dtype=torch.float64)
        given = _arrays(indptr, source, left, right, edge, weight, vector.flatten())
        results = _arrays(to_left, to_right, to_edge, to_weight, to_vector)
        known = [np.float32(ctx.slope), *_arrays(alpha, to_out, to_score)]
        arguments = [bounds, given, *known, results]
        kernels_of(*vector.shape)[1](*arguments)
        return (
            None,
            None,
            to_left[0] if parts == 1 else to_left.sum(0),
            to_right,
            to_edge,
            to_weight.sum(0).float(),
            to_vector.sum(0).float().view_as(vector),
            None,
        )


def gatv2_messages(
    left: Tensor,
    right: Tensor,
    vector: Tensor,
    *,
    indptr: Tensor,
    source: Tensor,
    edge: Tensor | None = None,
    weight: Tensor | None = None,
    slope: float = 0.2,
) -> tuple[Tensor, Tensor]:
    r"""Return messages and attention of GATv2 (Brody, Alon and Yahav 2022), differentiable once.

    For edge p from source s to target t and head h, over the channels of that head,
    :math:`u_p = l_s + r_t + W^\top e_p`,
    :math:`\alpha_{ph} = \mathrm{softmax}_{p \in t}\, a_h \cdot \mathrm{LeakyReLU}(u_p)_h` and
    :math:`o_{th} = \sum_{p \in t} \alpha_{ph} l_{sh}`; heads are equal slices of the channels.

    Gradients of sources are summed by each thread for itself and then over threads: the same number
    of threads gives the same bits.

    Parameters
    ----------
    left, right
        (n_sources, size) and (n_targets, size) float32 on the CPU, already linearly mapped.
    vector
        (heads, size / heads), the attention vector a.
    indptr
        (n_targets + 1,) int64, where the edges of each target begin.
    source
        (n_edges,) int64 row of ``left``.
    edge, weight
        (n_edges, k) attributes and their (k, size) map; both or none.
    slope
        Of LeakyReLU below zero, in [0, 1].

    Returns
    -------
    tuple of Tensor
        (n_targets, size) messages, zero without edges; (n_edges, heads) attention in (0, 1], which
        sums to 1 over the edges of a target.

    Raises
    ------
    InputError
        If attributes do not fit the edges or their map.
    IndexError
        If a source is no row of ``left``.
    """
    edge = left.new_zeros(len(source), 0) if edge is None else edge
    weight = left.new_zeros(0, left.shape[1]) if weight is None else weight
    # The kernels do not look: a wrong number would read foreign memory.
    if edge.shape != (len(source), len(weight)):
        problem = (
            f"edge attributes of shape {tuple(edge.shape)}; expected {(len(source), len(weight))}; "
            "pass as many as the layer was made for, for every edge"
        )
        raise InputError(problem)
    if len(source) and not 0 <= int(source.min()) <= int(source.max()) < len(left):
        message = (
            f"sources from {int(source.min())} to {int(source.max())}; expected rows of {len(left)}"
            " sources, from 0; pass numbers of the given sources"
        )
        raise IndexError(message)
    use_threads_of_torch()
    given = (indptr, source, left, right, edge, weight, vector)
    out: tuple[Tensor, Tensor] = _GATv2.apply(*(item.contiguous() for item in given), slope)
    return out
