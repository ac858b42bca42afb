"""The Wilcoxon rank-sum test of every gene in every group, in one pass over the non-zeros."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr

from ..chunks import Chunks, in_chunks
from ..statistics import SMALLEST, Floats, Ints, two_sided
from .group_sums import GroupSums, group_sums
from .rank_kernel import fill, rank

_ENTRIES_AT_ONCE = 20_000_000
_FEW = 25.0


def rank_sum(
    expression: sp.csr_matrix | Chunks,
    groups: NDArray[Any],
    n_groups: int,
    *,
    calibrated: bool = False,
    sums: GroupSums | None = None,
) -> dict[str, Floats]:
    """Compare every gene of every group with all other cells by the Wilcoxon rank-sum test.

    Wilcoxon 1945, Biometrics Bulletin 1:80, with tie-corrected normal approximation and no
    continuity correction: ``z = (R - n (N + 1) / 2) / s``,
    ``s^2 = n m / 12 ((N + 1) - sum(t^3 - t) / (N (N - 1)))``, where ``R`` is the rank sum of the
    group, ``n`` its cells, ``m`` the others, ``N`` all and ``t`` the sizes of the tie blocks.
    Values are compared in single precision. One pass over the non-zeros; zeros are one tie block.

    Parameters
    ----------
    expression
        Non-negative values, shape (n_cells, n_genes).
    groups
        Group of each cell from 0, or -1 for none, shape (n_cells,); at most 65,534 groups.
    n_groups
        Number of groups.
    calibrated
        Where a group is expected to hold fewer than 25 detecting cells the normal approximation
        calls single cells significant; then the number of detecting cells inside is summed over
        its hypergeometric distribution, and the normal approximation is used only for their ranks.

    sums
        Sums over the same groups, where they are known already.

    Returns
    -------
    dict
        Arrays of shape (n_groups, n_genes): ``z`` (0 where nothing can be compared), ``p`` in
        (0, 1], ``auroc`` in [0, 1], ``mean`` and ``mean_other`` (of ``expm1``), ``detected`` and
        ``detected_other`` (shares of cells in [0, 1]).

    Raises
    ------
    InputError
        When shapes disagree, or values are negative or not finite.
    """
    chunks = in_chunks(expression)
    sums = sums or group_sums(chunks, groups, n_groups)
    label = np.where(groups < 0, n_groups, groups).astype(np.uint16)
    ranks = _rank(chunks, label, n_groups, present=sums.detected.sum(0).astype(np.int64))
    return _compare(sums, ranks, calibrated=calibrated)


@dataclass(frozen=True)
class _Ranks:
    """Ranks of every gene, centred at the mean rank of its zeros.

    ``above`` (n_groups, n_genes): sum in each group; ``ties``, ``mean``, ``square`` (n_genes,): sum
    of ``t^3 - t`` over tie blocks, of ranks and of their squares over detecting cells.
    """

    above: Floats
    ties: Floats
    sum: Floats
    square: Floats


def _rank(chunks: Chunks, label: NDArray[np.uint16], n_groups: int, *, present: Ints) -> _Ranks:
    n_cells, n_genes = chunks.shape
    above = np.zeros((n_genes, n_groups + 1))
    ties, square = np.zeros(n_genes), np.zeros(n_genes)
    for block in _column_blocks(present):
        ends = np.cumsum(present[block])
        keys = np.empty(ends[-1], dtype=np.uint64)
        free, first = ends - present[block], 0
        for matrix in chunks.read():
            fill(
                matrix.indptr,
                matrix.indices,
                matrix.data.astype(np.float32, copy=False).view(np.uint32),
                label[first : first + matrix.shape[0]],
                (block.start, block.stop),
                free,
                keys,
                numba.get_num_threads(),
            )
            first += matrix.shape[0]
        rank(keys, ends, n_cells, above[block], ties[block], square[block])
    return _Ranks(above[:, :n_groups].T, ties, above.sum(1), square)


def _column_blocks(counts: Ints) -> list[slice]:
    """Return slices over columns that together hold a bounded number of non-zeros."""
    slices, start = [], 0
    ends = np.concatenate([[0], np.cumsum(counts)])
    while start < len(counts):
        stop = int(np.searchsorted(ends, ends[start] + _ENTRIES_AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), len(counts))
        slices.append(slice(start, stop))
        start = stop
    return slices


def _compare(sums: GroupSums, ranks: _Ranks, *, calibrated: bool) -> dict[str, Floats]:
    sizes, n_cells = sums.size[:-1], int(sums.size.sum())
    present = sums.detected.sum(0)
    zero_rank = (n_cells - present + 1) / 2
    size = sizes[:, None].astype(np.float64)
    other = n_cells - size
    both = np.maximum(size * other, 1)
    centre = size * ((n_cells + 1) / 2 - zero_rank)
    tied = ranks.ties / max(n_cells * (n_cells - 1.0), 1.0)
    spread = np.sqrt(size * other / 12 * np.maximum(n_cells + 1 - tied, 0))
    compared = (spread > 1e-9) & (size > 0) & (other > 0)
    z = np.where(compared, (ranks.above - centre) / np.where(compared, spread, 1), 0.0)
    p = two_sided(z)
    if calibrated:
        _sum_over_detection(p, ranks, present, sizes=sizes, n_cells=n_cells)
    inner, outer = np.maximum(size, 1), np.maximum(other, 1)
    inside, mass = sums.detected[:-1], sums.mass
    return {
        "z": z,
        "p": p,
        "auroc": np.where(compared, np.clip(0.5 + (ranks.above - centre) / both, 0, 1), 0.5),
        "mean": mass[:-1] / inner,
        "mean_other": (mass.sum(0) - mass[:-1]) / outer,
        "detected": inside / inner,
        "detected_other": (present - inside) / outer,
    }


def _sum_over_detection(
    p: Floats, ranks: _Ranks, present: Floats, *, sizes: Ints, n_cells: int
) -> None:
    """Replace, in place, the p of hypotheses that rest on few detecting cells."""
    smaller = np.minimum(sizes, n_cells - sizes)
    few = np.outer(smaller, present) < _FEW * n_cells
    group, gene = np.nonzero(few & (p < 0.1))
    inside, detecting = sizes[group].astype(np.float64), present[gene]
    mean = ranks.sum[gene] / detecting
    variance = ranks.square[gene] / detecting - mean**2
    # what rounding leaves of equal values is no spread
    variance[variance < 1e-9 * mean**2] = 0
    seen = ranks.above[group, gene]
    m = np.maximum(0, inside + detecting - n_cells)
    log_share = (
        _log_choose(detecting, m)
        + _log_choose(n_cells - detecting, inside - m)
        - _log_choose(np.full_like(inside, n_cells), inside)
    )
    mode = (inside + 1) * (detecting + 1) / (n_cells + 2)
    last = np.minimum(inside, detecting)
    upper, lower = np.zeros_like(m), np.zeros_like(m)
    live = np.arange(len(m))
    while live.size:
        k, n, now = detecting[live], inside[live], m[live]
        share = np.exp(log_share[live])
        spread = np.sqrt(now * (k - now) / np.maximum(k - 1, 1) * variance[live])
        gap = seen[live] - now * mean[live]
        # without spread the sum is certain, and both tails hold it when it is the one observed
        reach = np.where(
            spread > 0, gap / np.where(spread > 0, spread, 1), np.copysign(np.inf, gap)
        )
        exact = (spread == 0) & (np.abs(gap) < 1e-6)
        upper[live] += share * np.where(exact, 1, ndtr(-reach))
        lower[live] += share * np.where(exact, 1, ndtr(reach))
        step = (k - now) * (n - now) / ((now + 1) * (n_cells - k - n + now + 1))
        log_share[live] += np.log(np.maximum(step, SMALLEST))
        m[live] += 1
        past = (now > mode[live]) & (share < 1e-9 * np.minimum(upper[live], lower[live]))
        live = live[~past & (now < last[live])]
    p[group, gene] = np.clip(2 * np.minimum(upper, lower), SMALLEST, 1)


def _log_choose(n: Floats, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
