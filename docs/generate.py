"""Sphinx extension: write the pages that the package itself dictates.

Queries come from the headers of the query files, nodes and edges from the schema, slots from
their functions, so that none of these pages can lag behind the code. The files go to
``generated/``, from where the pages of the same names include them.
"""

import inspect
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scypher.encoders import slots
from scypher.encoders.registry import cards
from scypher.kg.queries import Parameter, QueryFile, list_queries
from scypher.kg.schema import EDGES, EVIDENCE, NODES, EdgeType, NodeType, Property

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "generated"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """Write every generated page that is not there as it should be."""
    pages: dict[str, Callable[[], str]] = {
        "queries": queries_page,
        "schema": schema_page,
        "slots": slots_page,
        "encoders": encoders_page,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in pages.items():
        path, text = folder / f"{name}.md", make()
        # An untouched file is not read again by the next build.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def encoders_page() -> str:
    """Return a section for each encoder, from its card."""
    return "\n".join(
        f"(encoder-{card.name})=\n## {card.name}\n\n{card.summary}.\n\n"
        + _table(
            ("", ""),
            (
                ("source", card.source),
                ("weights", card.licence),
                ("after the colon", card.argument or "nothing"),
                ("`scypher pretrain`", "yes" if card.pretrain else "no"),
            ),
        )
        for card in cards().values()
    )


def queries_page() -> str:
    """Return an overview of the queries and one section for each."""
    found = list_queries()
    overview = _table(
        ("query", "question"),
        ((f"[{item.name}](#query-{item.name})", item.question) for item in found),
    )
    return "\n".join([overview, *(_query(item) for item in found)])


def _query(item: QueryFile) -> str:
    parameters = _table(
        ("parameter", "type", "default", "meaning"),
        ((f"`{one.name}`", one.type, _default(one), one.doc) for one in item.parameters),
    )
    columns = _table(
        ("column", "type", "meaning"),
        ((f"`{one.name}`", one.type, one.doc) for one in item.columns),
    )
    needed = "".join(
        f" --param {one.name}={one.name.upper()}" for one in item.parameters if one.default is None
    )
    body = "\n".join(line for line in item.text.splitlines() if not line.startswith("//"))
    return (
        f"(query-{item.name})=\n## {item.name}\n\n{item.question}\n\n"
        f"```console\n$ scypher query {item.name} --graph GRAPH{needed}\n```\n\n"
        + (f"{parameters}\n" if item.parameters else "It takes no parameters.\n\n")
        + f"{columns}\n```cypher\n{body.strip()}\n```\n"
    )


def _default(parameter: Parameter) -> str:
    return "required" if parameter.default is None else f"`{json.dumps(parameter.default)}`"


def schema_page() -> str:
    """Return the nodes, the evidence and the edges."""
    edges = "\n".join(_edge(item) for item in EDGES)
    return (
        "## Nodes\n\n"
        + "\n".join(_node(item) for item in NODES)
        + "\n(evidence)=\n## Evidence\n\n"
        + "An edge that makes a claim carries these properties beside its own.\n\n"
        + _properties(EVIDENCE)
        + "\n## Edges\n\n"
        + edges
    )


def _node(item: NodeType) -> str:
    if item.owned:
        owner = " Belongs to one data set."
    else:
        owner = "" if item.label == "Dataset" else " Shared by the data sets that use it."
    return f"### {item.label}\n\n{item.doc}{owner}\n\n{_properties(item.properties)}"


def _edge(item: EdgeType) -> str:
    pairs = _table(("from", "to"), ((f"`{one}`", f"`{other}`") for one, other in item.pairs))
    heading = f"### {item.type}"
    if sum(other.type == item.type for other in EDGES) > 1:
        heading += (
            f" ({item.pairs[0][0]} to {'metadata' if len(item.pairs) > 1 else item.pairs[0][1]})"
        )
    claim = (
        "A claim: carries its [evidence](#evidence) and the properties below.\n\n"
        if item.claim
        else ""
    )
    apart = ", ".join(f"`{name}`" for name in item.identity)
    identity = f"Two nodes may share several, told apart by {apart}.\n\n" if apart else ""
    own = f"{_properties(item.extra)}" if item.extra else "It has no properties.\n"
    return f"{heading}\n\n{item.doc}\n\n{pairs}\n{claim}{identity}{own}"


def _properties(items: Iterable[Property]) -> str:
    return _table(
        ("property", "type", "meaning"), ((f"`{one.name}`", one.kind, one.doc) for one in items)
    )


def slots_page() -> str:
    """Return the table of the slots, for an encoder named ``NAME``."""
    functions = inspect.getmembers(slots, inspect.isfunction)
    # In the order of the module, as a reader of the code finds them.
    functions.sort(key=lambda pair: inspect.getsourcelines(pair[1])[1])
    rows = [(f"`{function('NAME')}`", inspect.getdoc(function) or "") for _, function in functions]
    rows += [
        (f"`{slots.UNS}`", "``uns``: format, and under the name of each encoder the table below."),
        (f"`{slots.COUNTS_LAYER}`", "``layers``: raw counts, written where ``X`` holds others."),
    ]
    return _table(("slot", "place and content"), rows)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *(list(map(_cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Return text that stays in its cell of a table and is not taken for HTML."""
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if "`" in text else text.replace("<", "&lt;")
