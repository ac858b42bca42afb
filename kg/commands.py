"""Commands of the graph: ask it a question, list the questions."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .queries import QueryFile


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(query)
    app.command()(queries)


def query(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.cypher", help="Query or query file.")],
    graph: Annotated[
        str, typer.Option("--graph", metavar="GRAPH", help="Path or address of the graph.")
    ],
    *,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="Parameter; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
) -> None:
    """Ask the graph a question."""
    if as_json and as_csv:
        message = "--json and --csv exclude each other"
        raise typer.BadParameter(message)
    from .queries import load_query, parse_parameters, run_query
    from .stores import open_store

    asked = load_query(name)
    values = parse_parameters(asked, param or [])
    with open_store(graph) as store:
        frame = run_query(store, name, **values)
    if as_json:
        typer.echo(json.dumps(_objects(frame), ensure_ascii=False, indent=1))
    elif as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        _print_table(asked, frame)


def queries(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List the questions that the graph answers."""
    from .queries import list_queries

    found = list_queries()
    if as_json:
        typer.echo(json.dumps([_description(item) for item in found], ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("query", "question", "parameters", box=None, pad_edge=False)
    for item in found:
        parameters = ", ".join(
            parameter.name
            if parameter.default is None
            else f"{parameter.name}={json.dumps(parameter.default)}"
            for parameter in item.parameters
        )
        table.add_row(item.name, item.question, parameters)
    Console().print(table)


def _description(item: "QueryFile") -> dict[str, Any]:
    return {
        "name": item.name,
        "question": item.question,
        "parameters": [vars(parameter) for parameter in item.parameters],
        "columns": [vars(column) for column in item.columns],
    }


def _objects(frame: Any) -> list[dict[str, Any]]:
    """Return rows as JSON can hold them: unknown and infinite numbers become null."""
    import math

    import pandas as pd

    def value(item: Any) -> Any:
        if item is pd.NA or (isinstance(item, float) and not math.isfinite(item)):
            return None
        return item

    columns = {name: [value(item) for item in frame[name].tolist()] for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _print_table(asked: "QueryFile", frame: Any) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=escape(asked.question) or None)
    for name in frame.columns:
        numeric = frame[name].dtype.kind in "if"
        table.add_column(escape(str(name)), justify="right" if numeric else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(_cell(item)) for item in row))
    console = Console()
    if not console.is_terminal:
        # In a pipe or a file nothing may be cut off to fit a width.
        console = Console(width=10_000)
    console.print(table)


def _cell(item: Any) -> str:
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, list):
        return ", ".join(map(str, item))
    return "" if item is None else str(item)
