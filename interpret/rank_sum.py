"""The Wilcoxon rank-sum test of every gene in every group, in one pass over the non-zeros."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr

from .statistics import SMALLEST, Floats, Ints, check_cells, two_sided

_ENTRIES_AT_ONCE = 20_000_000
_GENES_AT_ONCE = 1 << 15
_FEW = 25.0


def rank_sum(
    expression: sp.csr_matrix, groups: NDArray[Any], n_groups: int, *, calibrated: bool = False
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
    check_cells(expression, groups, n_groups)
    matrix = expression.tocsc(copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    n_genes = matrix.shape[1]
    label = np.where(groups < 0, n_groups, groups).astype(np.int64)
    sizes = np.bincount(label, minlength=n_groups + 1)[:n_groups]
    names = ("z", "p", "auroc", "mean", "mean_other", "detected", "detected_other")
    out = {name: np.empty((n_groups, n_genes)) for name in names}
    for block in _column_blocks(np.diff(matrix.indptr)):
        part = _rank_block(matrix[:, block], label, sizes, calibrated=calibrated)
        for name, values in part.items():
            out[name][:, block] = values
    return out


def _column_blocks(counts: Ints) -> list[slice]:
    """Return slices over columns that together hold a bounded number of non-zeros."""
    slices, start = [], 0
    ends = np.concatenate([[0], np.cumsum(counts)])
    while start < len(counts):
        stop = int(np.searchsorted(ends, ends[start] + _ENTRIES_AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), start + _GENES_AT_ONCE, len(counts))
        slices.append(slice(start, stop))
        start = stop
    return slices


def _rank_block(
    matrix: sp.csc_matrix, label: Ints, sizes: Ints, *, calibrated: bool
) -> dict[str, Floats]:
    n_cells, n_genes = matrix.shape
    n_groups = len(sizes)
    present = np.diff(matrix.indptr).astype(np.int64)
    zeros = n_cells - present
    # Positive floats sort like their bits: gene, value and group fit one integer, so one plain
    # sort orders every gene and carries the group along.
    gene = np.repeat(np.arange(n_genes, dtype=np.uint64), present)
    bits = matrix.data.astype(np.float32).view(np.uint32).astype(np.uint64)
    key = (gene << 48) | (bits << 16) | label[matrix.indices].astype(np.uint64)
    key.sort()
    gene = (key >> 48).astype(np.int64)
    slot = (key & np.uint64(0xFFFF)).astype(np.int64) * n_genes + gene
    value = ((key >> 16) & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    key >>= np.uint64(16)
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else key
    starts = starts.astype(np.int64)
    length = np.diff(np.append(starts, len(key)))
    first = matrix.indptr[:-1].astype(np.int64)
    owner = gene[starts]
    # centred at the mean rank of the zeros, so that sums lose no precision
    zero_rank = (zeros + 1) / 2
    tied_rank = starts - first[owner] + zeros[owner] + (length + 1) / 2
    rank = np.repeat(tied_rank - zero_rank[owner], length)
    run = length.astype(np.float64)
    ties = np.bincount(owner, weights=run**3 - run, minlength=n_genes) + zeros**3.0 - zeros

    def total(weights: NDArray[Any] | None) -> Floats:
        flat = np.bincount(slot, weights=weights, minlength=(n_groups + 1) * n_genes)
        return flat.reshape(n_groups + 1, n_genes).astype(np.float64)

    above, inside = total(rank)[:n_groups], total(None)
    mass = total(np.expm1(value.astype(np.float64)))
    size = sizes[:, None].astype(np.float64)
    other = n_cells - size
    both = np.maximum(size * other, 1)
    centre = size * ((n_cells + 1) / 2 - zero_rank)
    tied = ties / max(n_cells * (n_cells - 1.0), 1.0)
    spread = np.sqrt(size * other / 12 * np.maximum(n_cells + 1 - tied, 0))
    compared = (spread > 1e-9) & (size > 0) & (other > 0)
    z = np.where(compared, (above - centre) / np.where(compared, spread, 1), 0.0)
    p = two_sided(z)
    if calibrated:
        ranks: dict[str, Floats] = {
            "mean": np.asarray(np.bincount(gene, rank, n_genes), dtype=np.float64),
            "square": np.asarray(np.bincount(gene, rank**2, n_genes), dtype=np.float64),
        }
        _sum_over_detection(p, above, present, ranks=ranks, sizes=sizes, n_cells=n_cells)
    inner, outer = np.maximum(size, 1), np.maximum(other, 1)
    return {
        "z": z,
        "p": p,
        "auroc": np.where(compared, np.clip(0.5 + (above - centre) / both, 0, 1), 0.5),
        "mean": mass[:n_groups] / inner,
        "mean_other": (mass.sum(0) - mass[:n_groups]) / outer,
        "detected": inside[:n_groups] / inner,
        "detected_other": (present - inside[:n_groups]) / outer,
    }


def _sum_over_detection(
    p: Floats,
    above: Floats,
    present: Ints,
    *,
    ranks: dict[str, Floats],
    sizes: Ints,
    n_cells: int,
) -> None:
    """Replace, in place, the p of hypotheses that rest on few detecting cells."""
    smaller = np.minimum(sizes, n_cells - sizes)
    few = np.outer(smaller, present) < _FEW * n_cells
    group, gene = np.nonzero(few & (p < 0.1))
    inside, detecting = sizes[group].astype(np.float64), present[gene].astype(np.float64)
    mean = ranks["mean"][gene] / detecting
    variance = ranks["square"][gene] / detecting - mean**2
    # what rounding leaves of equal values is no spread
    variance[variance < 1e-9 * mean**2] = 0
    seen = above[group, gene]
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
