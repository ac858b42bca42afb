"""Ask a single-cell atlas questions in Cypher, and see the evidence behind each answer.

The verbs are those of the command line: :func:`encode`, :func:`build`, :func:`query`,
:func:`report`. Heavy libraries are imported where they are used, so importing the package is cheap.
"""

from importlib.metadata import version

__version__ = version("scypher")

from scypher import encoders, interpret, kg

__all__ = ["__version__", "encoders", "interpret", "kg"]
