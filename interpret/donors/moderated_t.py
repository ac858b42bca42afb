"""The moderated t test: a gene borrows variance from genes expressed alike."""

import numpy as np
from scipy.special import digamma, polygamma, stdtr

from ..statistics import SMALLEST, Floats


def moderated_p(
    difference: Floats, variance: Floats, level: Floats, *, df: int, unit: float
) -> Floats:
    """Return two-sided p of moderated t tests, all of shape (n_genes,).

    The prior variance is ``log s0^2 = cubic in level``, its degrees of freedom ``d0`` come from
    the excess of the variance of ``log s^2`` over ``trigamma(df / 2)`` (Smyth 2004). Genes
    without variance between donors take no part in the fit.

    Parameters
    ----------
    difference
        Mean difference.
    variance
        Variance of one donor, on ``df`` degrees of freedom.
    level
        Mean expression.
    unit
        Standard error of the difference at variance 1.
    """
    usable = variance > 1e-12
    if not usable.any():
        return np.where(np.abs(difference) > 1e-9, SMALLEST, 1.0)
    e = np.log(variance[usable]) - digamma(df / 2) + np.log(df / 2)
    degree = min(3, len(np.unique(level[usable])) - 1)
    trend = np.polynomial.Polynomial.fit(level[usable], e, degree) if degree else None
    fitted = np.full(len(e), e.mean()) if trend is None else trend(level[usable])
    excess = ((e - fitted) ** 2).sum() / max(len(e) - degree - 1, 1) - polygamma(1, df / 2)
    prior = np.full(len(level), e.mean()) if trend is None else trend(level)
    # the cubic holds between the levels it was fitted to
    prior = np.clip(prior, fitted.min(), fitted.max())
    if excess > 0:
        d0 = 2 * _inverse_trigamma(float(excess))
        s0 = np.exp(prior + digamma(d0 / 2) - np.log(d0 / 2))
        posterior, freedom = (d0 * s0 + df * variance) / (d0 + df), d0 + df
    else:
        posterior, freedom = np.exp(prior), np.inf
    t = np.abs(difference) / (np.sqrt(posterior) * unit)
    p: Floats = np.clip(2 * stdtr(min(freedom, 1e9), -t), SMALLEST, 1)
    return p


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method on 1 / trigamma, which is convex."""
    x = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x
