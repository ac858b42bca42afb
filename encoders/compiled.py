"""Threads of compiled kernels: as many as torch uses, so that one setting governs both."""

from functools import cache

import numba
import torch


def use_threads_of_torch() -> None:
    """Let compiled kernels of this thread use as many threads as torch does.

    Called before a kernel runs. Whoever limits torch (``OMP_NUM_THREADS``,
    ``torch.set_num_threads``) limits the kernels too.
    """
    wanted = torch.get_num_threads()
    _start()
    # Starting the thread pool raises torch's own number of threads where both share OpenMP.
    torch.set_num_threads(wanted)
    most: int = getattr(numba.config, "NUMBA_NUM_THREADS")  # noqa: B009, it is set at run time
    numba.set_num_threads(min(wanted, most))


@cache
def _start() -> None:
    _touch(2)


@numba.njit(parallel=True, cache=True)
def _touch(n: int) -> int:
    total = 0
    for i in numba.prange(n):
        total += i
    return total
