"""Programs of genes planted in rates, and log expression, for tests of modules and networks."""

import numpy as np
import scipy.sparse as sp


def plant(rate, activity, size):
    """Let the activity of each program raise its genes in place, ``size`` genes after another."""
    for number in range(activity.shape[1]):
        rate[:, number * size : (number + 1) * size] *= 0.3 + 2.5 * activity[:, [number]]


def log_expression(counts):
    """log1p of counts per 10,000."""
    share = counts / counts.sum(1, keepdims=True)
    return sp.csr_matrix(np.log1p(share * 1e4).astype(np.float32))
