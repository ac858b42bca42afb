"""How much of the attention is expression in disguise?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..statistics import Floats, Ints, tidy
from .asked import Explained
from .scores import state_scores


@dataclass(frozen=True)
class Confounds:
    """Attention of states to genes against what is known of the genes without any network.

    Attributes
    ----------
    by_state
        ``state, n_genes, r2``: share of the variance of the score over the genes of the state that
        is explained, [0, 1], ``NaN`` for fewer than eight genes or a constant score.
    scores
        ``state, gene`` (column of the tokens), ``score``, ``residual``: what is left of the score,
        same unit, mean 0 within a state.
    """

    by_state: pd.DataFrame
    scores: pd.DataFrame


def confounds(explained: Explained) -> Confounds:
    """Regress the attention of states to genes on expression, detection and degree.

    Least squares within each state over its scored genes: mean attention of the cells that have
    the edge on the mean log1p value of these edges, the share of the cells of the state that have
    it, mean and detection of the gene over all cells, and the log number of cells joined to it.
    ``R2 = 1 - residual sum of squares / total sum of squares``.
    """
    tokens, state = explained.tokens, explained.state
    of_edge = np.repeat(state, np.diff(tokens.indptr))
    gene, n_genes = tokens.indices.astype(np.int64), tokens.shape[1]
    size = np.bincount(state[state >= 0], minlength=explained.n_states)
    attention, value = (
        state_scores(of_edge, gene, weight, size=size, n_genes=n_genes)
        for weight in (explained.attention, tokens.data)
    )
    at, which = np.nonzero(np.isfinite(attention.score))
    degree = np.bincount(gene, minlength=n_genes)
    predictors = np.stack(
        [
            value.score[at, which],
            attention.carriers[at, which] / size[at],
            explained.mean[which],
            explained.detection[which],
            np.log(degree[which]),
        ],
        axis=1,
    )
    score = attention.score[at, which]
    residual, r2 = _regress(at, predictors, score, len(size))
    return Confounds(
        tidy(
            {
                "state": np.arange(len(size)),
                "n_genes": np.bincount(at, minlength=len(size)),
                "r2": r2,
            }
        ),
        tidy({"state": at, "gene": which, "score": score, "residual": residual}),
    )


def _regress(
    state: Ints, predictors: Floats, score: Floats, n_states: int
) -> tuple[Floats, Floats]:
    """Return residuals and, per state, R2."""
    residual, r2 = np.zeros(len(score)), np.full(n_states, np.nan)
    for one in range(n_states):
        inside = state == one
        x, y = predictors[inside], score[inside]
        if not len(y):
            continue
        centred = y - y.mean()
        residual[inside] = centred
        total = float(centred @ centred)
        # Six coefficients fit six points whatever these are.
        if len(y) < 8 or total <= 1e-18 * len(y):
            continue
        spread = x.std(axis=0)
        design = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
        fit = np.linalg.lstsq(design, centred, rcond=None)[0]
        residual[inside] = centred - design @ fit
        r2[one] = 1 - float(residual[inside] @ residual[inside]) / total
    return residual, r2
