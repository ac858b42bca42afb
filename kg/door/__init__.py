"""The read-only door: what other people's Cypher may do to the graph, and how much of it.

:func:`admit` lets through texts that only read, :func:`admit_plan` plans that only read,
:func:`estimate` and :func:`refuse_over` hold a :class:`Budget` against the :class:`Statistics` of
the graph before anything runs.
"""

from .budget import Budget
from .estimate import Estimate, estimate, refuse_over
from .guard import admit
from .plan import admit_plan
from .statistics import Statistics, measure

__all__ = [
    "Budget",
    "Estimate",
    "Statistics",
    "admit",
    "admit_plan",
    "estimate",
    "measure",
    "refuse_over",
]
