"""Sphinx extension: highlight Cypher as the engines read it."""

from typing import TYPE_CHECKING, Any, ClassVar

from pygments.lexer import inherit
from pygments.lexers.graph import CypherLexer
from pygments.token import Name, Operator

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Cypher(CypherLexer):  # type: ignore[misc]  # Pygments ships no types
    """The lexer of Pygments, which knows neither parameters nor arithmetic."""

    tokens: ClassVar = {
        "root": [inherit, (r"\$\w+", Name.Variable), (r"`[^`]+`", Name), (r"[-+*/%^]", Operator)]
    }


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_lexer("cypher", Cypher)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
