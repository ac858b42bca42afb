"""Compiled loops of GATv2 over edges sorted by target.

``given`` are the arrays of :func:`~scypher.kg.attention.kernel.gatv2_messages`: indptr, source,
left, right, edge, weight, vector. Part j of the work owns targets ``bounds[j]`` to
``bounds[j + 1]``, and in the backward pass sums of its own for what targets share.
"""

from functools import cache
from typing import Any

import numba
import numpy as np

# Sums may be reordered for speed; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "nsz", "arcp"}

# From this many channels a kernel is compiled for their number: loops of known length are about
# 1.5 times as fast. Narrower layers share one kernel.
_WIDE = 64


@numba.njit(fastmath=_FAST, error_model="numpy", inline="always")
def _before_activation(left: Any, right: Any, edge: Any, weight: Any, size: Any, out: Any) -> None:
    """Write out[c] = left[c] + right[c] + sum over k of edge[k] * weight[k, c]."""
    for c in range(size):
        out[c] = left[c] + right[c]
    for k in range(len(edge)):
        share = edge[k]
        row = weight[k]
        for c in range(size):
            out[c] += share * row[c]


@cache
def _compiled(fixed_heads: int, fixed_width: int) -> tuple[Any, Any]:
    """Return forward and backward kernel for a number and width of heads, any if 0."""

    # The fixed sizes are constants of a parallel loop only if they are named in its body.
    @numba.njit(parallel=True, fastmath=_FAST, error_model="numpy", cache=True)
    def forward(bounds: Any, given: Any, slope: Any, alpha: Any, out: Any) -> None:
        for part in numba.prange(len(bounds) - 1):
            indptr, source, left, right, edge, weight, vector = given
            heads = fixed_heads if fixed_heads else alpha.shape[1]
            width = fixed_width if fixed_width else left.shape[1] // heads
            size = heads * width
            hidden = np.empty(size, np.float32)
            top = np.empty(heads, np.float32)
            norm = np.empty(heads, np.float32)
            for i in range(bounds[part], bounds[part + 1]):
                start, stop = indptr[i], indptr[i + 1]
                total = out[i]
                total[:] = 0
                top[:] = -np.inf
                norm[:] = 0
                for p in range(start, stop):
                    _before_activation(left[source[p]], right[i], edge[p], weight, size, hidden)
                    for c in range(size):
                        hidden[c] = max(hidden[c], slope * hidden[c]) * vector[c]
                    for h in range(heads):
                        score = np.float32(0)
                        for c in range(h * width, (h + 1) * width):
                            score += hidden[c]
                        alpha[p, h] = score
                        top[h] = max(top[h], score)
                for p in range(start, stop):
                    for h in range(heads):
                        alpha[p, h] = np.exp(alpha[p, h] - top[h])
                        norm[h] += alpha[p, h]
                for h in range(heads):
                    norm[h] = np.float32(1) / norm[h]
                for p in range(start, stop):
                    row = left[source[p]]
                    for h in range(heads):
                        alpha[p, h] *= norm[h]
                        share = alpha[p, h]
                        for c in range(h * width, (h + 1) * width):
                            total[c] += share * row[c]

    @numba.njit(parallel=True, fastmath=_FAST, error_model="numpy", cache=True)
    def backward(
        bounds: Any,
        given: Any,
        slope: Any,
        alpha: Any,
        to_out: Any,
        to_score: Any,
        gradients: Any,
    ) -> None:
        for part in numba.prange(len(bounds) - 1):
            all_left, to_right, to_edge, all_weight, all_vector = gradients
            to_left, to_weight, to_vector = all_left[part], all_weight[part], all_vector[part]
            indptr, source, left, right, edge, weight, vector = given
            heads = fixed_heads if fixed_heads else alpha.shape[1]
            width = fixed_width if fixed_width else left.shape[1] // heads
            size = heads * width
            hidden = np.empty(size, np.float32)
            spread = np.empty(size, np.float32)
            sent = np.empty(size, np.float32)
            mean = np.empty(heads, np.float32)
            of_vector = np.empty(size, np.float32)
            of_weight = np.empty(weight.shape, np.float32)
            for i in range(bounds[part], bounds[part + 1]):
                start, stop = indptr[i], indptr[i + 1]
                mean[:] = 0
                of_vector[:] = 0
                of_weight[:] = 0
                asked = to_out[i]
                of_right = to_right[i]
                of_right[:] = 0
                for p in range(start, stop):
                    row = left[source[p]]
                    for h in range(heads):
                        change = to_score[p, h]
                        for c in range(h * width, (h + 1) * width):
                            change += asked[c] * row[c]
                        to_score[p, h] = change
                        mean[h] += alpha[p, h] * change
                for p in range(start, stop):
                    _before_activation(left[source[p]], right[i], edge[p], weight, size, hidden)
                    for h in range(heads):
                        share = alpha[p, h]
                        change = share * (to_score[p, h] - mean[h])
                        for c in range(h * width, (h + 1) * width):
                            spread[c] = change
                            sent[c] = share
                    of_left = to_left[source[p]]
                    for c in range(size):
                        factor = np.float32(1) if hidden[c] > 0 else slope
                        of_vector[c] += spread[c] * factor * hidden[c]
                        change = spread[c] * factor * vector[c]
                        spread[c] = change
                        of_right[c] += change
                        of_left[c] += change + sent[c] * asked[c]
                    for k in range(edge.shape[1]):
                        share = edge[p, k]
                        total = np.float32(0)
                        for c in range(size):
                            total += spread[c] * weight[k, c]
                            of_weight[k, c] += share * spread[c]
                        to_edge[p, k] = total
                # Sums of many targets are of double precision.
                for c in range(size):
                    to_vector[c] += of_vector[c]
                for k in range(edge.shape[1]):
                    for c in range(size):
                        to_weight[k, c] += of_weight[k, c]

    return forward, backward


def kernels_of(heads: int, width: int) -> tuple[Any, Any]:
    """Return the kernels of a layer: of fixed sizes where these are worth a compilation."""
    return _compiled(heads, width) if heads * width >= _WIDE else _compiled(0, 0)
