"""Commands of the graph: ask it a question, list the questions, look after its versions."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import export_command, version_commands
from .printing import AsCsv, AsJson, print_rows, refuse_both

if TYPE_CHECKING:
    from .queries import QueryFile


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(query)
    app.command()(queries)
    version_commands.register(app)
    export_command.register(app)


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
    version: Annotated[
        int | None, typer.Option(metavar="N", help="Ask this past version of the graph.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Ask the graph a question."""
    refuse_both(as_json, as_csv)
    from .queries import load_query, parse_parameters, run_query
    from .stores import open_store

    asked = load_query(name)
    values = parse_parameters(asked, param or [])
    with open_store(graph, version=version) as store:
        frame = run_query(store, name, **values)
    print_rows(frame, as_json=as_json, as_csv=as_csv, title=asked.question)


def queries(*, as_json: AsJson = False) -> None:
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
