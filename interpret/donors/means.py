"""Mean expression per donor and group: what a donor, as one replicate, says of a gene."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..chunks import Chunks, in_chunks
from ..markers.group_sums import group_sums
from ..statistics import Floats, Ints
from .design import MIN_DONOR_CELLS
from .moderated_t import moderated_p

_BYTES = 128 << 20


@dataclass(frozen=True)
class DonorMeans:
    """Sums over the cells of each donor and group, those in no group last.

    Attributes
    ----------
    size
        (n_donors, n_groups + 1) cells.
    total, mass
        (n_donors, n_groups + 1, n_genes) sums of log expression, and of counts per 10,000.
    """

    size: Ints
    total: Floats
    mass: Floats

    def against_rest(self, group: int) -> tuple[Floats, Floats]:
        """Return mean counts per 10,000 inside and outside a group, of donors that can be asked.

        Both of shape (n_asked, n_genes); asked is who has 3 cells inside and 3 outside.
        """
        asked, outside = self._asked(group)
        rest = self.mass[asked].sum(1) - self.mass[asked, group]
        return (
            self.mass[asked, group] / self.size[asked, group, None],
            np.maximum(rest, 0) / outside[asked, None],
        )

    def agreeing(self, group: int) -> tuple[Ints, int]:
        """Return how many donors have a higher mean of log expression inside, of how many asked."""
        asked, outside = self._asked(group)
        inside = self.total[asked, group] / self.size[asked, group, None]
        rest = (self.total[asked].sum(1) - self.total[asked, group]) / outside[asked, None]
        # Both sums are added in different orders: a difference this small is rounding.
        return (inside > rest + 1e-9).sum(0), int(asked.sum())

    def _asked(self, group: int) -> tuple[np.ndarray, Ints]:
        outside = self.size.sum(1) - self.size[:, group]
        return (self.size[:, group] >= MIN_DONOR_CELLS) & (outside >= MIN_DONOR_CELLS), outside


@dataclass(frozen=True)
class DonorTest:
    """Difference of log2 means, its p, donors with that sign, per gene; donors asked."""

    difference: Floats
    p: Floats
    agreeing: Ints
    n_donors: int


def donor_means(
    expression: sp.csr_matrix | Chunks, groups: Ints, n_groups: int, donors: Ints
) -> DonorMeans:
    """Add up expression over the cells of each known donor and group.

    Parameters
    ----------
    expression
        log1p of counts per 10,000, shape (n_cells, n_genes).
    groups
        Group of each cell from 0, or -1 for none, shape (n_cells,).
    n_groups
        Number of groups.
    donors
        Donor of each cell, or -1 where unknown, shape (n_cells,).
    """
    chunks = in_chunks(expression)
    names = np.unique(donors[donors >= 0])
    n_genes, each = chunks.shape[1], n_groups + 1
    at_once = max(_BYTES // (32 * each * max(n_genes, 1)), 1)
    size = np.zeros((len(names), each), dtype=np.int64)
    total, mass = (np.zeros((len(names), each, n_genes)) for _ in range(2))
    group = np.where(groups < 0, n_groups, groups)
    for start in range(0, len(names), at_once):
        some = names[start : start + at_once]
        place = np.searchsorted(some, donors).clip(max=len(some) - 1)
        label = np.where(some[place] == donors, place * each + group, -1)
        sums = group_sums(chunks, label, len(some) * each)
        part = slice(start, start + len(some))
        size[part] = sums.size[:-1].reshape(len(some), each)
        total[part] = sums.total[:-1].reshape(len(some), each, n_genes)
        mass[part] = sums.mass[:-1].reshape(len(some), each, n_genes)
    return DonorMeans(size, total, mass)


def donor_test(control: Floats, case: Floats, *, paired: bool) -> DonorTest:
    """Compare means of donors by the moderated t test, with donors as the replicates.

    ``y = log2(1 + mean)``. Paired: the differences of each donor against 0; otherwise the donors
    of both sides against each other, whose variances are pooled. See
    :func:`~scypher.interpret.donors.moderated_t.moderated_p`.

    Parameters
    ----------
    control, case
        Mean counts per 10,000, shape (n_donors, n_genes); rows are the same donors where paired.
    """
    y = [np.log2(1 + side) for side in (control, case)]
    level = np.vstack(y).mean(0)
    if paired:
        each = y[1] - y[0]
        difference, n = each.mean(0), len(each)
        p = moderated_p(
            difference, each.var(0, ddof=1), level, df=n - 1, unit=float(np.sqrt(1 / n))
        )
        return DonorTest(difference, p, (np.sign(each) == np.sign(difference)).sum(0), n)
    difference = y[1].mean(0) - y[0].mean(0)
    sizes = [len(side) for side in y]
    df = sum(sizes) - 2
    variance = sum(side.var(0) * len(side) for side in y) / df
    unit = float(np.sqrt(1 / sizes[0] + 1 / sizes[1]))
    middle = (y[1].mean(0) + y[0].mean(0)) / 2
    way = np.sign(difference)
    agreeing = ((y[1] - middle) * way > 0).sum(0) + ((middle - y[0]) * way > 0).sum(0)
    p = moderated_p(difference, variance, level, df=df, unit=unit)
    return DonorTest(difference, p, agreeing, sum(sizes))
