"""Ask a single-cell atlas questions in Cypher, and see the evidence behind each answer.

The verbs are those of the command line: :func:`encode`, :func:`build`, :func:`query` and
:func:`report`. Everything is imported where it is first used, so importing the package is cheap.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scypher import encoders, interpret, kg
    from scypher.encoders.verbs import encode
    from scypher.interpret.verbs import build, report
    from scypher.kg.verbs import query

__all__ = ["__version__", "build", "encode", "encoders", "interpret", "kg", "query", "report"]
__version__ = version("scypher")

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules=["encoders", "interpret", "kg"],
    submod_attrs={
        "encoders.verbs": ["encode"],
        "interpret.verbs": ["build", "report"],
        "kg.verbs": ["query"],
    },
)
