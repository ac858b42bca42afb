"""Integrated gradients for :mod:`scypher.kg.attention`.

Imports torch: load it only where a network is trained.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...encoders.errors import InputError

if TYPE_CHECKING:
    from .config import Floats


def integrated_gradients(
    output: Callable[[Tensor], Tensor], given: Tensor, baseline: Tensor, *, steps: int
) -> "Floats":
    r"""Return the integrated gradients of an output (Sundararajan, Taly and Yan 2017).

    :math:`\sum_k (x_k - b_k) \int_0^1 \partial_k f(b + t (x - b))\,dt` for every row of
    :math:`x`, the integral by Gauss-Legendre quadrature.

    Parameters
    ----------
    output
        Scalar f of an argument shaped like ``given``, differentiable.
    given, baseline
        (n, k) end x and start b of the line.
    steps
        Points of the quadrature, at least 1.

    Returns
    -------
    ndarray
        (n,) float32 in units of f, summing to f(x) - f(b).

    Raises
    ------
    InputError
        If ``steps`` is not positive.
    """
    if steps < 1:
        message = f"steps = {steps}; expected at least 1; raise it"
        raise InputError(message)
    points, weights = np.polynomial.legendre.leggauss(steps)
    change = given - baseline
    total = torch.zeros_like(given)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        at = (baseline + point * change).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(output(at), at)
        total += weight * gradient
    found: Floats = (total * change).sum(1).numpy()
    return found
