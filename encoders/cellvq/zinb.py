"""Zero-inflated negative binomial likelihood of counts."""

import torch
from torch import Tensor


def zinb_nll(counts: Tensor, mean: Tensor, dispersion: Tensor, dropout_logit: Tensor) -> Tensor:
    r"""Return the negative log likelihood of counts, element by element.

    .. math::

        P(0) &= \pi + (1 - \pi) \left(\tfrac{\theta}{\theta + \mu}\right)^{\theta} \\
        P(x) &= (1 - \pi)\, \mathrm{NB}(x; \mu, \theta), \quad x > 0

    Parameters
    ----------
    counts
        :math:`x`, non-negative, any shape.
    mean
        :math:`\mu > 0`, expected count before zero inflation, broadcastable to ``counts``.
    dispersion
        :math:`\theta > 0`, inverse dispersion.
    dropout_logit
        Logit of :math:`\pi`; computed with softplus, so that no probability rounds to 0 or 1.

    Returns
    -------
    Tensor
        Nats, the shape of ``counts``.
    """
    log_ratio = torch.log(dispersion) - torch.log(dispersion + mean)
    log_zero = dispersion * log_ratio
    softplus = torch.nn.functional.softplus
    log_kept = -softplus(dropout_logit)
    log_dropped = -softplus(-dropout_logit)
    zero = torch.logaddexp(log_dropped, log_kept + log_zero)
    positive = (
        log_kept
        + log_zero
        + counts * (torch.log(mean) - torch.log(dispersion + mean))
        + torch.lgamma(counts + dispersion)
        - torch.lgamma(dispersion)
        - torch.lgamma(counts + 1)
    )
    return -torch.where(counts > 0, positive, zero)
